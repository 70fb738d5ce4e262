import type { Endpoint } from "../model/cluster-state.js";
import { compareText } from "../model/partition-view.js";
import { minOf } from "../util/extremes.js";

/**
 * A way to move one unit (a replica, or a leadership) from one tablet to another; a lower score is preferred.
 */
export interface Way {
  readonly score: readonly number[];
  readonly go: () => void;
}

/**
 * Returns the best direct way to each of the given tablets; a tablet without one is absent.
 */
export type WaysFrom = (from: Endpoint, to: readonly Endpoint[]) => ReadonlyMap<Endpoint, Way>;

/**
 * Balances counts: while a tablet has at least two units more than another that a chain of ways leads
 * to, one unit is moved along the shortest such chain. Each round lowers the sum of squares, so it
 * ends.
 */
export function balanceCounts(counts: Map<Endpoint, number>, waysFrom: WaysFrom): void {
  for (;;) {
    const least = minOf(counts.values());
    const full = [...counts]
      .filter(([, count]) => count >= least + 2)
      .sort((a, b) => b[1] - a[1] || compareText(a[0], b[0]));
    const chain = full.reduce<Chain | undefined>(
      (found, [from]) => found ?? chainFrom(from, counts, waysFrom),
      undefined,
    );
    if (chain === undefined) return;
    for (const way of chain.ways) way.go();
    counts.set(chain.from, (counts.get(chain.from) ?? 0) - 1);
    counts.set(chain.to, (counts.get(chain.to) ?? 0) + 1);
  }
}

interface Chain {
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly ways: readonly Way[];
}

/** The shortest chain from a tablet to the least loaded one that it can reach; breadth first. */
function chainFrom(
  from: Endpoint,
  counts: ReadonlyMap<Endpoint, number>,
  waysFrom: WaysFrom,
): Chain | undefined {
  const least = minOf(counts.values());
  // There is nearly always a direct way, which is much faster to find.
  for (const [to] of [...counts].filter(([, count]) => count === least)) {
    const way = waysFrom(from, [to]).get(to);
    if (way !== undefined) return { from, to, ways: [way] };
  }
  return chainOver(from, counts, waysFrom);
}

function chainOver(
  from: Endpoint,
  counts: ReadonlyMap<Endpoint, number>,
  waysFrom: WaysFrom,
): Chain | undefined {
  const least = minOf(counts.values());
  const limit = (counts.get(from) ?? 0) - 2;
  const all = [...counts.keys()];
  const reached = new Map<Endpoint, readonly Way[]>([[from, []]]);
  let best: Chain | undefined;
  // Iteration of a Map includes entries added meanwhile, so it serves as the queue.
  for (const [at, ways] of reached) {
    const next = [...waysFrom(at, all)].sort(
      ([a], [b]) => (counts.get(a) ?? 0) - (counts.get(b) ?? 0) || compareText(a, b),
    );
    for (const [to, way] of next) {
      if (reached.has(to)) continue;
      const chain = { from, to, ways: [...ways, way] };
      reached.set(to, chain.ways);
      const count = counts.get(to) ?? 0;
      if (count > limit) continue;
      if (best === undefined || count < (counts.get(best.to) ?? 0)) best = chain;
      if (count === least) return best;
    }
  }
  return best;
}

/** Compares two scores place by place: below 0 if the first is preferred. */
export function compareScores(a: readonly number[], b: readonly number[]): number {
  const index = a.findIndex((value, at) => value !== b[at]);
  return index < 0 ? 0 : (a[index] ?? 0) - (b[index] ?? 0);
}
