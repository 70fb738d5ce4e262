import type {
  DescMessage,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { TableMode, TabletServer } from "../../src/gen/openmldb/api_pb.js";
import { NameServer } from "../../src/gen/openmldb/nameserver_pb.js";
import { SandboxModel } from "../../src/sandbox/model/model.js";
import type { ModelOptions, TableSpec } from "../../src/sandbox/model/model-types.js";
import { VirtualClock } from "../../src/sandbox/model/virtual-clock.js";
import { aliveLeader, partitionOf } from "../../src/sandbox/table-store.js";
import { ZnodeTree } from "../../src/sandbox/znode-tree.js";

type Call = <I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
) => Promise<MessageShape<O>>;

/** A model on a virtual clock, with the shortcuts of its tests. Names are `tablet1`, `t:1`, ... */
export interface ModelCluster {
  readonly model: SandboxModel;
  readonly clock: VirtualClock;
  /** Calls the process of that name. */
  at<I extends DescMessage, O extends DescMessage>(
    name: string,
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>>;
  /** Calls the first nameserver. */
  ns: Call;
  /** Advances the clock. */
  pass(ms: number): Promise<void>;
  /** Endpoints of a partition of db1.t0: the one flagged leader first. */
  holders(pid?: number): [string, ...string[]];
  /** Ops as `type status task`, oldest first, those up to `after` left out. */
  ops(after?: bigint): Promise<string[]>;
}

/**
 * The cluster that a test needs. Defaults: 3 tablets, 2 nameservers, db1.t0 with 2 partitions of 3
 * replicas.
 */
export interface ModelClusterOptions {
  readonly seed?: number;
  readonly tablets?: number;
  readonly nameservers?: number;
  readonly systemTables?: boolean;
  readonly table?: Partial<TableSpec>;
  readonly options?: Partial<ModelOptions>;
}

/** Starts a cluster with db1.t0 (tid 2, or 7 after the system tables). */
export function modelCluster(choice: ModelClusterOptions = {}): ModelCluster {
  const clock = new VirtualClock();
  const specs = (prefix: string, count: number) =>
    Array.from({ length: count }, (_, index) => {
      const endpoint = `${prefix}:${index + 1}`;
      return { endpoint, address: endpoint };
    });
  const model = new SandboxModel({
    clock,
    seed: choice.seed ?? 1,
    tree: new ZnodeTree(() => clock.wallTime()),
    tablets: specs("t", choice.tablets ?? 3),
    nameservers: specs("n", choice.nameservers ?? 2),
    options: choice.options ?? {},
  });
  model.start();
  if (choice.systemTables) model.createSystemTables();
  model.createTable({ db: "db1", table: "t0", partitions: 2, replicas: 3, ...choice.table });
  return shortcuts(model, clock);
}

function shortcuts(model: SandboxModel, clock: VirtualClock): ModelCluster {
  const at: ModelCluster["at"] = (name, method, request) =>
    clock.run(model.call(model.process(name).address, method, request), 60_000) as never;
  return {
    model,
    clock,
    at,
    ns: (method, request) => at("nameserver1", method, request),
    pass: (ms) => clock.advance(ms),
    holders: (pid = 0) => {
      const table = model.tables.find("t0", "db1");
      const part = table && partitionOf(table, pid);
      const metas = [...(part?.partitionMeta ?? [])];
      const leader = aliveLeader(part) ?? metas.find((meta) => meta.isLeader);
      metas.sort((a, b) => Number(b === leader) - Number(a === leader));
      return metas.map((meta) => meta.endpoint) as [string, ...string[]];
    },
    ops: async (after = 0n) => {
      const { opStatus } = await at("nameserver1", NameServer.method.showOPStatus, {});
      const shown = opStatus.filter((op) => op.opId > after);
      return shown.map((op) => `${op.opType} ${op.status} ${op.taskType}`);
    },
  };
}

/** db1.t0 with 60 rows per partition; then all tablets are killed and restarted. */
export async function afterOutage(choice: ModelClusterOptions = {}): Promise<ModelCluster> {
  const it = modelCluster(choice);
  it.model.put(60);
  await it.pass(3_000);
  it.model.outage();
  await it.pass(15_000);
  return it;
}

/** Loads a replica of db1.t0 and waits for the end of the load. */
export async function load(
  { model, at, pass }: ModelCluster,
  name: string,
  how: {
    readonly mode?: TableMode;
    readonly term?: bigint;
    readonly replicas?: string[];
    readonly pid?: number;
  } = {},
): Promise<{ code: number; msg: string }> {
  const table = model.tables.find("t0", "db1");
  const { pid = 0, ...rest } = how;
  const tableMeta = {
    tid: table?.tid ?? 0,
    pid,
    name: "t0",
    db: "db1",
    segCnt: 8,
    ...(table === undefined ? {} : { storageMode: table.storageMode }),
    ...rest,
  };
  const answer = await at(name, TabletServer.method.loadTable, { tableMeta });
  await pass(200);
  return answer;
}

/** Makes a leader serve by the documented sequence: marked not alive, loaded as leader, marked alive. */
export async function serveLeader(it: ModelCluster, pid = 0): Promise<string> {
  const [leader] = it.holders(pid);
  for (const endpoint of it.holders(pid)) await flag(it, endpoint, false, pid);
  await load(it, leader, { mode: TableMode.kTableLeader, term: 1n, pid });
  await flag(it, leader, true, pid);
  return leader;
}

/** Name and database of the table. */
export const T0 = { name: "t0", db: "db1" };

/** RecoverTable of db1.t0. */
export function recover(it: ModelCluster, endpoint: string, pid = 0) {
  return it.ns(NameServer.method.recoverTable, { ...T0, pid, endpoint });
}

/** UpdateTableAliveStatus of db1.t0, without `pid` for all. */
export function flag(it: ModelCluster, endpoint: string, isAlive: boolean, pid?: number) {
  return it.ns(NameServer.method.updateTableAliveStatus, {
    ...T0,
    endpoint,
    isAlive,
    ...(pid === undefined ? {} : { pid }),
  });
}

/** Flags of a partition as `endpoint leader? alive?`. */
export async function flags(it: ModelCluster, pid = 0): Promise<string[]> {
  const { tablePartition } = await it.ns(NameServer.method.getTablePartition, { ...T0, pid });
  const metas = tablePartition?.partitionMeta ?? [];
  return metas
    .map(
      (m) => `${m.endpoint} ${m.isLeader ? "leader" : "follower"} ${m.isAlive ? "alive" : "dead"}`,
    )
    .sort();
}
