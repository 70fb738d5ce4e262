import type { Endpoint } from "../model/cluster-state.js";
import { compareText } from "../model/partition-view.js";
import { balanceCounts, compareScores, type Way } from "./rebalance.js";

/** The replicas that can lead a partition after the moves. */
export interface LeaderChoice {
  readonly key: string;
  /** The leader now; it need not be a candidate. */
  readonly current: Endpoint;
  /** At least one. */
  readonly candidates: readonly Endpoint[];
  /**
   * The candidate whose leadership needs two changes, because the leader's own replica moves there.
   */
  readonly detour?: Endpoint | undefined;
}

/**
 * Chooses leaders. A leader stays if it may; a partition whose leader must go gets the candidate that
 * leads least. Then leadership is moved between tablets, along chains of partitions where there is no
 * direct way, until no tablet leads two more partitions than another that could take one of them.
 *
 * @param isForcedOnly True if only partitions whose leader must go may change, each once.
 * @returns The new leader by key; partitions that keep theirs are absent.
 */
export function spreadLeaders(
  choices: readonly LeaderChoice[],
  tablets: readonly Endpoint[],
  isForcedOnly: boolean,
): ReadonlyMap<string, Endpoint> {
  const counts = new Map([...tablets].sort(compareText).map((one) => [one, 0]));
  const leads = new Map<string, Endpoint>();
  const put = (key: string, endpoint: Endpoint) => {
    leads.set(key, endpoint);
    if (counts.has(endpoint)) counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1);
  };
  const isForced = (one: LeaderChoice) => !one.candidates.includes(one.current);
  for (const one of choices) if (!isForced(one)) put(one.key, one.current);
  for (const one of choices.filter(isForced)) {
    const ordered = [...one.candidates].sort(
      (a, b) =>
        Number(a === one.detour) - Number(b === one.detour) ||
        (counts.get(a) ?? 0) - (counts.get(b) ?? 0) ||
        compareText(a, b),
    );
    put(one.key, ordered[0] ?? one.current);
  }
  const free = isForcedOnly ? choices.filter(isForced).map(withoutDetour) : choices;
  balanceCounts(counts, (from, targets) => leaderWays(from, targets, { choices: free, leads }));
  return new Map(
    choices.flatMap(({ key, current }) => {
      const leader = leads.get(key) ?? current;
      return leader === current ? [] : [[key, leader] as const];
    }),
  );
}

/** The choice without the candidate that needs two changes, unless it is the only one. */
function withoutDetour(one: LeaderChoice): LeaderChoice {
  const candidates = one.candidates.filter((candidate) => candidate !== one.detour);
  return candidates.length === 0 ? one : { ...one, candidates };
}

interface Leaders {
  readonly choices: readonly LeaderChoice[];
  readonly leads: Map<string, Endpoint>;
}

/** The cheapest way to move a leadership from one tablet to another: the partition, and its cost. */
function leaderWays(
  from: Endpoint,
  targets: readonly Endpoint[],
  { choices, leads }: Leaders,
): ReadonlyMap<Endpoint, Way> {
  const ways = new Map<Endpoint, Way>();
  for (const one of choices.filter(({ key }) => leads.get(key) === from)) {
    const { key, candidates, current, detour } = one;
    for (const to of candidates.filter((e) => e !== from && targets.includes(e))) {
      // Changes that are made in any case, and those that restore the current leader, come first.
      const score = [to === detour ? 1 : 0, current === from ? 1 : 0, current === to ? 0 : 1];
      const best = ways.get(to);
      if (best !== undefined && compareScores(best.score, score) <= 0) continue;
      ways.set(to, { score, go: () => leads.set(key, to) });
    }
  }
  return ways;
}
