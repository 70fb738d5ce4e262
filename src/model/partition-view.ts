import { type Absence, absenceOf, mayBeServing } from "./absence.js";
import {
  type ClusterState,
  type Endpoint,
  type FollowerList,
  followerKey,
  isOpActive,
  type Op,
  type PartitionClaim,
  type PartitionId,
  type ReplicaClaim,
  type ReplicaReport,
  replicaKey,
  type StorageMode,
  type TableClaim,
  type TabletView,
  type TermStart,
} from "./cluster-state.js";
import { ageText } from "./duration.js";
import type { PartitionEvidence } from "./evidence.js";
import { groupBy } from "./groups.js";
import { type PartitionRef, partitionKey, tableName } from "./partition-name.js";
import { flatMapped, type Work } from "./work.js";

/**
 * `ok`: the nameserver counts the tablet as healthy, it answers, and its identity is right. `silent`: the tool
 * cannot use it, but the nameserver counts it as healthy, or it may be serving (see `mayBeServing`). `offline`:
 * any other state. The cause is in `Absence`.
 */
export type TabletHealth = "ok" | "offline" | "silent";

/** One replica: the nameserver's claim joined with the tablet's report. */
export interface ReplicaView {
  readonly endpoint: Endpoint;
  readonly claim: ReplicaClaim;
  readonly tablet: TabletHealth;
  /** Why the tablet is not `ok`, in words; empty if it is. */
  readonly tabletDetail: string;
  /** Why the tablet is not `ok`, for programs; absent if it is. */
  readonly absence?: Absence | undefined;
  /** Undefined if the tablet is not `ok` or has not loaded the replica. */
  readonly report: ReplicaReport | undefined;
  /** Its replication list, if it runs as leader and the list was read. */
  readonly followers: FollowerList | undefined;
  /**
   * For a replica that is not loaded: term and offset of the last entry in the snapshot on its disk, 0 and 0
   * without one; a lower bound of the loaded offset. For a replica that runs as leader but is not flagged
   * leader: the term in which it leads, and its last entry. Undefined if not requested or not answered.
   */
  readonly snapshot?: TermStart | undefined;
  /**
   * True if the nameserver's offset is fresh: the leading nameserver has read it from the loaded replica, at
   * most two seconds before the tablet went away. This is proven if the offset differs from the one in
   * ZooKeeper's record: a nameserver starts from the record and keeps later offsets in memory only (OpenMLDB
   * 0.9 nameserver: RecoverTableInfo, UpdateTableStatus). Undefined if the record was not read.
   */
  readonly isOffsetFresh?: boolean | undefined;
}

/** Everything known of one partition at one moment: the input of diagnosis and planning. */
export interface PartitionView {
  readonly id: PartitionId;
  readonly segCount: number;
  readonly storageMode: StorageMode;
  /** Oldest leadership first. */
  readonly terms: readonly TermStart[];
  readonly replicas: readonly ReplicaView[];
  /** Ops of this partition that have not ended. */
  readonly activeOps: readonly Op[];
  /**
   * True if a kReAdd...OP failed or was cancelled after it had reached the leader: the leader may replicate to a
   * replica that is not flagged alive. Absent if no such op is listed.
   */
  readonly mayFollowUnflagged?: boolean | undefined;
  /** What is known of its logs from earlier in this run, or from earlier runs. */
  readonly known?: PartitionEvidence | undefined;
}

/** OpenMLDB's internal databases. They are recovered first, because the SQL layer needs them. */
const SYSTEM_DATABASES: readonly string[] = ["__INTERNAL_DB", "__PRE_AGG_DB", "INFORMATION_SCHEMA"];

/** True for OpenMLDB's internal databases. */
export function isSystemDatabase(db: string): boolean {
  return SYSTEM_DATABASES.includes(db);
}

/** `db.table:pid`, or `table:pid` for a table without a database. Unique, see `tableName`. */
export function partitionName(ref: PartitionRef): string {
  return `${tableName(ref)}:${ref.pid}`;
}

/** The part of an observation that partition views are made of. */
export type PartitionsState = Omit<ClusterState, "topology" | "autoFailover">;

/**
 * Joins the nameserver's claims and the tablets' reports of every partition.
 *
 * @returns System databases first (in the order of the documented recovery), then by db, table, pid.
 */
export function viewPartitions(state: PartitionsState): PartitionView[] {
  return [...state.tables].sort(compareTables).flatMap(viewerOf(state));
}

/** {@link viewPartitions} as interruptible work: it yields between tables. */
export function viewingPartitions(state: PartitionsState): Work<PartitionView[]> {
  return flatMapped([...state.tables].sort(compareTables), viewerOf(state));
}

/** Returns the function that makes the views of one table's partitions. */
function viewerOf(state: PartitionsState): (table: TableClaim) => PartitionView[] {
  const health = new Map([...state.tablets].map(([name, view]) => [name, tabletHealth(view)]));
  const active = groupBy(state.ops.filter(isOpActive), partitionKey);
  const ended = state.ops.filter((op) => !isOpActive(op) && hasReachedLeader(op));
  const unflagged = new Set(ended.map(partitionKey));
  const indexed: IndexedState = { ...state, health, active, unflagged };
  return (table) =>
    [...table.partitions]
      .sort((a, b) => a.pid - b.pid)
      .map((partition) => viewPartition(indexed, table, partition));
}

