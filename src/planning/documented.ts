import { diagnose } from "../diagnosis/diagnose.js";
import type { Endpoint, TableClaim } from "../model/cluster-state.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Lane, MarkDeadCall } from "../model/plan.js";
import { codesAt, type Problem, type ProblemCode } from "../model/problem.js";
import type { Step } from "../model/step.js";
import { each, flatMapped, type Work } from "../model/work.js";
import { unobservableLeader } from "../policy/absent-replicas.js";
import { chooseLeader } from "../policy/flagged-leader.js";
import { oldRecordProblem } from "../policy/old-record.js";
import { offered } from "../policy/what-is-given-up.js";
import { isServing, servingLeader } from "../policy/what-it-holds.js";
import { isDiscard } from "../policy/what-may-be-overwritten.js";
import { type AttemptHistory, NO_ATTEMPTS } from "./attempt-history.js";
import {
  afterDemotions,
  aliveMark,
  at,
  blockedLane,
  laneOf,
  plainStep,
  rebuild,
} from "./build-lane.js";

/**
 * Plans the documented recovery of one partition: mark replicas dead, load the leader, mark it alive,
 * RecoverTable the followers. Only steps that its problems require are planned; a healthy partition
 * gets none. A lane is safe to interrupt because the partition is planned again after each round.
 */
export function planDocumented(view: PartitionView, attempts: AttemptHistory = NO_ATTEMPTS): Lane {
  const problems = diagnose(view);
  if (problems.length === 0) return laneOf(view, { leader: servingLeader(view), steps: [] });
  if (view.activeOps.length > 0) {
    const wait: Step = { kind: "wait-ops", id: view.id, why: "op-in-flight" };
    return laneOf(view, { leader: servingLeader(view), steps: [wait] });
  }
  const serving = servingLeader(view);
  const hidden = serving === undefined ? unobservableLeader(view) : undefined;
  if (hidden !== undefined) return blockedLane(view, hidden);
  const old = oldRecordProblem(view);
  if (old !== undefined) return blockedLane(view, offered(view, old), serving);
  const choice = serving === undefined ? chooseLeader(view) : { leader: serving };
  if ("blocked" in choice) return blockedLane(view, choice.blocked);
  const { leader } = choice;
  const unsettled = problems.find(
    (one) =>
      one.endpoint === leader.endpoint &&
      (one.code === "loading" || one.code === "state-unknown" || one.code === "rows-missing"),
  );
  if (unsettled !== undefined && unsettled.code !== "loading") {
    return blockedLane(view, unsettled);
  }
  if (unsettled !== undefined) {
    return laneOf(view, { leader, steps: [plainStep(view, "wait-load", leader, "loading")] });
  }
  const followers = view.replicas.filter((replica) => replica !== leader);
  const marks = markSteps(view, leader, problems);
  const isMarked = marks.some((one) => one.endpoint === leader.endpoint);
  const recovered = followers.flatMap((replica) =>
    followerSteps(view, replica, codesAt(problems, replica.endpoint), { serving, attempts }),
  );
  const codes = codesAt(problems, leader.endpoint);
  const work = [
    ...leaderSteps(view, leader, codes, isMarked || !leader.claim.isAlive),
    ...afterDemotions(view, leader, recovered),
  ];
  const ahead = problems.find((one) => isDiscard(one.code));
  if (work.length === 0 && ahead !== undefined) {
    return blockedLane(view, offered(view, { ...ahead, candidate: leader.endpoint }));
  }
  const steps = work.length === 0 ? [] : [...marks, ...work];
  return laneOf(view, { leader, steps });
}

/**
 * Marks unhealthy replicas dead first, so that clients stop using them and RecoverTable accepts them.
 * The coming leader is marked too, with two exceptions: it serves as leader already, or only its alive
 * flag distinguishes it from an ex-leader: a run that is killed after the mark must find the same
 * leader again.
 */
function markSteps(view: PartitionView, leader: ReplicaView, problems: readonly Problem[]): Step[] {
  const isOnlyProof = view.replicas.some((one) => one !== leader && one.claim.isLeader);
  const servesAsLeader = isServing(leader) && leader.report?.role === "leader";
  return view.replicas
    .filter((replica) => replica.claim.isAlive)
    .filter((replica) => replica !== leader || !(servesAsLeader || isOnlyProof))
    .flatMap((replica): Step[] => {
      const why = codesAt(problems, replica.endpoint).find(
        (code) => !HEALED_WITHOUT_MARK.includes(code),
      );
      return why === undefined ? [] : [deadMark(view, replica, why)];
    });
}

