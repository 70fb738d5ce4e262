import type { StorageMode } from "../model/cluster-state.js";
import type { IndexClaim, Ttl } from "../model/table-index.js";

/** Clocks of tablets may differ by so much, and reading may take so long. */
const MARGIN_MS = 300_000n;

/** Which rows of an index are compared, at one moment. */
export interface LiveRule {
  /** Rows with this timestamp or an older one may have expired by age; undefined: no age expires rows. */
  readonly oldestTs: bigint | undefined;
  /** Rows of one key that stay; undefined: their number expires none. */
  readonly latest: bigint | undefined;
  /** Whether a row expires only if both limits say so. */
  readonly needsBoth: boolean;
  /** The rule holds for so long from its moment on, in milliseconds. */
  readonly holdsMs: number;
}

/**
 * The table's own rule for expired rows, with a margin: rows that expire within it are left out too, as
 * clocks of tablets differ and reading takes time.
 *
 * Tablets take expired rows out of the walk themselves, each by its own clock. What they throw away at
 * garbage collection had expired before, so when they do so does not matter. A limit of 0 is none, and with
 * `absandlat` one limit of 0 means that nothing expires (OpenMLDB 0.9: ExpiredChecker::IsExpired).
 *
 * @param nowMs Milliseconds since the epoch.
 * @returns Undefined if the rule is not known, so that nothing can be compared.
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
 * Whether a row is left out.
 *
 * @param rank Its place among the rows of its key, from the newest timestamp on: 1 for the first.
 */
export function isLeftOut(rule: LiveRule, ts: bigint, rank: number): boolean {
  const { oldestTs, latest } = rule;
  const isOld = oldestTs !== undefined && ts <= oldestTs;
  const isBehind = latest !== undefined && rank > latest;
  return rule.needsBoth ? isOld && isBehind : isOld || isBehind;
}

/** The indexes that are walked, and why others are not, one line each. */
export interface WalkedIndexes {
  readonly indexes: readonly { readonly name: string | undefined; readonly ttl: Ttl }[];
  /** Those whose rows are in the list of another index, too, and are compared there. */
  readonly shared: readonly string[];
  /** Those that cannot be compared. */
  readonly unknown: readonly string[];
}

/**
 * The indexes whose rows Traverse gives.
 *
 * Memory tables keep one list of keys for all indexes over the same columns, with one list of rows for each
 * timestamp column. Traverse changes to the list of the first of these indexes as soon as it goes on to the next
 * key (OpenMLDB 0.9: MemTableTraverseIterator::NextPK), so for the others it gives what it was not asked for.
 *
 * @param claimed As a tablet names them; without any, the first index is walked.
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
