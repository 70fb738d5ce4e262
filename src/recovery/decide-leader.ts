import type { Endpoint } from "../model/cluster-state.js";
import { compareText, type PartitionView, type ReplicaView } from "../model/partition-view.js";
import type { Problem, ProblemCode } from "../model/problem.js";
import { isServing } from "./diagnose.js";

/** Who shall lead, by true offsets, or why that cannot be decided without losing something. */
export type Decision =
  | { readonly leader: ReplicaView; readonly joiners: readonly ReplicaView[] }
  | { readonly blocked: Problem };

/**
 * First entry of the newest leadership; 0 if there was only one, so that every log is a prefix of
 * the same history.
 */
export function newestStart(view: PartitionView): bigint {
  return view.terms.length > 1 ? (view.terms.at(-1)?.offset ?? 0n) : 0n;
}

/**
 * Whether a replica may hold entries that were never part of the surviving history: it was marked
 * dead, a newer leadership began since, and its log reaches into it. Below that point its log is a
 * plain prefix, whatever its flags say.
 */
export function isSuspect(view: PartitionView, replica: ReplicaView): boolean {
  const start = newestStart(view);
  return !replica.claim.isAlive && start > 0n && trueOffset(replica) >= start;
}

/** What a loaded replica holds; -1 if it is not loaded. */
export function trueOffset(replica: ReplicaView): bigint {
  return isServing(replica) ? (replica.report?.offset ?? -1n) : -1n;
}

/**
 * Decides on true offsets. To be asked when every replica that can be loaded is.
 *
 * The rule: the longest log of the surviving history leads, so that nothing which a disk holds is
 * given up. Replicas marked alive when the outage came are of that history, and so is every log
 * that ends before the newest leadership began. Among equals the one flagged leader is preferred,
 * then one that runs as leader, then the smallest endpoint.
 *
 * Refused, with numbers: nobody flagged leader; the leader of the newest term out of reach; a
 * replica out of reach that was seen further; nothing left where something was; and several logs
 * that reach into the newest leadership while nothing tells which of them is its own.
 */
export function decideLeader(view: PartitionView): Decision {
  const flagged = view.replicas.filter((one) => one.claim.isLeader);
  if (flagged.length === 0) {
    return block(
      "no-leader-flagged",
      undefined,
      "no replica is flagged leader, so nothing says whose data leads",
    );
  }
  const entitled = flagged.filter((one) => one.claim.isAlive);
  const newest = entitled.length > 0 ? entitled : flagged;
  if (!newest.some((one) => one.tablet === "ok")) {
    const where = newest.map((one) => `${one.endpoint} (${one.tabletDetail})`).join(", ");
    return block("leader-unavailable", newest[0]?.endpoint, `its leader is out of reach: ${where}`);
  }
  const loaded = view.replicas.filter(isServing);
  const suspects = loaded.filter((one) => isSuspect(view, one));
  const plain = loaded.filter((one) => !suspects.includes(one));
  const choice = chooseAmong(view, plain, suspects);
  if ("blocked" in choice) return choice;
  const missing = missingEvidence(view, choice.leader);
  if (missing !== undefined) return { blocked: missing };
  const joiners = loaded.filter(
    (one) => one !== choice.leader && mayJoin(view, one, choice.leader),
  );
  return { leader: choice.leader, joiners };
}

/**
 * Whether a loaded follower may be fed by a leader as it is: its log is of the surviving history
 * and not longer than the leader's.
 */
export function mayJoin(view: PartitionView, replica: ReplicaView, leader: ReplicaView): boolean {
  return !isSuspect(view, replica) && trueOffset(replica) <= trueOffset(leader);
}

function chooseAmong(
  view: PartitionView,
  plain: readonly ReplicaView[],
  suspects: readonly ReplicaView[],
): { readonly leader: ReplicaView } | { readonly blocked: Problem } {
  const best = longest(plain);
  const start = newestStart(view);
  const furthest = longest(suspects);
  if (furthest === undefined) {
    return best === undefined ? nothingLoaded(view) : { leader: best };
  }
  // A living leadership has written since: what suspects hold beyond its start lost the election.
  const hasAliveLeader = view.replicas.some((one) => one.claim.isLeader && one.claim.isAlive);
  if (hasAliveLeader && best !== undefined && trueOffset(best) >= start) return { leader: best };
  // Everybody else ends before the newest leadership began: one log that goes on contains them all.
  if (suspects.length === 1 && !hasAliveLeader) return { leader: furthest };
  const numbers = [...plain, ...suspects].map((one) => `${one.endpoint} at ${trueOffset(one)}`);
  return block(
    "diverged",
    undefined,
    `term ${view.terms.at(-1)?.term} began at ${start}, and nothing tells whose entries from there on are its own: ${numbers.join(", ")}`,
  );
}

function nothingLoaded(view: PartitionView): { readonly blocked: Problem } {
  const why = view.replicas
    .map(
      (one) => `${one.endpoint} (${one.tablet === "ok" ? "cannot be loaded" : one.tabletDetail})`,
    )
    .join(", ");
  return block("not-loaded", undefined, `no replica can be loaded: ${why}`);
}

/** Lower bounds that the choice must reach: what was seen of replicas that cannot be asked now. */
function missingEvidence(view: PartitionView, leader: ReplicaView): Problem | undefined {
  const offset = trueOffset(leader);
  const ahead = view.replicas
    .filter((one) => one !== leader && !isServing(one) && (one.claim.offset ?? 0n) > offset)
    .filter((one) => one.claim.isAlive || view.terms.length <= 1);
  const first = ahead[0];
  if (first !== undefined) {
    return problem(
      "rows-missing",
      first.endpoint,
      `it was seen at offset ${first.claim.offset} and cannot be asked now; the best that is loaded, ${leader.endpoint}, holds ${offset}`,
    );
  }
  const seen = view.replicas.find((one) => (one.claim.offset ?? 0n) > 0n);
  if (offset === 0n && seen !== undefined) {
    return problem(
      "rows-missing",
      leader.endpoint,
      `every replica came up empty, but offset ${seen.claim.offset} was seen before: look into the recycle bins of its tablets`,
    );
  }
  return undefined;
}

function longest(replicas: readonly ReplicaView[]): ReplicaView | undefined {
  return [...replicas].sort(byLog)[0];
}

function byLog(a: ReplicaView, b: ReplicaView): number {
  if (trueOffset(a) !== trueOffset(b)) return trueOffset(a) > trueOffset(b) ? -1 : 1;
  return (
    Number(b.claim.isLeader && b.claim.isAlive) - Number(a.claim.isLeader && a.claim.isAlive) ||
    Number(b.claim.isLeader) - Number(a.claim.isLeader) ||
    Number(b.report?.role === "leader") - Number(a.report?.role === "leader") ||
    compareText(a.endpoint, b.endpoint)
  );
}

function block(
  code: ProblemCode,
  endpoint: Endpoint | undefined,
  text: string,
): { blocked: Problem } {
  return { blocked: problem(code, endpoint, text) };
}

function problem(code: ProblemCode, endpoint: Endpoint | undefined, text: string): Problem {
  return { code, endpoint, text };
}
