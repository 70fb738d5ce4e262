import { diagnose } from "../diagnosis/diagnose.js";
import { type OpsError, refused } from "../errors.js";
import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import { givenUpCount, mayGiveUp } from "../model/loss.js";
import { tableName } from "../model/partition-name.js";
import {
  type PartitionView,
  partitionName,
  type ReplicaView,
  replicaAt,
  viewPartitions,
} from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import { type PrintCommand, partitionFlags } from "../model/tool-command.js";
import {
  checkLeaderChange,
  type LeaderChange,
  type LeaderChangeRefusal,
  leadCounts,
} from "../policy/check-leader-change.js";
import { freeTabletText, isFree } from "../policy/free-tablets.js";
import { unseenTail } from "../policy/what-is-given-up.js";
import { newestTerm, servingLeader } from "../policy/what-it-holds.js";
import type { Operation, OperationPlan } from "./operation.js";
import { countReplicas, emptiest } from "./placement.js";
import { findPartitions, ledText, type Obstacle } from "./targets.js";

/** The options of `changeleader`. */
export interface ChangeLeaderOptions {
  /** Undefined if the table's name is unique among the databases. */
  readonly db: string | undefined;
  readonly table: string;
  readonly pid: number;
  /**
   * The follower that will lead; `auto`: the one with the highest offset; undefined: the same, only if
   * no leader is alive.
   */
  readonly candidate: Endpoint | undefined;
  /** True if the old leader is recovered as follower. */
  readonly recovers: boolean;
  /** True if entries that another replica is known to hold may be given up. */
  readonly acceptsLoss: boolean;
  readonly print: PrintCommand;
}

/** Changes the leader of one partition, and recovers the old one as follower. */
export function changeLeaderOperation(options: ChangeLeaderOptions): Operation {
  return {
    typed: typedOf(options),
    goOn(results) {
      // Without a fixed candidate another replica could be chosen.
      const won = results.find(
        ({ step, outcome }) => step.kind === "change-leader" && outcome.result === "done",
      );
      return typedOf({ ...options, candidate: won?.step.endpoint ?? options.candidate });
    },
    needsOff: true,
    concurrency: 1,
    plan: (state) => planOf(state, options),
    verify(after, results) {
      const to = results.find(({ step }) => step.kind === "change-leader")?.step.endpoint;
      return complaintsAbout(
        viewOf(after, options),
        to,
        results.map(({ step }) => step),
      );
    },
    conclude(after, results) {
      const change = results.map(({ step }) => step).find((one) => one.kind === "change-leader");
      return conclusion(viewOf(after, options), change?.from);
    },
  };
}

function typedOf(options: ChangeLeaderOptions) {
  const { db, table, pid, candidate } = options;
  return {
    cmd: "changeleader",
    db,
    table,
    pid,
    candidate,
    no_recover: !options.recovers,
    accept_data_loss: options.acceptsLoss,
  } as const;
}

function viewOf(state: ClusterState, { db, table, pid }: ChangeLeaderOptions): PartitionView {
  const [view] = findPartitions(state, { db, table, pids: [pid] }).views;
  if (view === undefined) throw refused(`${tableName({ db: db ?? "", table })} is gone`);
  return view;
}

function planOf(state: ClusterState, options: ChangeLeaderOptions): OperationPlan {
  const view = viewOf(state, options);
  const name = partitionName(view.id);
  const leader = servingLeader(view);
  if (leader !== undefined && leader.endpoint === options.candidate) {
    const back = options.recovers
      ? rejoinSteps(view, exLeaders(view, leader.endpoint), options.print, {})
      : NOTHING;
    const notes = [`${leader.endpoint} leads ${name} already`, ...back.notes];
    return { steps: back.steps, notes, restsOn: [view] };
  }
  const { candidate, acceptsLoss } = options;
  const leads = leadCounts(viewPartitions(state));
  const change = checkLeaderChange(view, { candidate, acceptsLoss, leads });
  if ("refusal" in change) throw refusal(view, change, state, options);
  const since = newestTerm(view);
  const old = exLeaders(view, change.to);
  const dropped = view.replicas.filter((one) => change.dropped.includes(one.endpoint));
  const wanted = [...(options.recovers ? old : []), ...dropped];
  const back = rejoinSteps(view, wanted, options.print, { since, acceptsLoss });
  return {
    steps: [changeStep(view, change, acceptsLoss), ...back.steps],
    notes: [...lossNotes(view, change), ...back.notes, ...noRecoverNotes(options, old)],
    restsOn: [view],
  };
}

