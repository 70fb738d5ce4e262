import { verifyPartitions } from "../diagnosis/verdict.js";
import { identifiedCluster } from "../observe/identified-cluster.js";
import { checkPlan } from "../planning/check-saved-plan.js";
import { checkLost } from "../planning/lost.js";
import { plannerOf } from "../planning/planner.js";
import { checkLeaderChange } from "../policy/check-leader-change.js";
import { provenDifferences } from "../policy/differing-rows.js";
import { liveRule } from "../policy/rows-to-compare.js";
import { decideLeader } from "../policy/who-may-lead.js";

/**
 * The decisions that a recovery depends on. Commands always use {@link RULES}. The simulation replaces single
 * rules by wrong ones, to prove that its checkers detect them (test/mutants.test.ts).
 */
export interface Rules {
  /** Verifies the identity of the tablets. */
  readonly identify: typeof identifiedCluster;
  /** Checks that tablets declared lost are absent. */
  readonly checkLost: typeof checkLost;
  /** Checks whether the leader of a partition can be changed, for the advice of `inspect`. */
  readonly checkLeaderChange: typeof checkLeaderChange;
  /** Chooses the leader of a partition from true offsets. */
  readonly decideLeader: typeof decideLeader;
  /** Returns the planner of a method. */
  readonly plannerOf: typeof plannerOf;
  /** Checks that a saved plan still matches the cluster. */
  readonly checkPlan: typeof checkPlan;
  /** Computes the result of each partition from the last observation. */
  readonly verifyPartitions: typeof verifyPartitions;
  /** Selects the rows that are compared: those that have not expired and will not soon. */
  readonly liveRule: typeof liveRule;
  /** Returns the rows that differ for certain. */
  readonly provenDifferences: typeof provenDifferences;
}

/** The rules of every command. */
export const RULES: Rules = {
  identify: identifiedCluster,
  checkLost,
  checkLeaderChange,
  decideLeader,
  plannerOf,
  checkPlan,
  verifyPartitions,
  liveRule,
  provenDifferences,
};
