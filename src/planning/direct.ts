import { diagnose } from "../diagnosis/diagnose.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import { codesAt, type Problem, type ProblemCode } from "../model/problem.js";
import type { Step } from "../model/step.js";
import { hasUnobservableTablet, unobservableLeader } from "../policy/absent-replicas.js";
import { withChanged } from "../policy/evidence.js";
import { chooseLeader } from "../policy/flagged-leader.js";
import { isUnproven, oldRecordProblem, withoutProofs } from "../policy/old-record.js";
import { withUnread } from "../policy/parted-logs.js";
import { offered } from "../policy/what-is-given-up.js";
import { isServing, lowerBound, most, servingLeader, trueOffset } from "../policy/what-it-holds.js";
import {
  exLeaders,
  isDiscard,
  mayBeOverwritten,
  unreadFollower,
} from "../policy/what-may-be-overwritten.js";
import { type Decision, decideLeader, mayJoin } from "../policy/who-may-lead.js";
import { isCovered, type Known, planAccepted, planKeepLeader, planRemoval } from "./accepted.js";
import { type AttemptHistory, NO_ATTEMPTS } from "./attempt-history.js";
import {
  afterDemotions,
  aliveMark,
  at,
  blockedLane,
  demotion,
  laneOf,
  plainStep,
  promotion,
  rebuild,
} from "./build-lane.js";

/**
 * Plans the next round of the direct recovery of a partition, which decides by evidence:
 *
 * 1. Every replica that is not loaded is loaded as follower with an empty replication list. This
 *   changes no data and shows its offset.
 * 2. The longest log of the surviving history leads; the nameserver's record is made to agree.
 * 3. The leader replicates to the others from their own offsets. Where it cannot (a diverged tail, a
 *   trimmed binlog, a failed load), RecoverTable rebuilds the replica, after the leader is proven to
 *   hold its entries.
 *
 * Every prefix is safe to interrupt: until the record names a new leader no client writes, and the next
 * run finds the same offsets and flags and makes the same decision.
 *
 * @param options What the operator decided, and the rule by which the leader is chosen.
 */
export function planDirect(
  view: PartitionView,
  attempts: AttemptHistory = NO_ATTEMPTS,
  options: Omit<Known, "attempts" | "rejoin"> = {},
): Lane {
  return planProblems(view, diagnose(view), { attempts, ...options });
}

/** Plans the next round for some problems of a partition: those of all its replicas, or of one. */
export function planProblems(
  view: PartitionView,
  problems: readonly Problem[],
  known: Known,
): Lane {
  const { attempts, accepted, decide = decideLeader } = known;
  const serving = servingLeader(view);
  if (problems.length === 0) return laneOf(view, { leader: serving, steps: [] });
  const hidden = serving === undefined ? unobservableLeader(view) : undefined;
  if (hidden !== undefined) return blockedLane(view, hidden);
  if (view.activeOps.length > 0) {
    const wait: Step = { kind: "wait-ops", id: view.id, why: "op-in-flight" };
    return laneOf(view, { leader: serving, steps: [wait] });
  }
  const undecided = oldRecordProblem(view);
  // Loading the replicas would hide the terms on their disks.
  if (undecided !== undefined && accepted === undefined) {
    return blockedLane(view, offered(view, undecided), serving);
  }
  const evidence = evidenceSteps(view, problems, attempts);
  if (evidence.length > 0) {
    const of = accepted === undefined ? view : withoutProofs(view, accepted);
    return laneOf(of, { leader: serving, steps: evidence });
  }
  const unknown = problems.find((one) => one.code === "state-unknown");
  if (unknown !== undefined && serving === undefined) {
    return blockedLane(view, unknown);
  }
  // Beside a leader that was not chosen nothing is copied: the others get copies of the chosen one's data.
  if (serving === undefined || (undecided !== undefined && accepted !== serving.endpoint)) {
    const decision =
      undecided === undefined ? decide(view, attempts.cannotLoad) : { blocked: undecided };
    return planPromotion(view, problems, decision, known);
  }
  return undecided !== undefined
    ? planKeepLeader(view, serving, problems)
    : planFollowers(view, serving, problems, known);
}