const NOTHING: Pick<OperationPlan, "steps" | "notes"> = { steps: [], notes: [] };

function changeStep(
  view: PartitionView,
  { from, to, offset, lastSeen }: LeaderChange,
  acceptsLoss: boolean,
): Step {
  const old = from === undefined ? "no leader is alive" : `takes over from ${from}`;
  return {
    kind: "change-leader",
    id: view.id,
    endpoint: to,
    from,
    lastSeen,
    acceptsLoss,
    why: `${old}; holds entries up to ${offset}`,
  };
}

/** The replicas that are flagged leader, except the future one. */
function exLeaders(view: PartitionView, to: Endpoint): ReplicaView[] {
  return view.replicas.filter((one) => one.claim.isLeader && one.endpoint !== to);
}

/** The steps that recover replicas on healthy tablets, and a note for each of the others. */
function rejoinSteps(
  view: PartitionView,
  replicas: readonly ReplicaView[],
  print: PrintCommand,
  how: Partial<Pick<Step<"rejoin">, "since" | "acceptsLoss">>,
): Pick<OperationPlan, "steps" | "notes"> {
  const [ready, away] = [
    replicas.filter((one) => one.tablet === "ok"),
    replicas.filter((one) => one.tablet !== "ok"),
  ];
  return {
    steps: ready.map((one) => ({
      kind: "rejoin",
      id: view.id,
      endpoint: one.endpoint,
      ...how,
      ...(how.since !== undefined && one.claim.isLeader && one.claim.isAlive
        ? { wasLeader: true }
        : {}),
      why: "it follows the new leader afterwards",
    })),
    notes: away.map(
      (one) =>
        `${one.endpoint} stays out of service: its tablet ${one.tabletDetail}; when it is back: ${print({ cmd: "recoverendpoint", endpoint: one.endpoint })}`,
    ),
  };
}

/**
 * The entries that a change of leader gives up, with numbers: by the operator's decision, or because the leader is
 * absent and its last entries are not known.
 */
export function lossNotes(
  view: PartitionView,
  { from, to, offset, givesUp, lastSeen }: LeaderChange,
): string[] {
  if (!mayGiveUp(givesUp)) {
    const isAway = view.replicas.some((one) => one.endpoint === from && one.tablet !== "ok");
    return from === undefined || !isAway
      ? []
      : [
          `${partitionName(view.id)}: ${to} holds entries up to ${offset}, ${from} was last seen at ${lastSeen ?? "no offset"}; ${unseenTail(from)} is given up`,
        ];
  }
  return [
    `--accept_data_loss: ${givenUpCount(givesUp)} of ${partitionName(view.id)} behind ${offset} of ${to} are given up: ${givesUp.why}`,
  ];
}

function noRecoverNotes({ recovers }: ChangeLeaderOptions, old: readonly ReplicaView[]): string[] {
  if (recovers) return [];
  return old.map((one) => `--no_recover: ${one.endpoint} stays marked not alive`);
}

function refusal(
  view: PartitionView,
  change: LeaderChangeRefusal,
  state: ClusterState,
  options: ChangeLeaderOptions,
): OpsError {
  const hint = hintFor(view, change, options.print, {
    state,
    auto: options.print({ ...typedOf(options), candidate: "auto" }),
    accept: options.print({ ...typedOf(options), accept_data_loss: true }),
  });
  return refused(`the leader of ${partitionName(view.id)} is not changed: ${change.refusal}`, hint);
}

/** The commands to use after a refused change of the leader; each is complete. */
interface Instead {
  readonly state: ClusterState;
  /** Makes the best follower the leader; undefined if no candidate was named. */
  readonly auto?: string;
  /** Accepts the loss. */
  readonly accept: string;
}

