import { connect } from "node:net";
import { fromBinary } from "@bufbuild/protobuf";
import { messageOf } from "../errors.js";
import { TableInfoSchema } from "../gen/openmldb/nameserver_pb.js";
import type { Endpoint, StoredCounters, TableClaim } from "../model/cluster-state.js";
import { durationText } from "../model/duration.js";
import { countBy } from "../model/groups.js";
import { toTableClaim } from "./convert.js";
import type { ZooKeeper } from "./zookeeper.js";
import { parseZkHosts } from "./zookeeper-hosts.js";

/**
 * Counts the znodes of each nameserver under `leader`. Normally there is one each; a reconnect can leave a second
 * one for a while.
 */
export async function countNameserverZnodes(
  zk: ZooKeeper,
  rootPath: string,
): Promise<ReadonlyMap<Endpoint, number>> {
  const names = (await zk.getChildren(`${rootPath}/leader`)) ?? [];
  const values = await Promise.all(
    [...names].sort().map((name) => zk.getData(`${rootPath}/leader/${name}`)),
  );
  return countBy(values.flatMap((value) => value?.toString("utf8") ?? []));
}

/**
 * Returns the tablets whose znode holds `startup_<endpoint>`: their session is the first one since the process
 * started (OpenMLDB 0.9 tablet: it uses that prefix for its first registration only).
 */
export async function readStartups(
  zk: ZooKeeper,
  rootPath: string,
  endpoints: readonly Endpoint[],
): Promise<ReadonlySet<Endpoint>> {
  const values = await Promise.all(
    endpoints.map((endpoint) => zk.getData(`${rootPath}/nodes/${endpoint}`)),
  );
  return new Set(
    endpoints.filter((_, index) => values[index]?.toString("utf8").startsWith("startup_")),
  );
}

/**
 * Reads the records of some tables in ZooKeeper, which a nameserver loads when it starts.
 *
 * @returns By tid; the value is undefined if there is no record, or if it cannot be parsed.
 */
export async function readStoredTables(
  zk: ZooKeeper,
  rootPath: string,
  tables: readonly { readonly db: string; readonly table: string; readonly tid: number }[],
): Promise<ReadonlyMap<number, TableClaim | undefined>> {
  const records = await Promise.all(
    tables.map(async ({ db, table, tid }) => {
      const name = db === "" ? `table_data/${table}` : `db_table_data/${tid}`;
      return [tid, decoded(await zk.getData(`${rootPath}/table/${name}`))] as const;
    }),
  );
  return new Map(records);
}

/** Reads the nameserver's counters in ZooKeeper. */
export async function readCounters(zk: ZooKeeper, rootPath: string): Promise<StoredCounters> {
  const read = async (znode: string): Promise<bigint | undefined> => {
    const text = (await zk.getData(`${rootPath}/${znode}`))?.toString("utf8").trim();
    return text !== undefined && /^\d{1,20}$/.test(text) ? BigInt(text) : undefined;
  };
  const [term, tableIndex, opIndex] = await Promise.all([
    read("table/term"),
    read("table/table_index"),
    read("op/op_index"),
  ]);
  return { term, tableIndex, opIndex };
}

function decoded(data: Buffer | undefined): TableClaim | undefined {
  if (data === undefined) return undefined;
  try {
    return toTableClaim(fromBinary(TableInfoSchema, data));
  } catch {
    // Treated like a missing record: a nameserver that cannot parse it skips the table.
    return undefined;
  }
}

/**
 * Checks whether each server of ZooKeeper accepts connections.
 *
 * @param hosts In the syntax of {@link parseZkHosts}.
 * @returns In the same order; `silence` is the reason why the server is unreachable, undefined if it is reachable.
 */
export function dialZooKeeper(
  hosts: readonly string[],
  timeoutMs: number,
): Promise<{ readonly host: string; readonly silence: string | undefined }[]> {
  return Promise.all(
    hosts.map(async (host) => {
      const [server] = parseZkHosts(host);
      return { host, silence: server && (await dial(server, timeoutMs)) };
    }),
  );
}

function dial(
  server: { readonly host: string; readonly port: number },
  timeoutMs: number,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(server);
    const end = (why: string | undefined) => {
      socket.destroy();
      resolve(why);
    };
    socket.setTimeout(timeoutMs, () => end(`no answer within ${durationText(timeoutMs)}`));
    socket.once("connect", () => end(undefined));
    socket.once("error", (error) => end(messageOf(error)));
  });
}
