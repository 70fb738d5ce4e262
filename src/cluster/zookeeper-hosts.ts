import { isIPv6 } from "node:net";
import { type OpsError, usageError } from "../errors.js";

/** The address of one ZooKeeper server. */
export interface HostPort {
  /** A name or an address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

const DEFAULT_PORT = 2181;

/**
 * Parses the user's list of ZooKeeper servers, such as `zk1:2181,zk2,[::1]:2181`.
 *
 * @returns At least one server; the default port is 2181.
 * @throws OpsError `usage` for anything else: empty elements, spaces, bad ports, URLs, and a path after the list
 *   (which ZooKeeper's own clients take as the root of all paths).
 */
export function parseZkHosts(text: string): HostPort[] {
  if (text.trim() === "") throw bad("the list of ZooKeeper servers is empty", "host:port[,...]");
  if (text.includes("://")) {
    throw bad(`"${text}" has a scheme`, `give host:port only, without "${text.split("//")[0]}//"`);
  }
  if (text.includes("/")) {
    throw bad(`"${text}" has a path`, "give the root path with --zk_root_path");
  }
  return text.split(",").map((element) => parseOne(element, text));
}

/** The server as text, with brackets around an IPv6 address. */
export function hostPortText({ host, port }: HostPort): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function parseOne(element: string, text: string): HostPort {
  if (element === "") throw bad(`"${text}" has an empty element`, "remove the extra comma");
  if (/\s/.test(element)) throw bad(`"${element}" has a space in it`, "separate with commas only");
  const match = /^(?:\[(?<six>[^\]]*)\]|(?<name>[^:[\]]*))(?::(?<port>[^:]*))?$/.exec(element);
  const { six, name, port } = match?.groups ?? {};
  if (match === null || (six !== undefined && !isIPv6(six))) {
    throw bad(`"${element}" is not host:port`, "an IPv6 address goes in brackets: [::1]:2181");
  }
  const host = six ?? name ?? "";
  if (six === undefined && !/^[\w.-]+$/.test(host)) {
    throw bad(`"${element}" has no usable host name`, "write host:port");
  }
  if (port === undefined) return { host, port: DEFAULT_PORT };
  const number = /^\d{1,5}$/.test(port) ? Number(port) : 0;
  if (number < 1 || number > 65_535) {
    throw bad(`"${element}" has the port "${port}"`, "a port is a number from 1 to 65535");
  }
  return { host, port: number };
}

function bad(what: string, hint: string): OpsError {
  return usageError(`--zk_cluster: ${what}`, hint);
}
