import { lookup } from "node:dns/promises";
import { isIP } from "node:net";

/** How long a look-up may take: it only serves a check. */
const LOOKUP_MS = 1_000;

/**
 * Makes a function that replaces the host of an address by its IP address, so that two names of one
 * host can be told to be the same. An address whose host cannot be looked up in time stays as it is. Each
 * is looked up once.
 */
export function createLocate(): (address: string) => Promise<string> {
  const known = new Map<string, Promise<string>>();
  return (address) => {
    const found = known.get(address) ?? locate(address);
    known.set(address, found);
    return found;
  };
}

async function locate(address: string): Promise<string> {
  const at = address.lastIndexOf(":");
  const host = address.slice(0, at);
  if (isIP(host) !== 0 || host.startsWith("[")) return address;
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), LOOKUP_MS);
  });
  try {
    const found = await Promise.race([lookup(host), limit]);
    return found === undefined ? address : `${found.address}${address.slice(at)}`;
  } catch {
    return address;
  } finally {
    clearTimeout(timer);
  }
}
