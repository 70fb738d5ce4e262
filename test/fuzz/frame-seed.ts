import type { Cluster } from "../../src/cluster/cluster.js";
import { createCluster } from "../../src/cluster/connect.js";
import { createGrpcTransport } from "../../src/cluster/grpc-transport.js";
import { realClock } from "../../src/cluster/real-clock.js";
import { gatherFacts } from "../../src/commands/inspect-facts.js";
import { OpsError } from "../../src/errors.js";
import { inspectFacts } from "../../src/inspect/inspection.js";
import { finish } from "../../src/model/work.js";
import { type Random, seededRandom } from "../../src/sandbox/model/random.js";
import { treeZooKeeper, ZnodeTree } from "../../src/sandbox/znode-tree.js";
import { print } from "../helpers/printing.js";
import { answerTo } from "./answers.js";
import { type HostileServer, startHostileServer } from "./hostile-server.js";

/** The result of one seed. */
export interface FrameSeedResult {
  readonly seed: number;
  readonly calls: number;
  /** The invariants that were violated; empty: none. */
  readonly violations: readonly string[];
}

const ROOT = "/openmldb";
/** The limit of a message: longer ones are not readable. */
const LINE_MAX = 2_000;
/** The limit of a call, whatever its peer does: leader timeout, one deadline, and a margin for a busy machine. */
const CALL_MAX_MS = 15_000;

/**
 * Plays one seed: every call of a cluster, and a whole observation of it, against hostile servers.
 */
export async function playFrameSeed(seed: number): Promise<FrameSeedResult> {
  const random = seededRandom(seed * 2_654_435_761);
  const rates = {
    broken: random.next() * 0.8,
    replaced: random.chance(0.3) ? 0 : random.next() * 0.3,
  };
  const servers: HostileServer[] = [];
  const endpoints: string[] = [];
  for (let index = 0; index < 4; index += 1) {
    const own = seededRandom(random.below(2 ** 31));
    const bodyOf = (path: string) => answerTo(path, endpoints.slice(1), own, rates.replaced);
    const server = await startHostileServer(own, rates.broken, bodyOf);
    servers.push(server);
    endpoints.push(server.address);
  }
  const zk = zooKeeperOf(endpoints);
  const transport = createGrpcTransport({ authorization: "sdefault" });
  const parts = { zk, transport, clock: realClock, rootPath: ROOT };
  const cluster = await createCluster({ ...parts, rpcTimeoutMs: 500, leaderTimeoutMs: 600 });
  const violations: string[] = [];
  const judge = judgeOf(violations);
  const calls = callsOf(cluster, endpoints, random);
  try {
    for (const [name, call] of calls) await judge(name, call);
    await judge("inspect", async () => {
      const facts = await gatherFacts({
        ...{ cluster, zk, rootPath: ROOT, zkHosts: [], db: undefined, table: undefined },
        ...{ maxLag: 10n, knownOffsetsStore: undefined, signal: new AbortController().signal },
        print,
      });
      finish(inspectFacts(facts));
    });
  } finally {
    await cluster.close();
    for (const server of servers) server.close();
  }
  return { seed, calls: calls.length + 1, violations };
}

function zooKeeperOf([nameserver = "", ...tablets]: readonly string[]) {
  const tree = new ZnodeTree();
  const put = (path: string, data: string) =>
    tree.create(`${ROOT}/${path}`, Buffer.from(data), { parents: true });
  put("leader/lock_request0000000001", nameserver);
  for (const one of tablets) put(`nodes/${one}`, one);
  put("config/auto_failover", "true");
  put("table/db_table_data", "");
  return treeZooKeeper(tree);
}

type Judge = (name: string, call: () => Promise<unknown>) => Promise<void>;

function judgeOf(violations: string[]): Judge {
  return async (name, call) => {
    const began = performance.now();
    try {
      await call();
    } catch (thrown) {
      const complaint = complaintAbout(thrown);
      if (complaint !== undefined) violations.push(`${name}: ${complaint}`);
    }
    const tookMs = Math.round(performance.now() - began);
    if (tookMs > CALL_MAX_MS) violations.push(`${name} took ${tookMs} ms`);
  };
}

function complaintAbout(thrown: unknown): string | undefined {
  if (!(thrown instanceof OpsError)) {
    return `threw ${thrown instanceof Error ? thrown.stack : String(thrown)}`;
  }
  const { message } = thrown;
  if (message.length > LINE_MAX) return `a message of ${message.length} characters`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\u0000-\u001f\u007f\u202e]/.test(message)) return `raw text in ${JSON.stringify(message)}`;
  if (/NaN|\[object|undefined/.test(message)) return `no sense in "${message}"`;
  return undefined;
}

/** Every call of {@link Cluster} that reaches a server. */
function callsOf(
  cluster: Cluster,
  [nameserver = "", tablet = "", other = ""]: readonly string[],
  random: Random,
): [string, () => Promise<unknown>][] {
  const id = { db: "db1", table: "t0", tid: 7, pid: 0 };
  const disk = { ...id, storageMode: "memory" as const };
  const load = { ...disk, segCount: 8, role: "follower" as const, term: 0n, followers: [] };
  const calls: [string, () => Promise<unknown>][] = [
    ["topology", () => cluster.topology()],
    ["nameserverRole", () => cluster.nameserverRole(nameserver)],
    ["showTablet", () => cluster.showTablet()],
    ["showTable", () => cluster.showTable()],
    ["showTable of", () => cluster.showTable(id)],
    ["confGet", () => cluster.confGet()],
    ["confSet", () => cluster.confSet("auto_failover", "true")],
    ["showDatabase", () => cluster.showDatabase()],
    ["showOpStatus", () => cluster.showOpStatus()],
    ["updateTableAlive", () => cluster.updateTableAlive({ ...id, endpoint: tablet }, true)],
    ["recoverTable", () => cluster.recoverTable(id, tablet)],
    ["changeLeader", () => cluster.changeLeader(id, "auto")],
    ["offlineEndpoint", () => cluster.offlineEndpoint(tablet, 1)],
    [
      "recoverEndpoint",
      () => cluster.recoverEndpoint(tablet, { needRestore: false, concurrency: 1 }),
    ],
    ["migrate", () => cluster.migrate(tablet, { ...id, pids: [0] }, other)],
    ["addReplicaNS", () => cluster.addReplicaNS(id, tablet)],
    ["delReplicaNS", () => cluster.delReplicaNS(id, tablet)],
    ["cancelOp", () => cluster.cancelOp(5n)],
    ["deleteOp", () => cluster.deleteOp({ op: 5n })],
    ["setPartitionFlags", () => cluster.setPartitionFlags(id, { leader: tablet, alive: [tablet] })],
    ["getTableStatus", () => cluster.getTableStatus(tablet)],
    ["getTableFollower", () => cluster.getTableFollower(tablet, id)],
    ["getTermPair", () => cluster.getTermPair(tablet, disk)],
    ["getManifest", () => cluster.getManifest(tablet, disk)],
    ["loadTable", () => cluster.loadTable(tablet, load)],
    [
      "changeRole",
      () => cluster.changeRole(tablet, { ...id, role: "leader", term: 2n, followers: [] }),
    ],
    ["addReplica", () => cluster.addReplica(tablet, id, other)],
    ["delReplica", () => cluster.delReplica(tablet, id, other)],
    ["recoverSnapshot", () => cluster.recoverSnapshot(tablet, disk)],
  ];
  return calls.filter(() => random.chance(0.7));
}