/** The tasks of a kReAdd...OP from the one that makes the leader replicate (OpenMLDB 0.9 nameserver). */
const LINKING_TASKS: readonly string[] = [
  "kAddReplica",
  "kRecoverSnapshot",
  "kCheckBinlogSyncProgress",
  "kUpdatePartitionStatus",
];

/** True for a kReAdd...OP that failed or was cancelled after it had reached the leader. */
function hasReachedLeader({ type, status, task }: Op): boolean {
  const isOver = status === "failed" || status === "canceled";
  return isOver && type.startsWith("kReAddReplica") && LINKING_TASKS.includes(task);
}

/** A state with indexes for the look-ups of each partition. */
interface IndexedState extends PartitionsState {
  readonly health: ReadonlyMap<Endpoint, ReturnType<typeof tabletHealth>>;
  /** Ops that have not ended, by partition. */
  readonly active: ReadonlyMap<string, readonly Op[]>;
  /** Partitions with an op as of {@link hasReachedLeader}. */
  readonly unflagged: ReadonlySet<string>;
}

const NO_OPS: readonly Op[] = [];

function viewPartition(
  state: IndexedState,
  table: TableClaim,
  partition: PartitionClaim,
): PartitionView {
  const id = { db: table.db, table: table.table, tid: table.tid, pid: partition.pid };
  const key = replicaKey(id);
  const ops = state.ops.length === 0 ? undefined : partitionKey(id);
  return {
    id,
    segCount: table.segCount,
    storageMode: table.storageMode,
    terms: partition.terms,
    replicas: partition.replicas.map((claim) => viewReplica(state, id, key, claim)),
    activeOps: ops === undefined ? NO_OPS : (state.active.get(ops) ?? NO_OPS),
    ...(ops !== undefined && state.unflagged.has(ops) ? { mayFollowUnflagged: true } : {}),
    known: rememberedOf(state, key),
  };
}

function rememberedOf(state: PartitionsState, key: string): PartitionEvidence | undefined {
  const bounds = state.remembered?.get(key);
  return bounds && { bounds, replicas: new Map() };
}

/** @param key The `replicaKey` of the partition. */
function viewReplica(
  state: IndexedState,
  id: PartitionId,
  key: string,
  claim: ReplicaClaim,
): ReplicaView {
  const health = state.health.get(claim.endpoint) ?? tabletHealth(undefined);
  const { tablet, tabletDetail, absence } = health;
  const report = tablet === "ok" ? state.tablets.get(claim.endpoint)?.reports?.get(key) : undefined;
  const stored = state.stored
    ?.get(id.tid)
    ?.partitions.find((one) => one.pid === id.pid)
    ?.replicas.find((one) => one.endpoint === claim.endpoint);
  return {
    endpoint: claim.endpoint,
    claim,
    tablet,
    tabletDetail,
    absence,
    report,
    followers: report && state.followers.get(followerKey(claim.endpoint, id)),
    snapshot: state.snapshots?.size
      ? state.snapshots.get(followerKey(claim.endpoint, id))
      : undefined,
    isOffsetFresh: stored && stored.offset !== claim.offset,
  };
}

/**
 * Classifies one tablet: whether the tool can use it, and if not, why.
 *
 * @param view Undefined for a tablet that was not observed (the record can name one that never registered).
 * @returns `tabletDetail`: the reason, as the end of a sentence that begins with the tablet's name.
 */
export function tabletHealth(view: TabletView | undefined): {
  tablet: TabletHealth;
  tabletDetail: string;
  absence: Absence | undefined;
} {
  if (view === undefined) {
    const absence: Absence = { kind: "unknown-to-nameserver" };
    return { tablet: "offline", tabletDetail: UNKNOWN, absence };
  }
  const absence = absenceOf(view);
  if (absence === undefined) return { tablet: "ok", tabletDetail: "", absence };
  return { tablet: healthOf(absence, view), tabletDetail: detailOf(absence, view), absence };
}

const UNKNOWN = "not registered in ZooKeeper and unknown to the nameserver";

function healthOf(absence: Absence, { claim }: TabletView): TabletHealth {
  return mayBeServing(absence) || claim?.isHealthy === true ? "silent" : "offline";
}

function detailOf(absence: Absence, { claim, reports, silence }: TabletView): string {
  if (absence.kind === "not-what-it-says") return absence.mismatch;
  if (claim === undefined) {
    return absence.kind === "restarting"
      ? "registered in ZooKeeper, but the nameserver does not know it yet"
      : UNKNOWN;
  }
  if (claim.isHealthy) return `does not answer: ${silence ?? "no reason known"}`;
  const answers = reports === undefined ? "" : ", although it answers";
  return `${claim.state} for ${ageText(claim.ageMs)}${answers}`;
}

function compareTables(a: TableClaim, b: TableClaim): number {
  return compareDatabases(a.db, b.db) || compareText(a.table, b.table);
}

/** Order of databases: OpenMLDB's own first, in the order of the documented recovery, then by name. */
export function compareDatabases(a: string, b: string): number {
  const rank = (db: string) => SYSTEM_DATABASES.indexOf(db) + 1 || SYSTEM_DATABASES.length + 1;
  return rank(a) - rank(b) || compareText(a, b);
}

/** Compares by code units, so that the order does not depend on the machine's locale. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** The replica of a partition at an endpoint; undefined if there is none. */
export function replicaAt(
  view: PartitionView,
  endpoint: Endpoint | undefined,
): ReplicaView | undefined {
  return view.replicas.find((one) => one.endpoint === endpoint);
}
