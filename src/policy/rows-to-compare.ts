import type {
  Endpoint,
  IndexClaim,
  PartitionId,
  StorageMode,
  Ttl,
} from "../model/cluster-state.js";
import type { PartitionView } from "../model/partition-view.js";
import { isServing, servingLeader } from "./what-it-holds.js";

/** A partition whose rows are to be compared. */
export interface RowTask {
  readonly id: PartitionId;
  readonly storageMode: StorageMode;
  /** Undefined if no replica serves as leader. */
  readonly leader: Endpoint | undefined;
  readonly followers: readonly Endpoint[];
  /**
   * The replicas on record that cannot be read, each with the reason; first, if so, that no leader
   * serves.
   */
  readonly missing: readonly string[];
  /** The leader's row count, as its tablet reports it; 0 without a leader. */
  readonly leaderRows: number;
  /** Row counts of all readable replicas, added. */
  readonly rows: number;
}

/** Returns which replicas of a partition are compared with which leader. */
export function rowTask(view: PartitionView): RowTask {
  const leader = servingLeader(view);
  const readable = view.replicas.filter((one) => isServing(one));
  const missing = view.replicas
    .filter((one) => !readable.includes(one))
    .map((one) => `${one.endpoint}: ${one.tabletDetail || "it has not loaded the replica"}`);
  return {
    id: view.id,
    storageMode: view.storageMode,
    leader: leader?.endpoint,
    followers: readable.filter((one) => one !== leader).map((one) => one.endpoint),
    missing: leader === undefined ? ["no replica serves as leader", ...missing] : missing,
    leaderRows: Number(leader?.report?.recordCount ?? 0n),
    rows: readable.reduce((sum, one) => sum + Number(one.report?.recordCount ?? 0n), 0),
  };
}

/** Covers the difference between tablets' clocks and the time that reading takes. */
const MARGIN_MS = 300_000n;

/** Decides which rows of an index are compared, at one moment. */
export interface LiveRule {
  /**
   * Rows with this timestamp or an older one may have expired by age; undefined if rows do not expire
   * by age.
   */
  readonly oldestTs: bigint | undefined;
  /** The number of rows kept for each key; undefined if it is not limited. */
  readonly latest: bigint | undefined;
  /** True if a row expires only if it exceeds both limits. */
  readonly needsBoth: boolean;
  /** How long the rule can be applied, in milliseconds from the moment it was made for. */
  readonly holdsMs: number;
}

/**
 * The table's own rule for expired rows, with a margin: rows that expire within the margin are
 * excluded, as clocks of tablets differ and reading takes time.
 *
 * Tablets hide expired rows from Traverse, each by its own clock. Garbage collection deletes only rows
 * that had expired before, so its time does not matter. A limit of 0 is no limit, and with `absandlat`
 * one limit of 0 means that nothing expires (OpenMLDB 0.9: ExpiredChecker::IsExpired).
 *
 * @param nowMs Milliseconds since the epoch.
 * @returns Undefined if the kind of TTL is unknown, so that nothing can be compared.
 */
export function liveRule({ kind, absMs, latest }: Ttl, nowMs: number): LiveRule | undefined {
  if (kind === "unknown") return undefined;
  const hasAge = absMs > 0n && kind !== "latest";
  const hasNumber = latest > 0n && kind !== "absolute";
  const needsBoth = kind === "absandlat";
  if (needsBoth && !(hasAge && hasNumber)) return NOTHING_EXPIRES;
  const margin = absMs / 2n < MARGIN_MS ? absMs / 2n : MARGIN_MS;
  return {
    oldestTs: hasAge ? BigInt(Math.trunc(nowMs)) + margin - absMs : undefined,
    latest: hasNumber ? latest : undefined,
    needsBoth,
    holdsMs: hasAge ? Number(margin) / 2 : Number.POSITIVE_INFINITY,
  };
}

const NOTHING_EXPIRES: LiveRule = {
  oldestTs: undefined,
  latest: undefined,
  needsBoth: false,
  holdsMs: Number.POSITIVE_INFINITY,
};

/**
 * True if a row is excluded from the comparison.
 *
 * @param rank Its rank among the rows of its key by descending timestamp, from 1.
 */
export function isExcluded(rule: LiveRule, ts: bigint, rank: number): boolean {
  const { oldestTs, latest } = rule;
  const isOld = oldestTs !== undefined && ts <= oldestTs;
  const isBehind = latest !== undefined && rank > latest;
  return rule.needsBoth ? isOld && isBehind : isOld || isBehind;
}

/** The indexes that are compared, and those that are not, one line each. */
export interface WalkedIndexes {
  readonly indexes: readonly { readonly name: string | undefined; readonly ttl: Ttl }[];
  /**
   * Indexes whose rows Traverse returns from the list of another index, where they are compared.
   */
  readonly shared: readonly string[];
  /** Indexes that cannot be compared. */
  readonly unknown: readonly string[];
}

/**
 * Selects the indexes whose rows Traverse returns.
 *
 * Memory tables keep one list of keys for all indexes over the same columns, with one list of rows for
 * each timestamp column. On the step to the next key, Traverse switches to the list of the first of
 * these indexes (OpenMLDB 0.9: MemTableTraverseIterator::NextPK), so for the others it returns rows of
 * the first.
 *
 * @param claimed As a tablet lists them; if empty, the first index is compared.
 */
export function walkedIndexes(
  claimed: readonly IndexClaim[],
  storageMode: StorageMode,
): WalkedIndexes {
  if (claimed.length === 0) {
    return { indexes: [{ name: undefined, ttl: NO_TTL }], shared: [], unknown: [] };
  }
  const first = new Map<string, IndexClaim>();
  for (const one of claimed) if (!first.has(one.columns)) first.set(one.columns, one);
  const indexes: { name: string; ttl: Ttl }[] = [];
  const shared: string[] = [];
  const unknown: string[] = [];
  for (const one of claimed) {
    if (one.isDeleted) continue;
    const leading = first.get(one.columns);
    if (storageMode === "memory" && leading !== one) {
      shared.push(
        `index ${one.name}: OpenMLDB returns the rows of index ${leading?.name} for it, which has the same key columns`,
      );
    } else if (one.ttl.kind === "unknown") {
      unknown.push(`index ${one.name}: its TTL is of a kind that this tool does not know`);
    } else {
      indexes.push({ name: one.name, ttl: one.ttl });
    }
  }
  return { indexes, shared, unknown };
}

const NO_TTL: Ttl = { kind: "absolute", absMs: 0n, latest: 0n };
