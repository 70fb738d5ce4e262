import { isIPv6 } from "node:net";
import { OpsError } from "../errors.js";

/** Where one ZooKeeper server listens. */
export interface HostPort {
  /** A name or an address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

const DEFAULT_PORT = 2181;

/**
 * Reads the list of ZooKeeper servers that a user gives, such as `zk1:2181,zk2,[::1]:2181`.
 *
 * @returns At least one; the port is 2181 where the text has none.
 * @throws OpsError `usage` for anything else: empty elements, spaces, bad ports, URLs, and a path
 *   behind the list (ZooKeeper's own clients would take that as a root of all paths).
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

/** The server as users write it, with brackets around IPv6. */
export function hostPortText({ host, port }: HostPort): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function parseOne(element: string, text: string): HostPort {
  if (element === "") throw bad(`"${text}" has an empty element`, "remove the extra comma");
  if (/\s/.test(element)) throw bad(`"${element}" has a space in it`, "separate with commas only");
  const match = /^(?:\[(?<six>[^\]]*)\]|(?<name>[^:[\]]*))(?::(?<port>[^:]*))?$/.exec(element);
  const { six, name, port } = match?.groups ?? {};
  if (match === null || (six !== undefined && !isIPv6(six))) {
    throw bad(`"${element}" is no host:port`, "an IPv6 address goes in brackets: [::1]:2181");
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
  return new OpsError({ code: "usage", message: `--zk_cluster: ${what}`, hint });
}
