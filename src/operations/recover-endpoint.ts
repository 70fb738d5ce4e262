import { diagnose, problemsAt } from "../diagnosis/diagnose.js";
import { refused } from "../errors.js";
import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import type { PartitionRef } from "../model/partition-name.js";
import { type PartitionView, partitionName, replicaAt } from "../model/partition-view.js";
import type { Method } from "../model/plan.js";
import type { Step } from "../model/step.js";
import type { PrintCommand } from "../model/tool-command.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { whyNotOverwrite } from "../policy/what-may-be-overwritten.js";
import { leaderSteps } from "./moves.js";
import { assertNamed } from "./offline-endpoint.js";
import type { Operation, OperationPlan } from "./operation.js";
import { assertNone, assertUsable, ledText, viewsAt } from "./targets.js";

/** The options of `recoverendpoint`. */
export interface RecoverOptions {
  readonly endpoint: Endpoint;
  /** True if the tablet leads again what it led before. */
  readonly needRestore: boolean;
  /**
   * The nameserver's queues, or partitions at a time; 1..8. Undefined: the nameserver's default.
   */
  readonly concurrency: number | undefined;
  /**
   * `direct`: the leader replicates to each replica whose log is a prefix of its own. `documented`: RecoverEndpoint.
   * Undefined: direct.
   */
  readonly method: Method | undefined;
  /** Partitions in which entries may be given up. */
  readonly acceptDataLoss: readonly PartitionRef[];
  readonly print: PrintCommand;
}

/** Limit of concurrent partitions with the documented method; the nameserver has at most 8 queues. */
const AT_ONCE = 8;
/** Limit of concurrent partitions with the direct method, as with `recoverdata`. */
const DIRECT_AT_ONCE = 128;

/** Recovers the replicas of a tablet that are marked not alive. */
export function recoverEndpointOperation(options: RecoverOptions): Operation {
  const { endpoint } = options;
  const wanted = new Set<string>();
  return {
    typed: typedOf(options),
    needsOff: true,
    concurrency: options.concurrency ?? (isDirect(options) ? DIRECT_AT_ONCE : AT_ONCE),
    plan(state) {
      for (const view of viewsAt(state, endpoint)) {
        if (isToRecover(view, endpoint) || isUnmarkedNotLoaded(view, endpoint)) {
          wanted.add(partitionName(view.id));
        }
      }
      return planOf(state, options);
    },
    verify: (after) =>
      viewsAt(after, endpoint)
        .filter((view) => wanted.has(partitionName(view.id)))
        .flatMap((view) => complaintsAbout(view, endpoint)),
    conclude: (after, results) =>
      conclusions(
        viewsAt(after, endpoint),
        wanted,
        results.map((one) => one.step),
      ),
  };
}

function isDirect({ method }: RecoverOptions): boolean {
  return method !== "documented";
}

function typedOf(
  options: RecoverOptions,
  accepted: readonly PartitionRef[] = options.acceptDataLoss,
) {
  return {
    cmd: "recoverendpoint",
    endpoint: options.endpoint,
    need_restore: options.needRestore,
    concurrency: options.concurrency,
    method: options.method,
    accept_data_loss: accepted,
  } as const;
}

/** A replica that must not be recovered in the present state. */
interface Danger {
  readonly view: PartitionView;
  readonly text: string;
  readonly hint: string;
  readonly isLoss: boolean;
}

function planOf(state: ClusterState, options: RecoverOptions): OperationPlan {
  const { endpoint, needRestore, concurrency, acceptDataLoss, print } = options;
  const views = viewsAt(state, endpoint);
  const todo = views.filter((view) => isToRecover(view, endpoint));
  const accepts = new Set(acceptDataLoss.map(partitionName));
  assertUsable(state, endpoint, "tablet");
  assertNamed(acceptDataLoss, views);
  const unmarked = views.filter((view) => isUnmarkedNotLoaded(view, endpoint));
  if (todo.length === 0) {
    assertOffline(unmarked, endpoint, print);
    return { steps: [], notes: [`every replica at ${endpoint} is alive`], restsOn: views };
  }
  const all = todo.flatMap((view) => dangerOf(view, options));
  const isAccepted = ({ view, isLoss }: Danger) => isLoss && accepts.has(partitionName(view.id));
  const refusals = all.filter((one) => !isAccepted(one));
  if (refusals.length === todo.length) {
    assertNone(refusals, `nothing is recovered at ${endpoint}`);
  }
  const safe = todo.filter((view) => !refusals.some((one) => one.view === view));
  const accepted = new Set(all.filter(isAccepted).map(({ view }) => view));
  const notes = [
    ...all.filter(isAccepted).map((one) => `--accept_data_loss: ${one.text}`),
    ...refusals.map((one) => `left alone: ${one.text}; ${one.hint}`),
    ...unmarked.map(
      (view) =>
        `left alone: ${partitionName(view.id)} is not loaded there, but still marked alive; run first: ${print({ cmd: "offlineendpoint", endpoint })}`,
    ),
  ];
  if (!isDirect(options) && all.length === 0 && !needRestore) {
    return { steps: [wholeStep(endpoint, concurrency, todo.length)], notes, restsOn: views };
  }
  const oneByOne =
    isDirect(options) || refusals.length === 0
      ? []
      : ["RecoverEndpoint would recover all of them, so the others are recovered one by one"];
  const steps = safe.flatMap((view) => laneOf(view, { options, isAccepted: accepted.has(view) }));
  return { steps, notes: [...oneByOne, ...notes], restsOn: views };
}

