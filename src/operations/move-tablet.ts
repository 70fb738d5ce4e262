import { OpsError } from "../errors.js";
import { type ClusterState, type Endpoint, replicaKey } from "../model/cluster-state.js";
import { type PartitionView, partitionName, viewPartitions } from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import type { PrintCommand } from "../model/tool-command.js";
import { unknownName } from "../util/nearest.js";
import type { Operation, OperationPlan } from "./operation.js";
import { shortList } from "./scaleout.js";
import { assertUsable, refused, replicaAt } from "./targets.js";

/** Partitions worked on at the same time. */
const CONCURRENCY = 16;
/**
 * How many replicas are tried before one has proved itself: on a disk without them each try leaves an
 * empty directory behind (OpenMLDB 0.9 tablet: LoadTable).
 */
const TRIED_MAX = CONCURRENCY;

/** A tablet that came back under another address. */
export interface MoveOptions {
  /** The tablet on record, which is not registered any more. */
  readonly from: Endpoint;
  /** The tablet that is registered, and may have the disk of `from`. */
  readonly to: Endpoint;
  readonly print: PrintCommand;
}

/**
 * Gives the replicas of a tablet its new endpoint on record, one after the other, each after it has
 * proved itself there: it loads as follower, with the table's own schema, and holds at least what is known
 * of it. What does not prove itself stays. Nothing else is done: recovery comes afterwards.
 */
export function moveTabletOperation(options: MoveOptions): Operation {
  let tried = 0;
  let proven = 0;
  return {
    command: "movetablet",
    typed: { cmd: "movetablet", from: options.from, to: options.to },
    needsOff: true,
    concurrency: CONCURRENCY,
    plan: (state) => planMoving(state, options),
    before() {
      tried += 1;
      if (tried <= TRIED_MAX || proven > 0) return Promise.resolve();
      throw new OpsError({
        code: "refused",
        message: `none of the first ${TRIED_MAX} replicas has proved itself at ${options.to}`,
      });
    },
    afterLane() {
      proven += 1;
      return Promise.resolve();
    },
    verify: (after) =>
      held(after, options.from).map((view) => `${partitionName(view.id)} stays at ${options.from}`),
    conclude(after) {
      const moved = held(after, options.to).length;
      const recover = options.print({ cmd: "recoverdata" });
      return moved === 0
        ? []
        : [`${moved} replicas are on record at ${options.to}`, `next, run: ${recover}`];
    },
  };
}

function planMoving(state: ClusterState, options: MoveOptions): OperationPlan {
  const { from, to } = options;
  assertGone(state, from);
  assertUsable(state, to, "tablet");
  const all = held(state, from);
  const both = all.filter((view) => replicaAt(view, to) !== undefined);
  const busy = all.filter((view) => view.activeOps.length > 0);
  const open = all.filter((view) => !both.includes(view) && !busy.includes(view));
  const { views, unclear } = distinguishable(state, options, open);
  const names = (of: readonly PartitionView[]) => of.map((view) => partitionName(view.id));
  return {
    steps: views.map((view): Step => {
      const flag = replicaAt(view, from)?.claim.isLeader === true ? "leader" : "follower";
      const why = `flagged ${flag}; moved if it proves itself there`;
      return { kind: "move-in-record", id: view.id, endpoint: from, to, why };
    }),
    notes: [
      ...(all.length === 0 ? [`no replica is on record at ${from}`] : []),
      ...shortList(names(both), `${to} has another replica of it, so that of ${from} stays: `),
      ...shortList(names(busy), "ops of it are under way, so it stays; run this again: "),
      ...shortList(unclear, "stays: "),
    ],
    restsOn: views,
    facts: { from: "not registered", to },
  };
}

/** @throws OpsError `refused` for a tablet that does not exist, or that is not gone. */
function assertGone(state: ClusterState, from: Endpoint): void {
  const view = state.tablets.get(from);
  if (view === undefined) throw unknownName("tablet", from, [...state.tablets.keys()].sort());
  if (!view.isRegistered && view.claim?.isHealthy !== true) return;
  throw refused(
    `tablet ${from} is ${view.isRegistered ? "registered" : "still healthy for the nameserver"}: it has not moved`,
    "if its old process still runs, stop it; then wait until its registration has ended",
  );
}

/** The partitions with a replica on record at a tablet. */
function held(state: ClusterState, endpoint: Endpoint): PartitionView[] {
  return viewPartitions(state).filter((view) => replicaAt(view, endpoint) !== undefined);
}

/**
 * Where other tablets are away too, a replica that loads proves only whose disk it is not: a partition
 * that another absent tablet holds as well would load from that one's disk all the same. So these wait
 * until something that the other does not hold has proved itself, which the record shows.
 */
function distinguishable(
  state: ClusterState,
  { from, to }: MoveOptions,
  open: readonly PartitionView[],
): { readonly views: readonly PartitionView[]; readonly unclear: readonly string[] } {
  const movedKeys = new Set(held(state, to).map((view) => replicaKey(view.id)));
  const others = [...state.tablets.values()].filter(
    (one) => !one.isRegistered && one.claim?.isHealthy !== true && one.endpoint !== from,
  );
  let views = open;
  const unclear: string[] = [];
  for (const { endpoint } of others) {
    const theirs = new Set(held(state, endpoint).map((view) => replicaKey(view.id)));
    if ([...movedKeys].some((key) => !theirs.has(key))) continue;
    const shared = views.filter((view) => theirs.has(replicaKey(view.id)));
    if (shared.length === 0) continue;
    views = views.filter((view) => !shared.includes(view));
    const then =
      views.length > 0
        ? "run this again once the others are moved"
        : `nothing at ${from} tells it from ${endpoint}: start that one, or move it, first`;
    for (const { id } of shared) {
      unclear.push(`${partitionName(id)}: ${endpoint} is away too and holds it; ${then}`);
    }
  }
  return { views, unclear };
}
