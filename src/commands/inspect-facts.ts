import type { CommonFlags } from "../cli/common-specs.js";
import { commandPrinter } from "../cli/printed-command.js";
import type { InspectFlags } from "../cli/recovery-specs.js";
import type { HealthFlags } from "../cli/verify-specs.js";
import type { Cluster } from "../cluster/cluster.js";
import type { OpenedCluster } from "../cluster/open.js";
import {
  countNameserverZnodes,
  dialZooKeeper,
  readCounters,
  readStartups,
  readStoredTables,
} from "../cluster/registrations.js";
import { messageOf, OpsError } from "../errors.js";
import { observeAndPlan } from "../execution/observe-and-plan.js";
import { RULES } from "../execution/rules.js";
import type { InspectFacts, NameserverFact, ZooKeeperFact } from "../inspect/facts.js";
import { type Inspection, inspectFacts } from "../inspect/inspection.js";
import { isWorthWatching } from "../inspect/op-age.js";
import {
  type CountedPartition,
  countsThatDiffer,
  differing,
  expires,
  isSameCount,
} from "../inspect/record-counts.js";
import type { Effort } from "../inspect/text-report.js";
import type { Endpoint, Op, PartitionId, ReplicaReport } from "../model/cluster-state.js";
import type { KnownOffsetsStore } from "../model/evidence.js";
import { STANDSTILL_MS } from "../model/ops.js";
import type { OnEvent } from "../model/outcome.js";
import { type PrintCommand, recoverAgain } from "../model/tool-command.js";
import { type DiagnosedCluster, inspectCluster } from "../observe/diagnosed-cluster.js";
import { identifiedCluster } from "../observe/identified-cluster.js";
import { lostLines } from "../planning/lost.js";
import { lockOwnerIn } from "../run/lock.js";
import { readMarker } from "../run/marker.js";
import { opsPath } from "../run/owner.js";
import { markerAccess } from "../run/take-over.js";
import { eachInTurns, inTurns } from "../util/yielding.js";
import { knownOffsetsStore } from "./protect.js";

/** Number of tables with unhealthy partitions whose record in ZooKeeper is read. */
const STORED_TABLES_MAX = 50;
/** Number of partitions whose record counts are read a second time. */
const COUNTED_AGAIN_MAX = 50;
/** Milliseconds between the two reads. */
const COUNT_AGAIN_MS = 2_000;
/** Limit in milliseconds for a server of ZooKeeper to accept a connection. */
const DIAL_MS = 2_000;
/** Interval in milliseconds in which watched ops are polled. */
const WATCH_POLL_MS = 1_000;

/** Options of {@link gatherFacts}. */
export interface FactsOptions extends OpenedCluster {
  /** Servers of ZooKeeper as `host:port`; if there are several, each is dialled. */
  readonly zkHosts: readonly string[];
  readonly db: string | undefined;
  readonly table: string | undefined;
  readonly maxLag: bigint;
  readonly knownOffsetsStore: KnownOffsetsStore | undefined;
  /** Tablets that the operator declared lost. */
  readonly lost?: readonly Endpoint[];
  readonly signal: AbortSignal;
  /** Receives the progress; absent: no progress is reported. */
  readonly onEvent?: OnEvent | undefined;
  readonly print: PrintCommand;
}

/**
 * Reads all facts for the rules of inspect. Changes nothing.
 *
 * @throws OpsError if the cluster cannot be observed, or if there is no such database or table.
 */
