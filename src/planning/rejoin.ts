import { diagnose } from "../diagnosis/diagnose.js";
import { type PartitionView, replicaAt } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Problem } from "../model/problem.js";
import type { Step } from "../model/step.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { whyNotOverwrite } from "../policy/what-may-be-overwritten.js";
import type { AttemptHistory } from "./attempt-history.js";
import { afterDemotions, laneOf } from "./build-lane.js";
import { planProblems } from "./direct.js";

/**
 * Plans the next round of recovering one replica, with the proofs of `planDirect`: it is loaded as
 * follower, which shows its offset. If its log is a prefix of the leader's, the leader replicates to it
 * from there. Otherwise RecoverTable copies the leader's data, once the leader is proven to hold all
 * known entries. The only replica of a partition is loaded and leads.
 *
 * Problems of other replicas are left alone, except that running ex-leaders are demoted before the
 * replica is loaded.
 *
 * @returns A lane without steps if nothing is wrong with the replica, or if nothing may be done
 *   (`blocked`).
 */
export function planRejoin(
  view: PartitionView,
  step: Step<"rejoin">,
  attempts: AttemptHistory,
): Lane {
  const { id, endpoint, since, why } = step;
  const leader = servingLeader(view);
  const replica = replicaAt(view, endpoint);
  const danger = replica && whyNotOverwrite(view, replica, since);
  if (step.acceptsLoss === true && leader !== undefined && danger?.isLoss === true) {
    const rebuild: Step = { kind: "recover-table", id, endpoint, since, acceptsLoss: true, why };
    return laneOf(view, { leader, steps: afterDemotions(view, leader, [rebuild]) });
  }
  const isOfIt = (one: Problem) => one.endpoint === endpoint || view.replicas.length === 1;
  return planProblems(view, diagnose(view).filter(isOfIt), { attempts, rejoin: step });
}
