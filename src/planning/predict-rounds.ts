import type { Endpoint, FollowerList, ReplicaReport } from "../model/cluster-state.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Lane, Step } from "../model/plan.js";
import { lowerBound } from "../policy/what-it-holds.js";
import { type Learned, NOTHING_LEARNED, type Planner } from "./attempt-history.js";

/** As many rounds as a run makes at most; more would not be done. */
const ROUNDS_MAX = 6;

/** One round of a partition's recovery, and the partition as it is expected when it begins. */
export interface ForeseenRound {
  readonly lane: Lane;
  readonly view: PartitionView;
}

/**
 * The rounds of a partition's recovery: the first as it is planned now, the later ones under the
 * assumption that every step works and that every replica holds what was last seen there.
 * Nothing but the first round is certain.
 *
 * @returns Ends with a round that has no steps only if that round is blocked, or is the first.
 */
export function foresee(view: PartitionView, planner: Planner): ForeseenRound[] {
  const rounds: ForeseenRound[] = [];
  let current = view;
  while (rounds.length < ROUNDS_MAX) {
    const lane = planner(current, NOTHING_LEARNED);
    if (rounds.length > 0 && lane.steps.length === 0 && lane.blocked === undefined) break;
    rounds.push({ lane, view: current });
    if (lane.steps.length === 0) break;
    current = afterLane(current, lane);
  }
  return rounds;
}

/**
 * Whether nothing is left to plan for a partition once every step of a lane has worked, so that
 * only the look at the whole cluster at the end has to show that it did.
 *
 * @param view The partition as the lane was planned on it.
 */
export function isLastRound(
  { view, lane }: ForeseenRound,
  planner: Planner,
  learned: Learned,
): boolean {
  if (lane.steps.length === 0) return true;
  const next = planner(afterLane(view, lane), learned);
  return next.steps.length === 0 && next.blocked === undefined;
}

function afterLane(view: PartitionView, lane: Lane): PartitionView {
  const after = lane.steps.reduce((seen, step) => assume(seen, lane, step), view);
  return { ...after, known: lane.givesUp ? undefined : lane.evidence };
}

/** The partition after a step that worked. */
function assume(view: PartitionView, lane: Lane, step: Step): PartitionView {
  const { endpoint } = step;
  if (endpoint === undefined) return { ...view, activeOps: [] };
  const change = (to: (one: ReplicaView) => ReplicaView) => replace(view, endpoint, to);
  switch (step.kind) {
    case "wait-ops":
      return { ...view, activeOps: [] };
    case "mark-alive":
    case "mark-dead":
      return change((one) => flagged(one, { isAlive: step.kind === "mark-alive" }));
    case "load-follower":
      return change((one) => running(view, one, { role: "follower" }));
    case "wait-load":
    case "recover-snapshot":
      return change((one) => running(view, one, {}));
    case "demote":
      return change((one) => ({
        ...running(view, one, { role: "follower" }),
        followers: undefined,
      }));
    case "load-leader":
    case "change-role":
    case "promote":
      return change((one) => leading(view, one, step.followers ?? []));
    case "change-leader":
      return newTerm(
        change((one) => leading(view, one, [])),
        endpoint,
      );
    case "set-flags":
      return recorded(view, endpoint, step.alive ?? [endpoint]);
    case "feed":
    case "wait-sync":
      return linked(view, lane, endpoint);
    case "recover-table":
      return linked(
        change((one) => flagged(one, { isAlive: true, isLeader: false })),
        lane,
        endpoint,
      );
  }
}

function replace(
  view: PartitionView,
  endpoint: Endpoint,
  to: (one: ReplicaView) => ReplicaView,
): PartitionView {
  return {
    ...view,
    replicas: view.replicas.map((one) => (one.endpoint === endpoint ? to(one) : one)),
  };
}

function flagged(one: ReplicaView, flags: Partial<ReplicaView["claim"]>): ReplicaView {
  return { ...one, claim: { ...one.claim, ...flags } };
}

function running(
  view: PartitionView,
  one: ReplicaView,
  parts: Partial<ReplicaReport>,
): ReplicaView {
  const seen = lowerBound(view, one);
  const now = one.report?.offset ?? 0n;
  const report: ReplicaReport = {
    tid: view.id.tid,
    pid: view.id.pid,
    role: one.report?.role,
    recordCount: one.report?.recordCount ?? 0n,
    memoryBytes: one.report?.memoryBytes ?? 0n,
    indexBytes: one.report?.indexBytes ?? 0n,
    diskBytes: one.report?.diskBytes ?? 0n,
    offset: now > seen ? now : seen,
    ...parts,
    state: "normal",
  };
  return { ...one, report };
}

function leading(
  view: PartitionView,
  one: ReplicaView,
  followers: readonly Endpoint[],
): ReplicaView {
  const led = running(view, one, { role: "leader" });
  const offset = led.report?.offset ?? 0n;
  const list: FollowerList = { offset, followers: new Map(followers.map((to) => [to, offset])) };
  return { ...led, followers: list };
}

function recorded(
  view: PartitionView,
  leader: Endpoint,
  alive: readonly Endpoint[],
): PartitionView {
  const replicas = view.replicas.map((one) =>
    flagged(one, { isLeader: one.endpoint === leader, isAlive: alive.includes(one.endpoint) }),
  );
  return { ...view, replicas };
}

/** Where a leader of a new term begins: behind its last entry. */
function newTerm(view: PartitionView, leader: Endpoint): PartitionView {
  const offset = view.replicas.find((one) => one.endpoint === leader)?.report?.offset ?? 0n;
  const term = (view.terms.at(-1)?.term ?? 0n) + 1n;
  return recorded({ ...view, terms: [...view.terms, { term, offset: offset + 1n }] }, leader, [
    leader,
  ]);
}

/** A follower that its leader feeds and that has all that the leader has. */
function linked(view: PartitionView, lane: Lane, endpoint: Endpoint): PartitionView {
  const leader = view.replicas.find((one) => one.endpoint === lane.leader);
  const offset = leader?.report?.offset ?? 0n;
  const fed = replace(view, endpoint, (one) => running(view, one, { role: "follower", offset }));
  return replace(fed, lane.leader ?? "", (one) => ({
    ...one,
    followers: { offset, followers: new Map(one.followers?.followers).set(endpoint, offset) },
  }));
}