export async function gatherFacts(options: FactsOptions): Promise<InspectFacts> {
  const { db, table, maxLag, print, signal, onEvent, knownOffsetsStore } = options;
  const cluster = identifiedCluster(options.cluster);
  const lost = new Set(options.lost);
  const only = { db, table };
  const plan =
    lost.size > 0
      ? (await observeAndPlan(cluster, { only, lost, knownOffsetsStore, signal, onEvent })).plan
      : undefined;
  const [diagnosed, zooKeeper, ops] = await Promise.all([
    inspectCluster(cluster, {
      only,
      signal,
      onEvent,
      again: recoverAgain({ cmd: "recoverdata", lost: [...lost] }, print),
      print,
      knownOffsetsStore,
      lost,
    }),
    dialEach(options.zkHosts),
    readOps(options),
  ]);
  const restarted = await partlyLoaded(diagnosed);
  const [watched, otherCounts] = await Promise.all([
    watchOps(cluster, diagnosed.state.ops, signal),
    countAgain(cluster, diagnosed, signal),
  ]);
  const [nameservers, startups, stored, counters] = await Promise.all([
    nameserverRoles(options, diagnosed),
    readStartups(options.zk, options.rootPath, restarted),
    readStoredTables(options.zk, options.rootPath, unhealthyTables(diagnosed)),
    readCounters(options.zk, options.rootPath),
  ]);
  signal.throwIfAborted();
  return {
    ...diagnosed,
    ...ops,
    zooKeeper,
    nameservers,
    startups,
    stored,
    counters,
    watched,
    otherCounts,
    lostLines: plan && lostLines(plan),
    scope: { db, table },
    maxLag,
    nowMs: cluster.clock.wallTime(),
    print,
    checkLeaderChange: RULES.checkLeaderChange,
  };
}

/** Dials each server if there are several. A single server has answered already. */
async function dialEach(hosts: readonly string[]): Promise<readonly ZooKeeperFact[]> {
  if (hosts.length > 1) return dialZooKeeper(hosts, DIAL_MS);
  return hosts.map((host) => ({ host, silence: undefined }));
}

/** Reads lock and marker. A marker without a lock is read again, because a run may be beginning or ending. */
async function readOps(options: FactsOptions): Promise<Pick<InspectFacts, "lock" | "marker">> {
  const first = await readOpsOnce(options);
  const isOdd = first.marker !== undefined && first.lock === undefined;
  return isOdd ? readOpsOnce(options) : first;
}

async function readOpsOnce(options: FactsOptions) {
  const lock = await options.zk.getData(opsPath(options.rootPath, "lock"));
  const marker = await readMarker(markerAccess(options));
  return { lock: lock && lockOwnerIn(lock), marker };
}

async function nameserverRoles(
  { cluster, zk, rootPath }: FactsOptions,
  { state }: DiagnosedCluster,
): Promise<readonly NameserverFact[]> {
  const { leader, standbys } = state.topology;
  const [znodes, silences] = await Promise.all([
    countNameserverZnodes(zk, rootPath),
    Promise.all(
      standbys.map((endpoint) =>
        cluster.nameserverRole(endpoint).then(
          () => undefined,
          (thrown: unknown) => messageOf(thrown),
        ),
      ),
    ),
  ]);
  const fact = (endpoint: string, isLeader: boolean, silence: string | undefined) => ({
    endpoint,
    isLeader,
    silence,
    znodes: znodes.get(endpoint) ?? 1,
  });
  return [
    // The leader has answered the observation.
    fact(leader, true, undefined),
    ...standbys.map((endpoint, index) => fact(endpoint, false, silences[index])),
  ];
}

/** Polls running ops until each has changed its task, for at most {@link STANDSTILL_MS} by this process's clock. */
async function watchOps(
  cluster: Cluster,
  ops: readonly Op[],
  signal: AbortSignal,
): Promise<InspectFacts["watched"]> {
  const { clock } = cluster;
  let still = ops.filter((op) => isWorthWatching(op, ops));
  const began = clock.now();
  while (still.length > 0 && clock.now() - began < STANDSTILL_MS) {
    await clock.sleep(WATCH_POLL_MS, signal);
    const now = new Map((await cluster.showOpStatus()).map((op) => [op.id, op]));
    still = still.filter(({ id, status, task }) => {
      const again = now.get(id);
      return again?.status === status && again.task === task;
    });
  }
  return { forMs: Math.round(clock.now() - began), still: new Set(still.map((op) => op.id)) };
}

