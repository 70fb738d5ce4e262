import { refused } from "../errors.js";
import { type ClusterState, type Endpoint, replicaKey } from "../model/cluster-state.js";
import { isSuccess, type StepResult } from "../model/outcome.js";
import { type PartitionView, partitionName, replicaAt } from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import type { PrintCommand } from "../model/tool-command.js";
import type { Operation, OperationPlan } from "./operation.js";
import { assertUsable, shortList, tabletAt, viewsAt } from "./targets.js";

/** Limit of partitions that are processed concurrently. */
const CONCURRENCY = 16;
/**
 * Number of replicas that are tried until one matches: on a disk without them, each attempt leaves an empty directory
 * behind (OpenMLDB 0.9 tablet: LoadTable).
 */
const TRIED_MAX = CONCURRENCY;

/** The options of `movetablet`: a tablet that came back under another address. */
export interface MoveOptions {
  /** The tablet on record, which is no longer registered. */
  readonly from: Endpoint;
  /** The registered tablet that may have the disk of `from`. */
  readonly to: Endpoint;
  readonly print: PrintCommand;
}

/**
 * Records a tablet's replicas under its new endpoint, one by one. Each must match first: it loads there as follower,
 * has the table's schema, and holds at least the known entries. A replica that does not match stays in the record as
 * it was. Recovery is a separate command.
 */
export function moveTabletOperation(options: MoveOptions): Operation {
  let tried = 0;
  let proven = 0;
  return {
    typed: { cmd: "movetablet", from: options.from, to: options.to },
    needsOff: true,
    concurrency: CONCURRENCY,
    plan: (state) => planMoving(state, options),
    before() {
      tried += 1;
      if (tried <= TRIED_MAX || proven > 0) return Promise.resolve();
      throw refused(`none of the first ${TRIED_MAX} replicas matches its record at ${options.to}`);
    },
    afterLane() {
      proven += 1;
      return Promise.resolve();
    },
    verify: (after) =>
      viewsAt(after, options.from).map(
        (view) => `${partitionName(view.id)} stays at ${options.from}`,
      ),
    conclude(after, results) {
      const moved = viewsAt(after, options.to).length;
      const isDone = ({ outcome }: StepResult) => isSuccess(outcome.result);
      // A tablet that has replicas of its own may be named by mistake.
      if (moved === 0 || (results.length > 0 && !results.some(isDone))) return [];
      const recover = options.print({ cmd: "recoverdata" });
      return [`${moved} replicas are on record at ${options.to}`, `next, run: ${recover}`];
    },
  };
}

function planMoving(state: ClusterState, options: MoveOptions): OperationPlan {
  const { from, to } = options;
  assertGone(state, from);
  assertUsable(state, to, "tablet");
  const all = viewsAt(state, from);
  const both = all.filter((view) => replicaAt(view, to) !== undefined);
  const busy = all.filter((view) => view.activeOps.length > 0);
  const open = all.filter((view) => !both.includes(view) && !busy.includes(view));
  const { views, unclear } = distinguishable(state, options, open);
  const names = (of: readonly PartitionView[]) => of.map((view) => partitionName(view.id));
  return {
    steps: views.map((view): Step => {
      const flag = replicaAt(view, from)?.claim.isLeader === true ? "leader" : "follower";
      const why = `flagged ${flag}; moved if it matches there`;
      return { kind: "move-in-record", id: view.id, endpoint: from, to, why };
    }),
    notes: [
      ...(all.length === 0 ? [`no replica is on record at ${from}`] : []),
      ...shortList(names(both), `${to} has another replica of it, so that of ${from} stays: `),
      ...shortList(names(busy), "ops of it are running, so it stays; run this command again: "),
      ...shortList(unclear, "stays: "),
    ],
    restsOn: views,
    facts: { from: "not registered", to },
  };
}

/** @throws OpsError `refused` for a tablet that does not exist, or that is not gone. */
function assertGone(state: ClusterState, from: Endpoint): void {
  const view = tabletAt(state, from);
  if (!view.isRegistered && view.claim?.isHealthy !== true) return;
  throw refused(
    `tablet ${from} is ${view.isRegistered ? "registered" : "still healthy for the nameserver"}: it has not moved`,
    "if its old process still runs, stop it; then wait until its registration has ended",
  );
}

/**
 * Selects the partitions whose replicas can identify the tablet. If other tablets are absent too, a
 * partition that such a tablet also holds would load from either disk. These partitions wait until one
 * that the other tablet does not hold has moved, as the record then shows.
 */
function distinguishable(
  state: ClusterState,
  { from, to }: MoveOptions,
  open: readonly PartitionView[],
): { readonly views: readonly PartitionView[]; readonly unclear: readonly string[] } {
  const movedKeys = new Set(viewsAt(state, to).map((view) => replicaKey(view.id)));
  const others = [...state.tablets.values()].filter(
    (one) => !one.isRegistered && one.claim?.isHealthy !== true && one.endpoint !== from,
  );
  let views = open;
  const unclear: string[] = [];
  for (const { endpoint } of others) {
    const theirs = new Set(viewsAt(state, endpoint).map((view) => replicaKey(view.id)));
    if ([...movedKeys].some((key) => !theirs.has(key))) continue;
    const shared = views.filter((view) => theirs.has(replicaKey(view.id)));
    if (shared.length === 0) continue;
    views = views.filter((view) => !shared.includes(view));
    const then =
      views.length > 0
        ? "run this command again once the others are moved"
        : `no replica distinguishes ${from} from ${endpoint}: start that one, or move it, first`;
    for (const { id } of shared) {
      unclear.push(`${partitionName(id)}: ${endpoint} is absent too and holds it; ${then}`);
    }
  }
  return { views, unclear };
}
