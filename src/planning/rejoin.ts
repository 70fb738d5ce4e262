import { diagnose } from "../diagnosis/diagnose.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Problem } from "../model/problem.js";
import type { Step } from "../model/step.js";
import { laneOf } from "../policy/lane-of.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { whyNotOverwrite } from "../policy/what-may-be-overwritten.js";
import type { AttemptHistory } from "./attempt-history.js";
import { planOn } from "./direct.js";
import { exLeadersBefore } from "./ex-leaders.js";

/**
 * Plans the next round of bringing one replica back, with the proofs of `planDirect`: it is loaded as
 * follower, which shows what it holds; where that is a prefix of the leader's log, the leader replicates to
 * it from there; only else RecoverTable copies it, once the leader is proven to hold what it has. A replica
 * that is alone in its partition is loaded and leads.
 *
 * Problems of other replicas are left alone, but ex-leaders that still run are demoted before it is loaded.
 *
 * @returns A lane without steps if nothing is wrong with the replica, or if nothing may be done (`blocked`).
 */
export function planRejoin(
  view: PartitionView,
  step: Step<"rejoin">,
  attempts: AttemptHistory,
): Lane {
  const { id, endpoint, since, why } = step;
  const leader = servingLeader(view);
  const replica = view.replicas.find((one) => one.endpoint === endpoint);
  const danger = replica && whyNotOverwrite(view, replica, since);
  if (step.acceptsLoss === true && leader !== undefined && danger?.isLoss === true) {
    const rebuild: Step = { kind: "recover-table", id, endpoint, since, acceptsLoss: true, why };
    const steps = [...exLeadersBefore(view, leader, [rebuild]), rebuild];
    return laneOf(view, { leader, steps });
  }
  const isOfIt = (one: Problem) => one.endpoint === endpoint || view.replicas.length === 1;
  return planOn(view, diagnose(view).filter(isOfIt), { attempts, rejoin: step });
}