/** Reads different record counts a second time, because a row may have been replicating during the first read. */
async function countAgain(
  cluster: Cluster,
  { views }: DiagnosedCluster,
  signal: AbortSignal,
): Promise<readonly CountedPartition[]> {
  const odd: CountedPartition[] = [];
  await eachInTurns(views, (view) => {
    const one = odd.length < COUNTED_AGAIN_MAX ? countsThatDiffer(view) : undefined;
    if (one !== undefined) odd.push(one);
  });
  if (odd.length === 0) return [];
  await cluster.clock.sleep(COUNT_AGAIN_MS, signal);
  const again = await Promise.all(odd.map((one) => countOf(cluster, one)));
  return again.filter((one) => one !== undefined);
}

/** Undefined if the counts are equal now, if rows expire, or if the counts cannot be read. */
async function countOf(
  cluster: Cluster,
  first: CountedPartition,
): Promise<CountedPartition | undefined> {
  const { id, leader, counts } = first;
  try {
    const { indexes } = await cluster.getTableSchema(leader, id);
    if (expires(indexes)) return undefined;
    const reports = new Map<Endpoint, ReplicaReport>();
    for (const endpoint of counts.keys()) {
      const [report] = await cluster.getTableStatus(endpoint, { tid: id.tid, pid: id.pid });
      if (report !== undefined) reports.set(endpoint, report);
    }
    const second = differing(id, leader, reports);
    return second !== undefined && isSameCount(first, second) ? second : undefined;
  } catch (error) {
    if (error instanceof OpsError) return undefined;
    throw error;
  }
}

/** Registered tablets that have not loaded all their replicas on record. */
async function partlyLoaded({ state, views }: DiagnosedCluster): Promise<string[]> {
  const short = new Set<string>();
  await eachInTurns(views, ({ replicas }) => {
    for (const one of replicas) if (one.report === undefined) short.add(one.endpoint);
  });
  return [...short].filter((endpoint) => state.tablets.get(endpoint)?.isRegistered === true);
}

function unhealthyTables({ unhealthy }: DiagnosedCluster) {
  const tables = new Map<number, PartitionId>();
  for (const { id } of unhealthy) {
    if (tables.size >= STORED_TABLES_MAX) break;
    tables.set(id.tid, id);
  }
  return [...tables.values()];
}

/** One inspection, with its duration and number of calls. */
export interface MeasuredInspection {
  readonly inspection: Inspection;
  readonly effort: Effort;
}

/** The scope of an inspection, with the connection flags. */
type InspectedFlags = CommonFlags &
  Pick<HealthFlags, "db" | "table"> &
  Partial<Pick<InspectFlags, "lost">>;

/**
 * Inspects the cluster once, for `inspect`, `verify` and the library.
 *
 * @throws OpsError if the cluster cannot be observed, or if there is no such database or table.
 */
export async function inspectOnce(
  opened: OpenedCluster,
  flags: InspectedFlags,
  on: {
    readonly maxLag: bigint;
    readonly signal: AbortSignal;
    readonly onEvent: OnEvent;
  },
): Promise<MeasuredInspection> {
  const { cluster } = opened;
  const { zkCluster: zkHosts, db, table, lost = [] } = flags;
  const began = cluster.clock.now();
  const callsBefore = cluster.callCount();
  const facts = await gatherFacts({
    ...opened,
    ...on,
    zkHosts,
    db,
    table,
    lost,
    knownOffsetsStore: knownOffsetsStore(opened, on.onEvent),
    print: commandPrinter(flags),
  });
  const inspection = await inTurns(inspectFacts(facts));
  const effort = {
    tookMs: cluster.clock.now() - began,
    calls: cluster.callCount() - callsBefore,
  };
  return { inspection, effort };
}
