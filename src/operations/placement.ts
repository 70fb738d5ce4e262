import type { Endpoint } from "../model/cluster-state.js";
import { compareText } from "../model/partition-view.js";
import { balanceCounts, compareScores, type Way } from "./rebalance.js";

/** The input of placement for one partition. */
export interface PlacedPartition {
  /** Unique within the cluster. */
  readonly key: string;
  /** Unique name of its table, so that tables are spread too. */
  readonly table: string;
  /** Tablets that hold a replica; no tablet twice. */
  readonly replicas: readonly Endpoint[];
  /** Tablet of the leader. */
  readonly leader: Endpoint;
  /** Number of replicas that it should have; surplus ones are deleted. */
  readonly wanted: number;
  /** True if its replicas may be moved; otherwise they only count. */
  readonly isMovable: boolean;
  /** Tablets that cannot take a replica of it although they have none on record; empty if absent. */
  readonly barred?: readonly Endpoint[] | undefined;
}

/** Moves one replica from one tablet to another. */
export interface Move {
  readonly key: string;
  readonly from: Endpoint;
  readonly to: Endpoint;
}

/** The changes to replicas. */
export interface Placement {
  readonly moves: readonly Move[];
  /** Surplus replicas to be deleted. */
  readonly drops: readonly { readonly key: string; readonly from: Endpoint }[];
}

/** A partition with its current placement during the computation. */
interface Draft {
  readonly of: PlacedPartition;
  readonly now: Set<Endpoint>;
}

/**
 * Balances replicas: afterwards any two of the tablets differ by at most one replica, with the fewest
 * moves that reach this, and no tablet holds two replicas of a partition.
 *
 * While the fullest tablet has at least two more than the emptiest, one replica moves from the first to
 * the second. Such a replica always exists: the fullest tablet holds more partitions, so at least one
 * that the emptiest does not. Each move removes one replica above the target or adds one below it (both
 * while both exist), so no sequence of moves is shorter. If partitions are not movable, or barred from tablets, a way over
 * other tablets is used where there is no direct one; the result is then as balanced as such ways
 * allow.
 *
 * Among equal moves: followers before leaders, then the table that is most unevenly spread over the two
 * tablets, then the order of `partitions`. Equal input gives equal moves.
 *
 * @param tablets The tablets that may hold replicas; replicas elsewhere stay there and do not count.
 */
export function balanceReplicas(
  partitions: readonly PlacedPartition[],
  tablets: readonly Endpoint[],
): Placement {
  const counts = countReplicas(partitions, tablets);
  const drafts = partitions.map((of) => ({ of, now: new Set(of.replicas) }));
  dropSurplus(drafts, counts, (endpoint) => counts.has(endpoint));
  const tables = countTables(drafts);
  const movable = drafts.filter((draft) => draft.of.isMovable);
  balanceCounts(counts, (from, targets) => {
    const ways = new Map<Endpoint, Way>();
    for (const draft of movable) {
      if (!draft.now.has(from)) continue;
      for (const to of targets) {
        if (!mayTake(draft, to)) continue;
        const score = scoreOf(draft, { from, to, tables });
        const best = ways.get(to);
        if (best !== undefined && compareScores(best.score, score) <= 0) continue;
        ways.set(to, { score, go: () => shift(draft, { from, to, tables }) });
      }
    }
    return ways;
  });
  return placementOf(drafts);
}

/**
 * Empties tablets with one move for each replica on them, which is the minimum. Each replica moves to
 * the tablet with the fewest replicas that has none of its partition. A partition with more replicas
 * than it should have loses those on the leaving tablets instead.
 *
 * @param leaving The tablets to be emptied.
 * @param targets The tablets that may take replicas; none of `leaving`.
 * @throws Error if a partition does not fit on the targets; the caller checks this first.
 */
export function evacuate(
  partitions: readonly PlacedPartition[],
  leaving: ReadonlySet<Endpoint>,
  targets: readonly Endpoint[],
): Placement {
  const counts = countReplicas(partitions, targets);
  const drafts = partitions.map((of) => ({ of, now: new Set(of.replicas) }));
  dropSurplus(drafts, counts, (endpoint) => leaving.has(endpoint));
  const freeTargets = (draft: Draft) => targets.filter((one) => mayTake(draft, one)).length;
  const affected = drafts
    .filter((draft) => [...draft.now].some((one) => leaving.has(one)))
    .sort((a, b) => freeTargets(a) - freeTargets(b));
  for (const draft of affected) {
    for (const from of [...draft.now].filter((one) => leaving.has(one)).sort(compareText)) {
      const to = emptiest(counts, (endpoint) => mayTake(draft, endpoint));
      if (to === undefined) throw new Error(`no tablet is left for ${draft.of.key}`);
      exchange(draft.now, from, to);
      counts.set(to, (counts.get(to) ?? 0) + 1);
    }
  }
  balanceArrivals(affected, counts);
  return placementOf(drafts);
}

