import { refused } from "../errors.js";
import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import { counted } from "../model/counted.js";
import { type Loss, lossFlagValue } from "../model/loss.js";
import { type PartitionView, partitionName, type ReplicaView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Problem } from "../model/problem.js";
import type { Step } from "../model/step.js";
import { isLost, lostBeyond } from "../policy/absent-replicas.js";
import { laneOf } from "../policy/lane-of.js";
import { givenUpCount, isWithin, sumOfLosses } from "../policy/what-is-given-up.js";
import { trueOffset } from "../policy/what-it-holds.js";
import { unknownName } from "../util/nearest.js";
import type { AttemptHistory } from "./attempt-history.js";
import type { Plan } from "./recovery-plan.js";

/** What is known in addition to the view when a round is planned. */
export interface Known {
  readonly attempts: AttemptHistory;
  /** The replica that the operator chose as leader if a loss is unavoidable. */
  readonly accepted?: Endpoint | undefined;
  /** The accepted loss of the partition, see {@link Lost.losses}. */
  readonly lossOfLost?: Loss | undefined;
  /** The step that recovers the only replica whose problems are planned for; see `planRejoin`. */
  readonly rejoin?: Step<"rejoin"> | undefined;
}

/** True if a decision is caused by lost tablets alone and its loss is within what was accepted. */
export function isCovered({ isOfLost, loss }: Problem, accepted: Loss | undefined): boolean {
  if (isOfLost !== true || loss === undefined || accepted === undefined) return false;
  return isWithin(loss, accepted);
}

/** Adds the removal of replicas on lost tablets from the record, after all other steps. */
export function planRemoval(
  view: PartitionView,
  leader: ReplicaView,
  steps: readonly Step[],
  { accepted, lossOfLost }: Known,
): Lane {
  const lost = view.replicas.filter(isLost);
  const beyond = lostBeyond(view, leader);
  const loss = { atLeast: beyond, atMost: beyond };
  const mayLose =
    accepted === leader.endpoint || (lossOfLost !== undefined && isWithin(loss, lossOfLost));
  if (lost.length === 0) return laneOf(view, { leader, steps });
  if (beyond > 0n && !mayLose) {
    const blocked: Problem = {
      code: "rows-missing",
      endpoint: lost[0]?.endpoint,
      text: `${leader.endpoint} leads at offset ${trueOffset(leader)}, and ${beyond} entries beyond it were on tablets that are lost`,
      candidate: leader.endpoint,
      loss,
      isOfLost: true,
    };
    return laneOf(
      view,
      steps.length > 0 ? { leader, steps } : { leader: undefined, steps, blocked },
    );
  }
  const removals = lost.map((one): Step => {
    const acceptsLoss = beyond > 0n;
    return {
      kind: "remove-from-record",
      id: view.id,
      endpoint: one.endpoint,
      why: "tablet-offline",
      acceptsLoss,
    };
  });
  const names = lost.map((one) => one.endpoint).join(", ");
  const cost = beyond > 0n ? `${givenUpCount(loss)} given up` : "no known row is given up";
  return laneOf(view, {
    leader,
    steps: [...steps, ...removals],
    notes: [`${names} is lost and removed from the record; ${cost}`],
    givesUp: beyond > 0n,
  });
}

/**
 * The partitions of a plan that wait for a decision caused by lost tablets alone, with the predicted
 * loss of each, by `partitionName`.
 */
export function lossesOf({ partitions }: Pick<Plan, "partitions">): Map<string, Loss> {
  return new Map(
    partitions.flatMap(({ id, rounds }): [string, Loss][] => {
      const blocked = rounds.at(-1)?.blocked;
      return blocked?.isOfLost === true && blocked.loss !== undefined
        ? [[partitionName(id), blocked.loss]]
        : [];
    }),
  );
}

/**
 * What a plan means for the lost tablets, in words.
 *
 * @returns Lines without line ends; empty if no tablet is lost. Names are not made safe.
 */
export function lostLines(plan: Plan): string[] {
  if (plan.lost === undefined) return [];
  const removals = plan.partitions.flatMap(({ rounds }) =>
    rounds.flatMap(({ steps }) => steps.filter((one) => one.kind === "remove-from-record")),
  );
  const open = lossesOf(plan);
  const accepted = plan.lost.losses;
  const everyLost = plan.partitions.filter(({ rounds }) =>
    isEveryReplicaLost(rounds.at(-1)?.blocked),
  );
  return [
    `declared lost (--lost): ${[...plan.lost.tablets].join(", ")}; ${counted(removals.length, "replica")} to be removed from the record`,
    ...(accepted.size > 0 ? [`given up under --accept_data_loss: ${lossText(accepted)}`] : []),
    ...(open.size > 0
      ? [
          `left alone until the loss is accepted: ${lossText(open)}; to accept it: --accept_data_loss=${lossFlagValue(sumOfLosses([...open.values()]))}`,
        ]
      : []),
    ...(open.size + accepted.size + everyLost.length === 0
      ? ["no known row is given up with them"]
      : []),
    ...(everyLost.length > 0
      ? [`every replica is lost of: ${listed(everyLost.map(({ id }) => partitionName(id)))}`]
      : []),
  ];
}

/** True for the problem of `decideLeader` that names no replica, since all of them are lost. */
function isEveryReplicaLost(blocked: Problem | undefined): boolean {
  return (
    blocked?.code === "leader-unavailable" &&
    blocked.endpoint === undefined &&
    blocked.candidate === undefined
  );
}

function lossText(losses: ReadonlyMap<string, Loss>): string {
  const each = [...losses].map(([name, loss]) => `${name} ${givenUpCount(loss)}`);
  const sum = givenUpCount(sumOfLosses([...losses.values()]));
  return `${sum} in ${counted(losses.size, "partition")} (${listed(each)})`;
}

/** Number of names that are listed; the others are counted. */
const LISTED_MAX = 20;

function listed(names: readonly string[]): string {
  const more = names.length - LISTED_MAX;
  return `${names.slice(0, LISTED_MAX).join(", ")}${more > 0 ? `, and ${more} more` : ""}`;
}

/**
 * Checks the tablets of `--lost`: a tablet that is registered, or healthy for the nameserver, is not lost.
 *
 * @throws OpsError `refused` for a tablet that does not exist or is not gone.
 */
export function checkLost({ tablets }: ClusterState, lost: ReadonlySet<Endpoint>): void {
  for (const endpoint of lost) {
    const view = tablets.get(endpoint);
    if (view === undefined) {
      throw unknownName("tablet", endpoint, [...tablets.keys()]);
    }
    if (!view.isRegistered && view.claim?.isHealthy !== true) continue;
    throw refused(
      view.isRegistered
        ? `tablet ${endpoint} is registered in ZooKeeper: it is not lost`
        : `tablet ${endpoint} is healthy for the nameserver: its registration has just ended`,
      view.isRegistered
        ? "leave out --lost for it; stop the tablet first if it must never serve again"
        : "wait some seconds, then run it again",
    );
  }
}
