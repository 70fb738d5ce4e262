import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { within } from "../util/within.js";
import { realClock } from "./real-clock.js";

/** Limit in milliseconds for a DNS look-up, which serves a check only. */
const LOOKUP_MS = 1_000;

/**
 * Returns a function that replaces the host of an address by its IP address, so that two names of one host can be
 * recognized. If the host cannot be resolved in time, the address is returned unchanged. Results are cached.
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
  return within(realClock, LOOKUP_MS, "the resolver", lookup(host)).then(
    (found) => `${found.address}${address.slice(at)}`,
    () => address,
  );
}