/** True if a tablet can take one more replica of a partition. */
function mayTake({ of, now }: Draft, to: Endpoint): boolean {
  return !now.has(to) && of.barred?.includes(to) !== true;
}

/** Redirects replicas that are moved in any case, if that balances the targets. */
function balanceArrivals(affected: readonly Draft[], counts: Map<Endpoint, number>): void {
  balanceCounts(counts, (from, targets) => {
    const ways = new Map<Endpoint, Way>();
    for (const draft of affected) {
      if (!draft.now.has(from) || draft.of.replicas.includes(from)) continue;
      for (const to of targets) {
        if (!mayTake(draft, to) || ways.has(to)) continue;
        ways.set(to, { score: [], go: () => exchange(draft.now, from, to) });
      }
    }
    return ways;
  });
}

/** The tablet with the lowest count that can take a replica; ties go to the first one. */
export function emptiest(
  counts: ReadonlyMap<Endpoint, number>,
  mayTake: (endpoint: Endpoint) => boolean,
): Endpoint | undefined {
  let best: Endpoint | undefined;
  for (const [endpoint, count] of counts) {
    if (!mayTake(endpoint)) continue;
    if (best === undefined || count < (counts.get(best) ?? 0)) best = endpoint;
  }
  return best;
}

/** Replicas of each tablet in the order of names, with 0 for those that have none. */
export function countReplicas(
  partitions: readonly Pick<PlacedPartition, "replicas">[],
  tablets: readonly Endpoint[],
): Map<Endpoint, number> {
  const counts = new Map([...tablets].sort(compareText).map((one) => [one, 0]));
  for (const endpoint of partitions.flatMap((one) => one.replicas)) {
    const count = counts.get(endpoint);
    if (count !== undefined) counts.set(endpoint, count + 1);
  }
  return counts;
}

/** Removes surplus replicas, from the fullest tablet first; at equal counts a follower. */
function dropSurplus(
  drafts: readonly Draft[],
  counts: Map<Endpoint, number>,
  mayDrop: (endpoint: Endpoint) => boolean,
): void {
  const countOf = (endpoint: Endpoint) => counts.get(endpoint) ?? 0;
  for (const { of, now } of drafts) {
    while (of.isMovable && now.size > Math.max(1, of.wanted)) {
      const [from] = [...now]
        .filter(mayDrop)
        .sort(
          (a, b) =>
            countOf(b) - countOf(a) ||
            Number(a === of.leader) - Number(b === of.leader) ||
            compareText(a, b),
        );
      if (from === undefined) break;
      now.delete(from);
      if (counts.has(from)) counts.set(from, countOf(from) - 1);
    }
  }
}

type TableCounts = Map<string, number>;

function countTables(drafts: readonly Draft[]): TableCounts {
  const tables: TableCounts = new Map();
  for (const { of, now } of drafts) for (const endpoint of now) bump(tables, of.table, endpoint, 1);
  return tables;
}

function bump(tables: TableCounts, table: string, endpoint: Endpoint, by: number): void {
  const key = `${endpoint} ${table}`;
  tables.set(key, (tables.get(key) ?? 0) + by);
}

interface CountedMove {
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly tables: TableCounts;
}

function scoreOf({ of }: Draft, { from, to, tables }: CountedMove): readonly number[] {
  const on = (endpoint: Endpoint) => tables.get(`${endpoint} ${of.table}`) ?? 0;
  // A replica that is moved in any case costs nothing more; among leaders, a single replica costs most.
  const isMoving = !of.replicas.includes(from);
  const costOfLeader = of.replicas.length === 1 ? 2 : 1;
  return [isMoving ? 0 : 1, of.leader === from ? costOfLeader : 0, on(to) - on(from)];
}

function shift({ of, now }: Draft, { from, to, tables }: CountedMove): void {
  exchange(now, from, to);
  bump(tables, of.table, from, -1);
  bump(tables, of.table, to, 1);
}

function exchange(now: Set<Endpoint>, from: Endpoint, to: Endpoint): void {
  now.delete(from);
  now.add(to);
}

/** The difference between before and after; a removal without a counterpart is a drop. */
function placementOf(drafts: readonly Draft[]): Placement {
  const changes = drafts.map(({ of, now }) => ({
    key: of.key,
    gone: of.replicas.filter((one) => !now.has(one)).sort(compareText),
    come: [...now].filter((one) => !of.replicas.includes(one)).sort(compareText),
  }));
  return {
    moves: changes.flatMap(({ key, gone, come }) =>
      come.map((to, index) => ({ key, from: gone[index] ?? "", to })),
    ),
    drops: changes.flatMap(({ key, gone, come }) =>
      gone.slice(come.length).map((from) => ({ key, from })),
    ),
  };
}
