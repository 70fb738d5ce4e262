import { compareText, type PartitionView, type ReplicaView } from "../model/partition-view.js";
import type { Problem } from "../model/problem.js";
import { isLost } from "./absent-replicas.js";
import { isAliveLeader } from "./what-it-holds.js";

/** A problem if no replica is flagged leader: the record then does not tell which replica has led. */
export function noLeaderFlagged({ replicas }: PartitionView): Problem | undefined {
  if (replicas.some((one) => one.claim.isLeader)) return undefined;
  const text = "no replica is flagged leader, so no replica is known to have led";
  return { code: "no-leader-flagged", endpoint: undefined, text };
}

/**
 * The replicas that led the newest term, as far as the flags tell, now and earlier ({@link isAliveLeader}): those
 * flagged leader and alive; if there are none, all that are flagged leader. ChangeLeader leaves the ex-leader flagged and marks it
 * not alive (OpenMLDB 0.9 nameserver: ChangeLeaderOP), so one that is alive led last.
 */
export function newestLeaders(view: PartitionView): readonly ReplicaView[] {
  const flagged = view.replicas.filter((one) => one.claim.isLeader);
  const alive = flagged.filter((one) => isAliveLeader(view, one));
  return alive.length > 0 ? alive : flagged;
}

/**
 * What an absent leader of the newest term means for each way to another leader. The ways differ on
 * purpose. A recovery covers many partitions, so it waits for a tablet that may come back with more
 * entries. A change of leader and a lost tablet are requested by an operator who names what is absent.
 */
const ABSENT_LEADER = {
  /** `recoverdata --method=direct`: compares true offsets. */
  direct: "waited-for",
  /** `recoverdata --method=documented`: flags first, then the offsets on record. */
  documented: "waited-for",
  /** ChangeLeader, for changeleader, offlineendpoint, scaling and upgrades: alive followers only. */
  change: "passed-over-if-seen-fresh",
  /** Tablets that are lost for good: compares true offsets. */
  lost: "passed-over-if-seen-fresh",
} as const;

/**
 * The leaders of the newest term, if all of them are absent and this way to another leader waits for
 * them; else empty. A leader on a lost tablet (`--lost`) is never waited for.
 */
export function awaitedLeaders(
  view: PartitionView,
  way: keyof typeof ABSENT_LEADER,
): readonly ReplicaView[] {
  const newest = newestLeaders(view);
  const isAwaited = (one: ReplicaView) =>
    one.tablet !== "ok" && ABSENT_LEADER[isLost(one) ? "lost" : way] === "waited-for";
  return newest.every(isAwaited) ? newest : [];
}

/** The replica that will lead, or the reason why none may. */
export type LeaderChoice = { readonly leader: ReplicaView } | { readonly blocked: Problem };

/**
 * Picks the leader of a partition without one from the flags and offsets on record (the documented
 * recovery: the flagged leader with the highest offset).
 *
 * If several replicas are flagged leader and one of them is alive, that one led the newest term:
 * ChangeLeader leaves the ex-leader flagged and marks it dead. An ex-leader never wins, whatever its
 * offset: it may hold entries that were never part of the surviving history, and after a nameserver
 * restart the offsets on record are old. If the alive one is unreachable, none is chosen.
 *
 * Otherwise the highest offset wins; an unknown offset ranks below every known one. Ties go to the
 * replica marked alive, then to one that is loaded as leader, then to the smallest endpoint.
 */
export function chooseLeader(view: PartitionView): LeaderChoice {
  const unknown = noLeaderFlagged(view);
  if (unknown !== undefined) return { blocked: unknown };
  const newest = newestLeaders(view);
  const [absent] = awaitedLeaders(view, "documented");
  const [best] = newest.filter((replica) => replica.tablet === "ok").sort(byPreference);
  if (absent === undefined && best !== undefined) return { leader: best };

  const where = newest.map((replica) => `${replica.endpoint} (${replica.tabletDetail})`).join(", ");
  const isExLeader = (one: ReplicaView) => one.claim.isLeader && !newest.includes(one);
  const others = view.replicas.some(isExLeader) ? "; an ex-leader does not replace it" : "";
  const text = `its leader is unreachable: ${where}${others}`;
  return { blocked: { code: "leader-unavailable", endpoint: absent?.endpoint, text } };
}

function byPreference(a: ReplicaView, b: ReplicaView): number {
  return (
    Number((b.claim.offset ?? -1n) - (a.claim.offset ?? -1n)) ||
    Number(b.claim.isAlive) - Number(a.claim.isAlive) ||
    Number(b.report?.role === "leader") - Number(a.report?.role === "leader") ||
    compareText(a.endpoint, b.endpoint)
  );
}