/** Loads replicas that are not loaded, and waits for loads of other clients. */
function evidenceSteps(
  view: PartitionView,
  problems: readonly Problem[],
  attempts: AttemptHistory,
): Step[] {
  const of = (code: ProblemCode) =>
    view.replicas.filter(
      (one) => one.tablet === "ok" && codesAt(problems, one.endpoint).includes(code),
    );
  const loads = of("not-loaded").filter((one) => !attempts.cannotLoad.has(one.endpoint));
  // A running ex-leader would replicate to a freshly loaded follower, which accepts any term.
  const others = exLeaders(view, servingLeader(view));
  return [
    ...(loads.length === 0 ? [] : others).map((one) => demotion(view, one, "extra-leader")),
    ...loads.map((one) => plainStep(view, "load-follower", one, "not-loaded")),
    ...of("loading").map((one) => plainStep(view, "wait-load", one, "loading")),
  ];
}

function planPromotion(
  view: PartitionView,
  problems: readonly Problem[],
  decision: Decision,
  { attempts, accepted, lossOfLost }: Known,
): Lane {
  if ("blocked" in decision) {
    const blocked = offered(view, decision.blocked);
    const chosen = accepted ?? (isCovered(blocked, lossOfLost) ? blocked.candidate : undefined);
    if (chosen !== undefined && !hasUnobservableTablet(view)) {
      return planAccepted(view, chosen, decision.blocked);
    }
    return blockedLane(view, blocked);
  }
  const { leader, joiners } = decision;
  const joining = joiners.filter((one) => !attempts.cannotSync.has(one.endpoint));
  const demoted = exLeaders(view, leader);
  const runsAsLeader = leader.report?.role === "leader";
  const promote: Step[] = runsAsLeader ? [] : [promotion(view, leader, "wrong-role", joining)];
  const steps = [
    ...demoted.map((one) => demotion(view, one, "extra-leader")),
    ...promote,
    ...recordSteps(view, leader, joining),
    ...pauseSteps(view, problems),
    ...joining.flatMap((one) => joinSteps(view, one, "not-linked")),
  ];
  const notes = [...savedRows(view, leader), ...lostRows(view, leader)];
  const of = limitingUnread(view, leader);
  return laneOf(of, { leader, steps, leastOffset: trueOffset(leader), notes });
}

/** The same view, in which unread replicas share with the coming leader no more than it has now. */
function limitingUnread(view: PartitionView, leader: ReplicaView): PartitionView {
  const unread = view.replicas.filter((one) => one !== leader && !isServing(one));
  if (unread.length === 0) return view;
  return withChanged(view, { parted: withUnread(view, leader, unread) });
}

/**
 * Makes the nameserver's record agree with the leader in use. Only flags of the leader and of
 * ex-leaders change here; followers are marked alive once they are in sync.
 *
 * An ex-leader that is marked dead keeps its leader flag until it joins, as after the nameserver's own
 * ChangeLeader: only the flag shows that its log may have diverged.
 */
function recordSteps(
  view: PartitionView,
  leader: ReplicaView,
  joining: readonly ReplicaView[],
): Step[] {
  const isLeft = (one: ReplicaView) =>
    one !== leader && one.claim.isLeader && !one.claim.isAlive && !joining.includes(one);
  const wrong = view.replicas
    .filter((one) => one.claim.isLeader !== (one === leader))
    .filter((one) => !isLeft(one));
  if (wrong.length === 0) {
    return leader.claim.isAlive ? [] : [aliveMark(view, leader, "leader", "marked-dead")];
  }
  const alive = view.replicas.filter(
    (one) => one === leader || (one.claim.isAlive && !one.claim.isLeader),
  );
  const keepsFlag = view.replicas.filter(isLeft).map((one) => one.endpoint);
  const rewritten: Step = {
    kind: "set-flags",
    ...at(view, leader, "wrong-role"),
    alive: alive.map((one) => one.endpoint),
    ...(keepsFlag.length === 0 ? {} : { keepsFlag }),
  };
  return [rewritten];
}

