import { judge } from "../diagnosis/verdict.js";
import { identifiedCluster } from "../observe/identified-cluster.js";
import { checkPlan } from "../planning/check-saved-plan.js";
import { checkLost } from "../planning/lost.js";
import { plannerOf } from "../planning/method.js";
import { checkLeaderChange } from "../policy/check-leader-change.js";
import { provenDifferences } from "../policy/differing-rows.js";
import { liveRule } from "../policy/live-rows.js";
import { decideLeader } from "../policy/who-may-lead.js";

/**
 * The decisions that a recovery rests on. Commands never give others than {@link RULES}; the simulation
 * replaces single ones by wrong ones, to see whether its checkers notice (test/mutants.test.ts).
 */
export interface Rules {
  /** Whether the tablets that answer are those of their names. */
  readonly identify: typeof identifiedCluster;
  /** Whether the tablets that are called lost are gone. */
  readonly checkLost: typeof checkLost;
  /** Whether the leader of a partition can be changed, as `inspect` advises it. */
  readonly checkLeaderChange: typeof checkLeaderChange;
  /** Which replica is to lead, on true offsets. */
  readonly decideLeader: typeof decideLeader;
  /** What to do next about a partition, by the method. */
  readonly plannerOf: typeof plannerOf;
  /** Whether a saved plan still fits. */
  readonly checkPlan: typeof checkPlan;
  /** What has become of each partition. */
  readonly judge: typeof judge;
  /** Which rows are compared, and which have expired or soon will. */
  readonly liveRule: typeof liveRule;
  /** Which rows differ for certain. */
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
  judge,
  liveRule,
  provenDifferences,
};