/** What to do instead, with complete commands. */
export function hintFor(
  view: PartitionView,
  { remedy }: LeaderChangeRefusal,
  print: PrintCommand,
  { state, auto, accept }: Instead,
): string {
  const { id } = view;
  const recover = print({ cmd: "recoverdata", db: id.db || undefined });
  const best = auto === undefined ? "" : `promote the follower that holds most: ${auto}`;
  const hints: Readonly<Record<LeaderChangeRefusal["remedy"], string>> = {
    auto: best,
    "accept-loss": `first recover the replica that holds more: ${recover}; or name another candidate; or give the entries up: ${accept}`,
    recover: `recover its replicas first: ${recover}`,
    "add-replica": `add a follower first: ${addReplicaText(view, state, print)}`,
    "other-candidate": `${best}; a replica that is marked not alive comes back with: ${print({ cmd: "recovertable", ...partitionFlags(id) })}`,
  };
  return hints[remedy];
}

/**
 * The command that adds one replica of a partition, on the free tablet with the fewest replicas; without a free
 * tablet, how to get one.
 */
export function addReplicaText(
  view: PartitionView,
  state: ClusterState,
  print: PrintCommand,
): string {
  const held = viewPartitions(state).map(({ replicas }) => ({
    replicas: replicas.map((one) => one.endpoint),
  }));
  const counts = countReplicas(held, [...state.tablets.keys()]);
  const endpoint = emptiest(counts, (one) => isFree(state, view, one));
  return endpoint === undefined
    ? `each healthy tablet has a replica of it already: ${freeTabletText(state, view)}`
    : print({ cmd: "addreplica", ...partitionFlags(view.id), endpoint });
}

function complaintsAbout(
  view: PartitionView,
  to: Endpoint | undefined,
  steps: readonly Step[],
): string[] {
  const name = partitionName(view.id);
  const leader = servingLeader(view)?.endpoint;
  const wrong = to !== undefined && leader !== to;
  const changed = new Set(steps.map((one) => one.endpoint));
  const isOfConcern = (endpoint: Endpoint) => {
    const replica = replicaAt(view, endpoint);
    // Replicas that stay out of service, or whose tablet is absent, are not verified.
    const isAway = replica?.tablet !== "ok" || !replica.claim.isAlive;
    return changed.has(endpoint) || !isAway;
  };
  const problems = diagnose(view).filter(
    ({ endpoint }) => endpoint === undefined || isOfConcern(endpoint),
  );
  return [
    ...(wrong ? [`${name} is led by ${leader ?? "no replica"}, not by ${to}`] : []),
    ...problems.map((one) => `${name} ${one.endpoint ?? ""}: ${one.text}`),
  ];
}

function conclusion(view: PartitionView, from: Endpoint | undefined): string[] {
  const leader = servingLeader(view);
  if (leader === undefined) return [];
  const before = from === undefined ? "no leader was alive before" : `${from} led before`;
  return [
    `${partitionName(view.id)}: ${leader.endpoint} ${ledText(view, leader.endpoint)} (${before})`,
  ];
}

/**
 * Returns why a replica that is flagged leader can be neither moved nor deleted, with the command that makes it a
 * follower.
 *
 * @param how `refused`: the participle of the refused action, such as `moved`.
 */
export function leaderObstacle(
  state: ClusterState,
  view: PartitionView,
  endpoint: Endpoint,
  { print, refused }: { readonly print: PrintCommand; readonly refused: string },
): Obstacle {
  const name = partitionName(view.id);
  const of = partitionFlags(view.id);
  const leader = servingLeader(view);
  if (leader !== undefined && leader.endpoint !== endpoint) {
    return {
      text: `${name}: ${endpoint} is still flagged leader beside ${leader.endpoint}, so it cannot be ${refused}`,
      hint: `make it a follower first with: ${print({ cmd: "recovertable", ...of, endpoint })}`,
    };
  }
  const change = checkLeaderChange(view, { candidate: "auto", acceptsLoss: false });
  const text = `${name}: ${endpoint} leads it, and a leader cannot be ${refused}`;
  const hint =
    "refusal" in change
      ? `no follower can lead in its place (${change.refusal}): add one first: ${addReplicaText(view, state, print)}`
      : `change the leader first with: ${print({ cmd: "changeleader", ...of, candidate: change.to })}`;
  return { text, hint };
}