function planFollowers(
  view: PartitionView,
  leader: ReplicaView,
  problems: readonly Problem[],
  known: Known,
): Lane {
  const { attempts, accepted } = known;
  const steps: Step[] = [];
  for (const replica of view.replicas) {
    if (replica === leader || replica.tablet !== "ok") continue;
    const codes = codesAt(problems, replica.endpoint);
    if (codes.length === 0 || codes.every((code) => code === "snapshot-paused")) continue;
    if (codes.includes("state-unknown")) continue;
    const more = followerSteps(view, replica, leader, { ...known, codes });
    for (const step of more) steps.push(step);
  }
  const undecided =
    problems.find((one) => isDiscard(one.code)) ??
    unreadFollower(view, leader, attempts.cannotLoad) ??
    problems.find((one) => one.code === "rows-missing" && one.endpoint === leader.endpoint);
  if (steps.length === 0 && pauseSteps(view, problems).length === 0 && undecided !== undefined) {
    const blocked = { ...undecided, candidate: leader.endpoint };
    if (accepted === undefined || hasUnobservableTablet(view)) {
      return blockedLane(view, offered(view, blocked));
    }
    return accepted === leader.endpoint
      ? planKeepLeader(view, leader, problems)
      : planAccepted(view, accepted, blocked);
  }
  // The record is written first: it is written as a whole, so later it would revert the marks of the steps.
  const joining = view.replicas.filter((replica) =>
    steps.some((one) => one.kind === "replicate" && one.endpoint === replica.endpoint),
  );
  const isExLeaderJoining = joining.some((one) => one.claim.isLeader);
  const record = isExLeaderJoining ? recordSteps(view, leader, joining) : [];
  const all = [...pauseSteps(view, problems), ...record, ...steps];
  return planRemoval(view, leader, afterDemotions(view, leader, all), known);
}

function followerSteps(
  view: PartitionView,
  replica: ReplicaView,
  leader: ReplicaView,
  { codes, attempts, rejoin }: Known & { readonly codes: readonly ProblemCode[] },
): Step[] {
  const why = codes[0] ?? "not-linked";
  const { endpoint } = replica;
  const since = rejoin?.since;
  const ledIn = rejoin?.wasLeader === true ? since : undefined;
  const isForced = attempts.cannotSync.has(endpoint);
  if (isServing(replica) && !isForced && mayJoin(view, replica, leader, ledIn)) {
    // Until it is demoted it may accept more writes, so its offset is observed again afterwards.
    return replica.report?.role === "leader"
      ? [demotion(view, replica, why)]
      : joinSteps(view, replica, why);
  }
  if (isUnproven(view, replica)) {
    const how = { isForced: true, isWanted: true, acceptsLoss: true, isCopy: true };
    return attempts.forced.has(endpoint) ? [] : [rebuild(view, replica, why, how)];
  }
  if (!mayBeOverwritten(view, replica, leader, attempts.cannotLoad)) return [];
  // The known entries are already gone from its disk: the step must not count them as deleted by RecoverTable.
  const isGone = codes.some(isDiscard);
  const how = { isForced, ...(isGone ? { acceptsLoss: true } : {}), since };
  return [rebuild(view, replica, why, how)];
}

function pauseSteps(view: PartitionView, problems: readonly Problem[]): Step[] {
  return view.replicas
    .filter((one) => codesAt(problems, one.endpoint).includes("snapshot-paused"))
    .map((one) => plainStep(view, "recover-snapshot", one, "snapshot-paused"));
}

function joinSteps(view: PartitionView, replica: ReplicaView, why: ProblemCode): Step[] {
  const replicate = plainStep(view, "replicate", replica, why);
  return replica.claim.isAlive && !replica.claim.isLeader
    ? [replicate]
    : [replicate, aliveMark(view, replica, "follower", "marked-dead")];
}

/**
 * A note on the entries that the documented choice (the flagged leader with the highest offset on
 * record) would have lost.
 */
function savedRows(view: PartitionView, leader: ReplicaView): string[] {
  const choice = chooseLeader(view);
  if ("blocked" in choice || choice.leader === leader) return [];
  const documented = choice.leader;
  const kept = trueOffset(leader) - most([trueOffset(documented)]);
  if (kept <= 0n) return [];
  return [
    `${leader.endpoint} leads instead of ${documented.endpoint}: it holds ${kept} entries that ${documented.endpoint} lost`,
  ];
}

/** A note on the entries that the only replica of a partition lost; no other replica can hold them. */
function lostRows(view: PartitionView, leader: ReplicaView): string[] {
  const lost = lowerBound(view, leader) - trueOffset(leader);
  if (view.replicas.length > 1 || lost <= 0n) return [];
  return [
    `${leader.endpoint} is the only replica and lost ${lost} entries: it holds ${trueOffset(leader)}, and ${lowerBound(view, leader)} was seen before`,
  ];
}