/**
 * Problems that need no RecoverTable and therefore no mark. A replica on a tablet that this machine
 * cannot reach may still serve clients.
 */
const HEALED_WITHOUT_MARK: readonly ProblemCode[] = [
  "behind",
  "loading",
  "snapshot-paused",
  "link-unknown",
  "tablet-silent",
  "tablet-foreign",
];

function leaderSteps(
  view: PartitionView,
  leader: ReplicaView,
  problems: readonly ProblemCode[],
  isDead: boolean,
): Step[] {
  const steps: Step[] = [];
  if (problems.includes("not-loaded"))
    steps.push(plainStep(view, "load-leader", leader, "not-loaded"));
  if (problems.includes("wrong-role"))
    steps.push(plainStep(view, "change-role", leader, "wrong-role"));
  if (isDead) steps.push(aliveMark(view, leader, "leader", "marked-dead"));
  if (problems.includes("snapshot-paused")) {
    steps.push(plainStep(view, "recover-snapshot", leader, "snapshot-paused"));
  }
  return steps;
}

function followerSteps(
  view: PartitionView,
  replica: ReplicaView,
  problems: readonly ProblemCode[],
  known: { readonly serving: ReplicaView | undefined; readonly attempts: AttemptHistory },
): Step[] {
  // Without a serving leader a running follower cannot be linked yet: it is diagnosed again, and
  // recovered if necessary, in the round after the leader's.
  if (problems.length === 0 || replica.tablet !== "ok") return [];
  // RecoverTable would delete entries that only this replica holds.
  if (problems.some(isDiscard)) return [];
  if (problems.includes("state-unknown")) return [];
  const first = problems[0] as ProblemCode;
  if (problems.includes("loading")) return [plainStep(view, "wait-load", replica, "loading")];
  if (problems.every((code) => code === "snapshot-paused")) {
    return [plainStep(view, "recover-snapshot", replica, first)];
  }
  if (problems.every((code) => code === "behind" || code === "link-unknown")) {
    if (known.serving === undefined) return [];
    return known.attempts.cannotSync.has(replica.endpoint)
      ? [rebuild(view, replica, first, { isForced: true })]
      : [plainStep(view, "wait-sync", replica, first)];
  }
  return [rebuild(view, replica, first, { isForced: false })];
}

/**
 * A step that marks a replica dead. An extra leader was leading when it was observed, so the step
 * accepts that it leads.
 */
function deadMark(view: PartitionView, replica: ReplicaView, why: ProblemCode): Step {
  return { kind: "mark-dead", ...at(view, replica, why), mayLead: why === "extra-leader" };
}

/**
 * Collects the calls that mark the replicas of all lanes dead: one call for a table on an endpoint if every replica of
 * the table there is to be marked, else one call for each replica.
 */
export function* batchMarkDead(
  lanes: readonly Lane[],
  tables: readonly TableClaim[],
): Work<MarkDeadCall[]> {
  const wanted = new Map<string, Lane[]>();
  yield* each(lanes, (one) => {
    for (const mark of one.steps) {
      if (mark.kind !== "mark-dead" || mark.endpoint === undefined) continue;
      const key = JSON.stringify([one.id.db, one.id.table, mark.endpoint]);
      const same = wanted.get(key);
      if (same === undefined) wanted.set(key, [one]);
      else same.push(one);
    }
  });
  if (wanted.size === 0) return [];
  const held = new Map<string, number>();
  yield* each(tables, (table) => countReplicas(table, held));
  return yield* flatMapped(wanted, ([key, of]): MarkDeadCall[] => {
    const [db, table, endpoint] = JSON.parse(key) as [string, string, Endpoint];
    const all = held.get(key) === of.length && of.length > 1;
    return all
      ? [{ db, table, endpoint, pid: undefined }]
      : of.map((one) => ({ db, table, endpoint, pid: one.id.pid }));
  });
}

/** Counts a table's replicas on each endpoint. */
function countReplicas(table: TableClaim, counts: Map<string, number>): void {
  for (const partition of table.partitions) {
    for (const replica of partition.replicas) {
      const key = JSON.stringify([table.db, table.table, replica.endpoint]);
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
}

/** The key by which `createContext` finds the call that marks a replica. */
export function markDeadKey(of: {
  db: string;
  table: string;
  endpoint: Endpoint;
  pid: number | undefined;
}): string {
  return JSON.stringify([of.db, of.table, of.endpoint, of.pid ?? "all"]);
}
