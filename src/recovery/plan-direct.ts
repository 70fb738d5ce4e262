import type { Endpoint } from "../model/cluster-state.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Lane, Step, StepKind } from "../model/plan.js";
import type { Problem, ProblemCode } from "../model/problem.js";
import { decideLeader, isSuspect, mayJoin, trueOffset } from "./decide-leader.js";
import { diagnose, isServing, servingLeader } from "./diagnose.js";
import { laneOf } from "./plan.js";

/** What a run has learned of a partition by trying; it outlives the rounds, not the run. */
export interface Learned {
  /** Replicas whose load failed. */
  readonly cannotLoad: ReadonlySet<Endpoint>;
  /** Followers that were fed and did not catch up: the leader's binlog lacks what they need. */
  readonly cannotSync: ReadonlySet<Endpoint>;
}

/** Turns what is known of a partition into the next round of its recovery. */
export type Planner = (view: PartitionView, learned: Learned) => Lane;

/** Nothing learned yet. */
export const NOTHING_LEARNED: Learned = { cannotLoad: new Set(), cannotSync: new Set() };

/**
 * Plans the next round of the direct recovery of a partition, which decides on evidence:
 *
 * 1. every replica that is not loaded is loaded as follower with an empty replication list, which
 *    changes nobody's data and shows true offsets;
 * 2. the longest log of the surviving history leads; the nameserver's record is brought to agree;
 * 3. the others are fed from their own data. Who cannot be (a diverged tail, a trimmed binlog, a
 *    failed load) takes RecoverTable, after the leader is proven to hold what that replica has.
 *
 * Each prefix of it is safe to be interrupted: until the record names a new leader nobody writes,
 * and the next run finds the same offsets and flags and decides the same.
 */
export function planDirect(view: PartitionView, learned: Learned = NOTHING_LEARNED): Lane {
  const problems = diagnose(view);
  const serving = servingLeader(view);
  if (problems.length === 0) return laneOf(view, { leader: serving, steps: [] });
  if (view.activeOps.length > 0) {
    return laneOf(view, {
      leader: serving,
      steps: [{ kind: "wait-ops", endpoint: undefined, why: "op-in-flight" }],
    });
  }
  const evidence = evidenceSteps(view, problems, learned);
  if (evidence.length > 0) return laneOf(view, { leader: serving, steps: evidence });
  const unknown = problems.find((one) => one.code === "state-unknown");
  if (unknown !== undefined && serving === undefined) {
    return laneOf(view, { leader: undefined, steps: [], blocked: unknown });
  }
  return serving === undefined
    ? planPromotion(view, problems, learned)
    : planFollowers(view, serving, problems, learned);
}

/** Loads what is not loaded, and waits for loads of others. */
function evidenceSteps(
  view: PartitionView,
  problems: readonly Problem[],
  learned: Learned,
): Step[] {
  const of = (code: ProblemCode) =>
    view.replicas.filter((one) => has(problems, one, code) && one.tablet === "ok");
  const loads = of("not-loaded").filter((one) => !learned.cannotLoad.has(one.endpoint));
  return [
    ...loads.map((one) => step("load-follower", one, "not-loaded")),
    ...of("loading").map((one) => step("wait-load", one, "loading")),
  ];
}

function planPromotion(view: PartitionView, problems: readonly Problem[], learned: Learned): Lane {
  const decision = decideLeader(view);
  if ("blocked" in decision) {
    return laneOf(view, { leader: undefined, steps: [], blocked: decision.blocked });
  }
  const { leader, joiners } = decision;
  const fed = joiners.filter((one) => !learned.cannotSync.has(one.endpoint));
  const demoted = view.replicas.filter(
    (one) => one !== leader && isServing(one) && one.report?.role === "leader",
  );
  const runsAsLeader = leader.report?.role === "leader";
  const promote: Step[] = runsAsLeader
    ? []
    : [{ ...step("promote", leader, "wrong-role"), followers: fed.map((one) => one.endpoint) }];
  const steps = [
    ...demoted.map((one) => step("demote", one, "extra-leader")),
    ...promote,
    ...recordSteps(view, leader),
    ...pauseSteps(view, problems),
    ...fed.flatMap((one) => feedSteps(one, "not-linked")),
  ];
  return laneOf(view, { leader, steps, leastOffset: trueOffset(leader) });
}

