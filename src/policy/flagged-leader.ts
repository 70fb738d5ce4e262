import { compareText, type PartitionView, type ReplicaView } from "../model/partition-view.js";
import type { Problem } from "../model/problem.js";
import { awaitedLeaders, newestLeaders } from "./what-is-given-up.js";

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
  const flagged = view.replicas.filter((replica) => replica.claim.isLeader);
  if (flagged.length === 0) {
    return block(
      "no-leader-flagged",
      undefined,
      "no replica is flagged leader, so no replica is known to have led",
    );
  }
  const newest = newestLeaders(view);
  const [first] = awaitedLeaders(view, "documented");
  const [best] = newest.filter((replica) => replica.tablet === "ok").sort(byPreference);
  if (first === undefined && best !== undefined) return { leader: best };

  const where = newest.map((replica) => `${replica.endpoint} (${replica.tabletDetail})`).join(", ");
  const others = flagged.length > newest.length ? "; an ex-leader does not replace it" : "";
  return block(
    "leader-unavailable",
    first?.endpoint,
    `its leader is unreachable: ${where}${others}`,
  );
}

function block(code: Problem["code"], endpoint: string | undefined, text: string): LeaderChoice {
  return { blocked: { code, endpoint, text } };
}

function byPreference(a: ReplicaView, b: ReplicaView): number {
  return (
    compareOffsets(b.claim.offset, a.claim.offset) ||
    Number(b.claim.isAlive) - Number(a.claim.isAlive) ||
    Number(b.report?.role === "leader") - Number(a.report?.role === "leader") ||
    compareText(a.endpoint, b.endpoint)
  );
}

/** Ascending; an unknown offset is below every known one. */
function compareOffsets(a: bigint | undefined, b: bigint | undefined): number {
  const known = [a ?? -1n, b ?? -1n] as const;
  if (known[0] === known[1]) return 0;
  return known[0] < known[1] ? -1 : 1;
}
