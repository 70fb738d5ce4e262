import { refused } from "../errors.js";
import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import { counted, suchAs } from "../model/counted.js";
import { givenUpCount, type Loss, lossFlagValue, sumOfLosses } from "../model/loss.js";
import { partitionName } from "../model/partition-view.js";
import type { Problem } from "../model/problem.js";
import { unknownName } from "../util/nearest.js";
import type { Plan } from "./recovery-plan.js";

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
      ? [`all replicas lost: ${suchAs(everyLost, LISTED_MAX, ({ id }) => partitionName(id))}`]
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
  return `${sum} in ${counted(losses.size, "partition")} (${suchAs(each, LISTED_MAX)})`;
}

/** Number of names that are listed; the others are counted. */
const LISTED_MAX = 20;

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
