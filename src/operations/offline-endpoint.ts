import { refused } from "../errors.js";
import type { ClusterState, Endpoint, PartitionId } from "../model/cluster-state.js";
import { counted } from "../model/counted.js";
import { mayGiveUp } from "../model/loss.js";
import type { PartitionRef } from "../model/partition-name.js";
import {
  type PartitionView,
  partitionName,
  replicaAt,
  tabletHealth,
  viewPartitions,
} from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import type { PrintCommand } from "../model/tool-command.js";
import { checkLeaderChange, type LeaderChange, leadCounts } from "../policy/check-leader-change.js";
import { isServing, servingLeader } from "../policy/what-it-holds.js";
import { unknownName } from "../util/nearest.js";
import { hintFor, lossNotes } from "./change-leader.js";
import type { Operation, OperationPlan } from "./operation.js";
import { assertNone, ledText, type Obstacle, tabletAt, viewsAt } from "./targets.js";

/** The options of `offlineendpoint`. */
export interface OfflineOptions {
  readonly endpoint: Endpoint;
  /** The nameserver's queues, or partitions at a time; 1..8. Undefined: the nameserver's default. */
  readonly concurrency: number | undefined;
  /** True if partitions with a single replica may go out of service. */
  readonly allowsSingleReplica: boolean;
  /** Partitions in which entries may be given up. */
  readonly acceptDataLoss: readonly PartitionRef[];
  readonly print: PrintCommand;
}

/**
 * Limit of concurrent partitions if each has its own steps; the nameserver has at most 8 queues.
 */
const AT_ONCE = 8;

/** What is done about one partition. */
interface EndpointAction {
  readonly view: PartitionView;
  /** Empty if its replica is out of service already, or if there is an obstacle. */
  readonly steps: readonly Step[];
  readonly notes?: readonly string[];
  /** The change of its leader; undefined if another replica leads. */
  readonly change?: LeaderChange;
  readonly obstacle?: Obstacle;
}

/**
 * Takes a tablet out of service: others lead its partitions, and its replicas are marked not alive.
 */
export function offlineEndpointOperation(options: OfflineOptions): Operation {
  const led = new Map<string, Endpoint | undefined>();
  const { endpoint } = options;
  return {
    typed: typedOf(options),
    needsOff: true,
    concurrency: options.concurrency ?? AT_ONCE,
    plan(state) {
      const views = viewsAt(state, endpoint);
      for (const view of views) {
        const leader = view.replicas.find((one) => one.claim.isLeader && one.claim.isAlive);
        led.set(partitionName(view.id), leader?.endpoint);
      }
      return planOf(state, views, options);
    },
    verify: (after) => viewsAt(after, endpoint).flatMap((view) => complaintsAbout(view, endpoint)),
    conclude: (after, results) =>
      results.length === 0
        ? []
        : viewsAt(after, endpoint).flatMap((view) => conclusion(view, led, endpoint)),
  };
}

function typedOf(
  options: OfflineOptions,
  accepted: readonly PartitionRef[] = options.acceptDataLoss,
) {
  return {
    cmd: "offlineendpoint",
    endpoint: options.endpoint,
    concurrency: options.concurrency,
    allow_single_replica: options.allowsSingleReplica,
    accept_data_loss: accepted,
  } as const;
}

/**
 * Checks that the partitions of `--accept_data_loss` have a replica there.
 *
 * @throws OpsError `refused` with the nearest one.
 */
export function assertNamed(named: readonly PartitionRef[], views: readonly PartitionView[]): void {
  const known = views.map((view) => partitionName(view.id));
  const unknown = named.map(partitionName).find((name) => !known.includes(name));
  if (unknown !== undefined) throw unknownName("partition with a replica there", unknown, known);
}

function planOf(
  state: ClusterState,
  views: readonly PartitionView[],
  options: OfflineOptions,
): OperationPlan {
  const { endpoint } = options;
  const tablet = tabletAt(state, endpoint);
  if (tablet.claim === undefined) {
    throw refused(
      `the nameserver does not know ${endpoint} since it leads (code 302), so it cannot mark its replicas`,
      `recover its partitions: ${options.print({ cmd: "recoverdata" })}`,
    );
  }
  assertNamed(options.acceptDataLoss, views);
  const isServingTablet = tabletHealth(tablet).tablet === "ok";
  const actions = endpointActions(state, views, options);
  const obstacles = actions.flatMap((one) => one.obstacle ?? []);
  // A tablet that serves must not be taken out of service at the cost of rows. One that does not serve is out already.
  if (isServingTablet) {
    assertNone(obstacles, `${endpoint} is not taken out of service`);
    assertSingle(actions, options);
  }
  const steps = actions.flatMap((one) => one.steps);
  // An empty plan must not hide that every partition is blocked.
  if (steps.length === 0) assertNone(obstacles, `nothing can be done about ${endpoint}`);
  const notes = [
    ...actions.flatMap((one) => one.notes ?? []),
    ...obstacles.map((one) => `left alone: ${one.text}; ${one.hint}`),
  ];
  const givesUp = actions.some(({ change }) => change !== undefined && mayGiveUp(change.givesUp));
  const isWhole = steps.length > 0 && !isServingTablet && obstacles.length === 0 && !givesUp;
  return { steps: isWhole ? [wholeStep(options, steps.length)] : steps, notes, restsOn: views };
}

