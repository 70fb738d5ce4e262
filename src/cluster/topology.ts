import { OpsError, usageError } from "../errors.js";
import type { Endpoint, Topology } from "../model/cluster-state.js";
import { clipped, safe } from "../util/text.js";
import type { ZooKeeper } from "./zookeeper.js";

/** Limit of znodes that are read in the search for clusters under other root paths. */
const searchMax = 200;
/** Limit of bytes of an endpoint. */
const endpointMax = 300;
/** Number of characters of a malformed text that an error message repeats. */
const TEXT_MAX = 200;

/**
 * Validates a root path from the user.
 *
 * @returns The path without trailing slashes.
 * @throws OpsError `usage`.
 */
export function parseRootPath(text: string): string {
  const path = text.replace(/\/+$/, "");
  const parts = path.split("/").slice(1);
  const isFit =
    path.startsWith("/") &&
    parts.every((part) => part !== "" && part !== "." && part !== "..") &&
    !/\p{Cc}/u.test(path);
  if (!isFit) {
    throw usageError(
      `"${safe(clipped(text, TEXT_MAX))}" is not a ZooKeeper path for --zk_root_path`,
      "give the zk_root_path of the cluster's configuration, such as /openmldb",
    );
  }
  return path;
}

/** True for `host:port`, with brackets around an IPv6 address. */
export function isAddress(text: string): boolean {
  const port = /^(?:\[[0-9A-Fa-f:.]+\]|[^\s\p{Cc}:/[\]]+):(\d{1,5})$/u.exec(text)?.[1];
  return port !== undefined && Number(port) >= 1 && Number(port) <= 65535;
}

/**
 * Reads the registered nameservers and tablets from ZooKeeper.
 *
 * Under `leader` each live nameserver has an ephemeral sequential znode; the one whose name sorts first is the leader.
 * A reconnect can leave two znodes of one nameserver for a while, so standbys are deduplicated. Under `nodes` each
 * live tablet has a znode; `NLTABLET_<endpoint>` is a nearline tablet, which does not belong to the online cluster.
 * Znodes that vanish while they are read are skipped.
 *
 * @param rootPath From {@link parseRootPath}.
 * @returns Standbys in the order in which they would take over, tablets sorted.
 * @throws OpsError `no-cluster`, `no-leader`, `bad-answer` if the leader's znode holds no endpoint, and the errors of
 *   the ZooKeeper client.
 */
export async function readTopology(zk: ZooKeeper, rootPath: string): Promise<Topology> {
  const { leader, standbys } = await readNameservers(zk, rootPath);
  const registered = (await zk.getChildren(`${rootPath}/nodes`)) ?? [];
  const tablets = registered.filter((name) => !name.startsWith("NLTABLET_")).sort();
  return { rootPath, leader, standbys, tablets };
}

/** Reads the nameservers only; see {@link readTopology}. */
export async function readNameservers(
  zk: ZooKeeper,
  rootPath: string,
): Promise<{
  readonly leader: Endpoint;
  /** The znode that makes it the leader. */
  readonly leaderZnode: string;
  readonly standbys: readonly Endpoint[];
}> {
  const names = await zk.getChildren(`${rootPath}/leader`);
  if (names === undefined) {
    throw await noCluster(zk, rootPath);
  }
  const endpoints = new Set<Endpoint>();
  let leaderZnode = "";
  // Plain string order, as in OpenMLDB 0.9.
  for (const name of [...names].sort()) {
    const path = `${rootPath}/leader/${name}`;
    const data = await zk.getData(path);
    if (data === undefined) {
      continue;
    }
    const endpoint = endpointIn(data);
    if (endpoint !== undefined) {
      if (endpoints.size === 0) leaderZnode = path;
      endpoints.add(endpoint);
    } else if (endpoints.size === 0) {
      // A malformed standby is skipped; without the leader's endpoint no call is possible.
      throw new OpsError({
        code: "bad-answer",
        message: `the znode ${path} holds no nameserver's endpoint`,
      });
    }
  }
  const [leader, ...standbys] = endpoints;
  if (leader === undefined) {
    throw new OpsError({
      code: "no-leader",
      message: `no nameserver is registered as leader under ${rootPath}/leader`,
      hint: "start a nameserver, or wait some seconds if one has just been started",
      retryable: true,
    });
  }
  return { leader, leaderZnode, standbys };
}