function wholeStep(endpoint: Endpoint, concurrency: number | undefined, count: number): Step {
  return {
    kind: "recover-endpoint",
    endpoint,
    concurrency,
    why: `${count} replicas there are marked not alive`,
  };
}

/**
 * True if RecoverEndpoint would recover the replica: it is marked not alive, or a single unhealthy one.
 */
export function isToRecover(view: PartitionView, endpoint: Endpoint): boolean {
  const replica = replicaAt(view, endpoint);
  if (replica === undefined) return false;
  return !replica.claim.isAlive || (view.replicas.length === 1 && isUnhealthy(view, endpoint));
}

/** True if the replica has a problem. */
export function isUnhealthy(view: PartitionView, endpoint: Endpoint): boolean {
  return problemsAt(view, endpoint).length > 0;
}

/**
 * True if the replica is marked alive but not loaded, and its partition has other replicas: the state after a restart.
 */
function isUnmarkedNotLoaded(view: PartitionView, endpoint: Endpoint): boolean {
  const replica = replicaAt(view, endpoint);
  return (
    view.replicas.length > 1 && replica?.claim.isAlive === true && replica.report === undefined
  );
}

/** @throws OpsError `refused` if replicas are not loaded and still marked alive. */
function assertOffline(
  unmarked: readonly PartitionView[],
  endpoint: Endpoint,
  print: PrintCommand,
): void {
  if (unmarked.length === 0) return;
  const isLed = unmarked.every((view) =>
    view.replicas.some(
      (one) => one.endpoint !== endpoint && one.claim.isAlive && one.report !== undefined,
    ),
  );
  throw refused(
    `${unmarked.length} replicas at ${endpoint} are not loaded, but still marked alive, and RecoverEndpoint recovers only what is marked not alive: offlineendpoint has to be run first`,
    isLed
      ? `run ${print({ cmd: "offlineendpoint", endpoint })}, then this command again; all of it at once: ${print({ cmd: "recoverdata" })}`
      : `no other replica of some partitions is loaded either, so none could take over: run ${print({ cmd: "recoverdata" })}`,
    unmarked.map((view) => partitionName(view.id)),
  );
}

function dangerOf(view: PartitionView, options: RecoverOptions): Danger[] {
  const { endpoint, print } = options;
  const replica = replicaAt(view, endpoint);
  const danger = replica && whyNotOverwrite(view, replica);
  if (danger === undefined) return [];
  const name = partitionName(view.id);
  const hint = danger.isLoss
    ? `copy them from there if they are needed, then give them up: ${print(typedOf(options, [...options.acceptDataLoss, view.id]))}`
    : print({ cmd: "recoverdata", db: view.id.db || undefined });
  return [{ view, text: `${name} at ${endpoint}: ${danger.text}`, hint, isLoss: danger.isLoss }];
}

/** The steps for one partition, in order. */
function laneOf(
  view: PartitionView,
  { options, isAccepted }: { readonly options: RecoverOptions; readonly isAccepted: boolean },
): Step[] {
  const { id } = view;
  const { endpoint, needRestore } = options;
  const kind = isDirect(options) ? "rejoin" : "recover-table";
  const why = "it is marked not alive";
  const recover: Step = { kind, id, endpoint, acceptsLoss: isAccepted, why };
  const leader = servingLeader(view);
  const ledOnce = replicaAt(view, endpoint)?.claim.isLeader === true;
  if (!needRestore || !ledOnce || leader === undefined) return [recover];
  const change = { from: leader.endpoint, to: endpoint, why: "--need_restore: it led before" };
  return [recover, ...leaderSteps(view, { ...change, isFirst: true, kind })];
}

function complaintsAbout(view: PartitionView, endpoint: Endpoint): string[] {
  const name = partitionName(view.id);
  return diagnose(view)
    .filter((one) => one.endpoint === endpoint || one.endpoint === undefined)
    .map((one) => `${name} ${endpoint}: ${one.text}`);
}

function conclusions(
  views: readonly PartitionView[],
  wanted: ReadonlySet<string>,
  steps: readonly Step[],
): string[] {
  const mine = views.filter((view) => wanted.has(partitionName(view.id)));
  const moved = steps.filter((one) => one.kind === "change-leader");
  return mine.flatMap((view) => {
    const from = moved.find((one) => one.id?.tid === view.id.tid && one.id.pid === view.id.pid);
    const leader = servingLeader(view)?.endpoint;
    if (from === undefined || leader === undefined) return [];
    return [`${partitionName(view.id)}: ${from.from} -> ${leader}, ${ledText(view, leader)}`];
  });
}