function wholeStep({ endpoint, concurrency }: OfflineOptions, count: number): Step {
  return {
    kind: "offline-endpoint",
    endpoint,
    concurrency,
    why: `its tablet does not serve; ${count} partitions have a replica there`,
  };
}

function endpointActions(
  state: ClusterState,
  views: readonly PartitionView[],
  options: OfflineOptions,
): EndpointAction[] {
  const leads = leadCounts(viewPartitions(state));
  return views.map((view) => {
    const action = endpointAction(state, view, options, leads);
    if (action.change !== undefined) leads.add(action.change.to);
    return action;
  });
}

function endpointAction(
  state: ClusterState,
  view: PartitionView,
  options: OfflineOptions,
  leads: (one: Endpoint) => number,
): EndpointAction {
  const { endpoint, acceptDataLoss, print } = options;
  const name = partitionName(view.id);
  const replica = replicaAt(view, endpoint);
  const replicaSteps = replica?.claim.isAlive === true ? [replicaStep(view, endpoint)] : [];
  if (view.replicas.length === 1) {
    const notes = replicaSteps.map(() => `${name} goes out of service: it has no other replica`);
    return { view, steps: replicaSteps, notes };
  }
  const leader = servingLeader(view);
  if (leader !== undefined && leader !== replica) return { view, steps: replicaSteps };
  const acceptsLoss = acceptDataLoss.some((one) => partitionName(one) === name);
  const others = { ...view, replicas: view.replicas.map((one) => asGone(one, endpoint)) };
  const of = leader === undefined ? others : view;
  const change = checkLeaderChange(of, { candidate: "auto", acceptsLoss, leads });
  if ("refusal" in change) {
    const accept = print(typedOf(options, [...acceptDataLoss, view.id]));
    const hint = hintFor(view, change, print, { state, accept });
    return { view, steps: [], obstacle: { text: `${name}: ${change.refusal}`, hint } };
  }
  const steps = [
    leaderStep(view.id, change, endpoint),
    ...(change.from === endpoint ? [] : [replicaStep(view, endpoint)]),
  ];
  return { view, steps, notes: lossNotes(view, change), change };
}

/** The replica without its alive flag, so that it is not chosen as leader. */
function asGone(replica: PartitionView["replicas"][number], endpoint: Endpoint) {
  if (replica.endpoint !== endpoint || replica.claim.isLeader) return replica;
  return { ...replica, claim: { ...replica.claim, isAlive: false } };
}

/** Refuses if partitions whose only replica is here would go out of service without permission. */
function assertSingle(actions: readonly EndpointAction[], options: OfflineOptions): void {
  const single = actions.filter(
    ({ view, steps }) =>
      view.replicas.length === 1 && steps.length > 0 && view.replicas.every(isServing),
  );
  if (single.length === 0 || options.allowsSingleReplica) return;
  throw refused(
    `${counted(single.length, "partition")} would go out of service: ${options.endpoint} has the only replica`,
    `give each of them a second replica first, or let them go out of service: ${options.print({ ...typedOf(options), allow_single_replica: true })}`,
    single.map((one) => partitionName(one.view.id)),
  );
}

function leaderStep(
  id: PartitionId,
  { from, to, offset, givesUp, lastSeen }: LeaderChange,
  endpoint: Endpoint,
): Step {
  return {
    kind: "change-leader",
    id,
    endpoint: to,
    from,
    lastSeen,
    acceptsLoss: mayGiveUp(givesUp),
    why: `${endpoint} is taken out of service; holds entries up to ${offset}`,
  };
}

function replicaStep({ id }: PartitionView, endpoint: Endpoint): Step {
  return {
    kind: "offline-replica",
    id,
    endpoint,
    why: "marked not alive, and removed from its leader's replication list",
  };
}

function complaintsAbout(view: PartitionView, endpoint: Endpoint): string[] {
  const name = partitionName(view.id);
  const isAlive = replicaAt(view, endpoint)?.claim.isAlive === true;
  const isLed = view.replicas.length === 1 || servingLeader(view) !== undefined;
  return [
    ...(isAlive ? [`${name}: the replica at ${endpoint} is still marked alive`] : []),
    ...(isLed ? [] : [`${name}: no replica leads it`]),
  ];
}

function conclusion(
  view: PartitionView,
  led: ReadonlyMap<string, Endpoint | undefined>,
  endpoint: Endpoint,
): string[] {
  const name = partitionName(view.id);
  if (view.replicas.length === 1) {
    return [`${name} is out of service: its only replica is at ${endpoint}`];
  }
  const now = servingLeader(view)?.endpoint;
  const before = led.get(name);
  if (now === undefined || now === before) return [];
  return [`${name}: ${before ?? "none"} -> ${now}, ${ledText(view, now)}`];
}