/**
 * Makes the nameserver's record agree with who leads. Only flags of the leader and of ex-leaders
 * change here; followers are marked alive when they are in sync.
 */
function recordSteps(view: PartitionView, leader: ReplicaView): Step[] {
  const wrong = view.replicas.filter((one) => one.claim.isLeader !== (one === leader));
  if (wrong.length === 0) {
    return leader.claim.isAlive ? [] : [step("mark-alive", leader, "marked-dead")];
  }
  const alive = view.replicas.filter(
    (one) => one === leader || (one.claim.isAlive && !one.claim.isLeader),
  );
  const rewritten: Step = {
    ...step("set-flags", leader, "wrong-role"),
    alive: alive.map((one) => one.endpoint),
  };
  return [rewritten];
}

function planFollowers(
  view: PartitionView,
  leader: ReplicaView,
  problems: readonly Problem[],
  learned: Learned,
): Lane {
  const steps = [...pauseSteps(view, problems)];
  for (const replica of view.replicas) {
    if (replica === leader || replica.tablet !== "ok") continue;
    const codes = problems
      .filter((one) => one.endpoint === replica.endpoint)
      .map((one) => one.code);
    if (codes.length === 0 || codes.every((code) => code === "snapshot-paused")) continue;
    if (codes.includes("state-unknown")) continue;
    steps.push(...followerSteps(view, replica, leader, { codes, learned }));
  }
  const ahead = aheadOf(view, leader);
  if (steps.length === 0 && ahead !== undefined) {
    return laneOf(view, { leader: undefined, steps, blocked: ahead });
  }
  return laneOf(view, { leader, steps });
}

function followerSteps(
  view: PartitionView,
  replica: ReplicaView,
  leader: ReplicaView,
  known: { readonly codes: readonly ProblemCode[]; readonly learned: Learned },
): Step[] {
  const why = known.codes[0] ?? "not-linked";
  const { endpoint } = replica;
  if (
    isServing(replica) &&
    mayJoin(view, replica, leader) &&
    !known.learned.cannotSync.has(endpoint)
  ) {
    const demote = replica.report?.role === "leader" ? [step("demote", replica, why)] : [];
    const record = replica.claim.isLeader ? recordSteps(view, leader) : [];
    return [...demote, ...record, ...feedSteps(replica, why)];
  }
  // A replica that holds more than the leader, or was seen there, and is of the same history is
  // never given away: RecoverTable would delete what it holds.
  const seen = isServing(replica) ? trueOffset(replica) : (replica.claim.offset ?? 0n);
  const isOfHistory = replica.claim.isAlive || view.terms.length <= 1;
  if (seen > trueOffset(leader) && isOfHistory && !isSuspect(view, replica)) return [];
  return [step("recover-table", replica, why)];
}

function aheadOf(view: PartitionView, leader: ReplicaView): Problem | undefined {
  const offset = trueOffset(leader);
  const ahead = view.replicas.find(
    (one) =>
      one !== leader &&
      one.tablet === "ok" &&
      (isServing(one) ? trueOffset(one) : (one.claim.offset ?? 0n)) > offset,
  );
  if (ahead === undefined) return undefined;
  const seen = isServing(ahead) ? trueOffset(ahead) : ahead.claim.offset;
  return {
    code: "ahead",
    endpoint: ahead.endpoint,
    text: `holds entries up to ${seen}, the leader ${leader.endpoint} only up to ${offset}: nothing is done to it, for RecoverTable would delete them`,
  };
}

function pauseSteps(view: PartitionView, problems: readonly Problem[]): Step[] {
  return view.replicas
    .filter((one) => has(problems, one, "snapshot-paused"))
    .map((one) => step("recover-snapshot", one, "snapshot-paused"));
}

function feedSteps(replica: ReplicaView, why: ProblemCode): Step[] {
  const feed = step("feed", replica, why);
  return replica.claim.isAlive && !replica.claim.isLeader
    ? [feed]
    : [feed, step("mark-alive", replica, "marked-dead")];
}

function has(problems: readonly Problem[], replica: ReplicaView, code: ProblemCode): boolean {
  return problems.some((one) => one.endpoint === replica.endpoint && one.code === code);
}

function step(kind: StepKind, replica: ReplicaView, why: ProblemCode): Step {
  return { kind, endpoint: replica.endpoint, why };
}