/**
 * The address of an endpoint: its entry in `map/names` if it is a server name, else the endpoint itself. An empty
 * entry means that the name is the address: servers started with `use_name` and `--endpoint` register like that
 * (OpenMLDB 0.9).
 *
 * @throws OpsError `unreachable` (not retryable) if the endpoint is neither a known server name nor `host:port`;
 *   `bad-answer` if the entry is not an address.
 */
export async function resolveEndpoint(
  zk: ZooKeeper,
  rootPath: string,
  endpoint: Endpoint,
): Promise<string> {
  // A name with a slash would lead to another path, and an empty name to the parent.
  const isName =
    endpoint !== "" && endpoint !== "." && endpoint !== ".." && !/[/\p{Cc}]/u.test(endpoint);
  const path = `${rootPath}/map/names/${endpoint}`;
  const data = isName ? await zk.getData(path) : undefined;
  if (data === undefined || data.length === 0) {
    if (isAddress(endpoint)) {
      return endpoint;
    }
    const what = data === undefined ? "nor a server name" : "nor a server name with an address";
    throw new OpsError({
      code: "unreachable",
      message: `"${clipped(endpoint, TEXT_MAX)}" is neither host:port ${what} under ${rootPath}/map/names`,
      endpoint,
    });
  }
  const address = endpointIn(data);
  if (address === undefined || !isAddress(address)) {
    throw new OpsError({
      code: "bad-answer",
      message: `the znode ${path} holds ${JSON.stringify(clipped(data.toString("utf8"), TEXT_MAX))}, which is no address`,
      endpoint,
    });
  }
  return address;
}

/** Undefined if the data is not an endpoint: not UTF-8, empty, too long, or with blanks or control characters. */
function endpointIn(data: Buffer): string | undefined {
  if (data.length === 0 || data.length > endpointMax) {
    return undefined;
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(data);
    return /[\s/\p{Cc}]/u.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

async function noCluster(zk: ZooKeeper, rootPath: string): Promise<OpsError> {
  const isThere = (await zk.getChildren(rootPath)) !== undefined;
  const found = await findClusters(zk);
  const others =
    found.length === 0
      ? "no path looks like one"
      : `the paths that look like one: ${found.join(", ")}`;
  return new OpsError({
    code: "no-cluster",
    message: `no OpenMLDB cluster at ${rootPath}${isThere ? " (the path exists, but holds something else)" : ""}; ${others}`,
    hint: "give the zk_root_path of the cluster's configuration with --zk_root_path",
  });
}

/** Finds root paths of clusters at most two levels deep, sorted. Reads at most {@link searchMax} znodes. */
async function findClusters(zk: ZooKeeper): Promise<readonly string[]> {
  const found: string[] = [];
  let level = [""];
  let read = 0;
  for (let depth = 0; depth <= 2; depth += 1) {
    const next: string[] = [];
    for (const path of level.slice(0, searchMax - read)) {
      read += 1;
      const children = await childrenIfAllowed(zk, path === "" ? "/" : path);
      if (children === undefined) return found.sort();
      if (["leader", "nodes", "table"].every((name) => children.includes(name))) {
        found.push(clipped(path, TEXT_MAX));
      } else if (depth < 2) {
        // A ZooKeeper that other systems use can have any number of children.
        const firsts = [...children].sort().slice(0, searchMax);
        for (const name of firsts) next.push(`${path}/${name}`);
      }
    }
    level = next;
  }
  return found.sort();
}

/**
 * Reads children; a protected znode counts as empty, so that the search does not fail.
 *
 * @returns Undefined if ZooKeeper does not answer, which ends the search.
 */
async function childrenIfAllowed(
  zk: ZooKeeper,
  path: string,
): Promise<readonly string[] | undefined> {
  try {
    return (await zk.getChildren(path)) ?? [];
  } catch (error) {
    return error instanceof OpsError && error.retryable ? undefined : [];
  }
}
