import { OpsError } from "../errors.js";
import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import { counted } from "../model/counted.js";
import { type Loss, lossFlagValue } from "../model/loss.js";
import { type PartitionView, partitionName, type ReplicaView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Problem } from "../model/problem.js";
import type { Step } from "../model/step.js";
import { laneOf } from "../policy/lane-of.js";
import { isLost, lostBeyond } from "../policy/lost-replicas.js";
import { givenUpCount, isWithin, sumOfLosses } from "../policy/what-is-given-up.js";
import { trueOffset } from "../policy/what-it-holds.js";
import { unknownName } from "../util/nearest.js";
import type { AttemptHistory } from "./attempt-history.js";
import type { Plan } from "./recovery-plan.js";

/** What is known beside the view when a round is planned. */
export interface Known {
  readonly attempts: AttemptHistory;
  /** The replica that the operator chose to lead where something is given up. */
  readonly accepted?: Endpoint | undefined;
  /** See {@link Lost.losses}; that of the partition. */
  readonly lossOfLost?: Loss | undefined;
  /** The step that brings back the one replica whose problems are planned for; see `planRejoin`. */
  readonly rejoin?: Step<"rejoin"> | undefined;
}

/** Whether a decision is due to lost tablets alone and costs no more than was accepted. */
export function isCovered({ isOfLost, loss }: Problem, accepted: Loss | undefined): boolean {
  if (isOfLost !== true || loss === undefined || accepted === undefined) return false;
  return isWithin(loss, accepted);
}

/** Takes the replicas of lost tablets off the record, after all other steps. */
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
  const price = beyond > 0n ? `${givenUpCount(loss)} given up` : "no known row is given up";
  return laneOf(view, {
    leader,
    steps: [...steps, ...removals],
    notes: [`${names} is lost and removed from the record; ${price}`],
    givesUp: beyond > 0n,
  });
}

/**
 * The partitions of a plan that wait for a decision due to lost tablets alone, and what each would
 * cost, by `partitionName`; as far as the plan foresees it.
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
 * What a plan means for the tablets that are lost, for people.
 *
 * @returns Lines without line ends; empty if none is lost. Names are as they are.
 */
export function lostLines(plan: Plan): string[] {
  if (plan.lost === undefined) return [];
  const removals = plan.partitions.flatMap(({ rounds }) =>
    rounds.flatMap(({ steps }) => steps.filter((one) => one.kind === "remove-from-record")),
  );
  const open = lossesOf(plan);
  const accepted = plan.lost.losses;
  const nothingLeft = plan.partitions.filter(({ rounds }) => isNothingLeft(rounds.at(-1)?.blocked));
  return [
    `lost for good, as --lost says: ${[...plan.lost.tablets].join(", ")}; ${counted(removals.length, "replica")} to be removed from the record`,
    ...(accepted.size > 0 ? [`given up, as --accept_data_loss says: ${lossText(accepted)}`] : []),
    ...(open.size > 0
      ? [
          `left alone until the loss is accepted: ${lossText(open)}; to accept it: --accept_data_loss=${lossFlagValue(sumOfLosses([...open.values()]))}`,
        ]
      : []),
    ...(open.size + accepted.size + nothingLeft.length === 0
      ? ["no known row is given up with them"]
      : []),
    ...(nothingLeft.length > 0
      ? [`nothing is left of ${listed(nothingLeft.map(({ id }) => partitionName(id)))}`]
      : []),
  ];
}

function isNothingLeft(blocked: Problem | undefined): boolean {
  return blocked?.code === "leader-unavailable" && blocked.candidate === undefined;
}

function lossText(losses: ReadonlyMap<string, Loss>): string {
  const each = [...losses].map(([name, loss]) => `${name} ${givenUpCount(loss)}`);
  const sum = givenUpCount(sumOfLosses([...losses.values()]));
  return `${sum} in ${counted(losses.size, "partition")} (${listed(each)})`;
}

/** Names that are listed; the others are counted. */
const LISTED_MAX = 20;

function listed(names: readonly string[]): string {
  const more = names.length - LISTED_MAX;
  return `${names.slice(0, LISTED_MAX).join(", ")}${more > 0 ? `, and ${more} more` : ""}`;
}

/**
 * Checks what `--lost` says: a tablet that is registered, or healthy for the nameserver, is not lost.
 *
 * @throws OpsError `refused` for a tablet that does not exist, or that is not gone.
 */
export function checkLost({ tablets }: ClusterState, lost: ReadonlySet<Endpoint>): void {
  for (const endpoint of lost) {
    const view = tablets.get(endpoint);
    if (view === undefined) {
      throw unknownName("tablet", endpoint, [...tablets.keys()]);
    }
    if (!view.isRegistered && view.claim?.isHealthy !== true) continue;
    throw new OpsError({
      code: "refused",
      message: view.isRegistered
        ? `tablet ${endpoint} is registered in ZooKeeper: it is not lost`
        : `tablet ${endpoint} is healthy for the nameserver: its registration has just ended`,
      hint: view.isRegistered
        ? "leave out --lost for it; stop the tablet first if it must never serve again"
        : "wait some seconds, then run it again",
    });
  }
}
