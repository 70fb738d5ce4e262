import type { ClusterState } from "../model/cluster-state.js";
import type { StepResult } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import type { ToolCommand } from "../model/tool-command.js";
import type { Facts } from "../planning/plan-facts.js";

/** What an operation is going to do, decided from one look at the cluster. */
export interface OperationPlan {
  /**
   * Those of one partition are done in this order, one after another; partitions side by side.
   * Empty: everything is as it is wanted.
   */
  readonly steps: readonly Step[];
  /** What the operator should know before saying yes, and what is left alone and why. */
  readonly notes: readonly string[];
  /**
   * The partitions whose facts the plan rests on. A plan is executed only if a fresh look brings the
   * same facts of them, the same other facts and the same steps.
   */
  readonly restsOn: readonly PartitionView[];
  /** What else it rests on, by a name that a person understands. */
  readonly facts?: Facts;
}

/** One command of an operator that changes the cluster: what it plans and how it is judged. */
export interface Operation {
  /** Name of the command. */
  readonly command: string;
  /** The command as it was typed. */
  readonly typed: ToolCommand;
  /** What to type to go on after the plan was carried out in part; `typed` if left out. */
  readonly goOn?: ((results: readonly StepResult[]) => ToolCommand) | undefined;
  /** Whether the nameserver refuses the calls while auto_failover is on (code 301). */
  readonly needsOff: boolean;
  /** Whether all ops under way, those of other clients too, have to end before it is planned. */
  readonly waitsForOps?: boolean | undefined;
  /** Partitions (or tablets) worked on at the same time. */
  readonly concurrency: number;
  /**
   * Decides, without reaching anything, what is to be done.
   *
   * @throws OpsError `refused` with the reason, if it must not or cannot be done.
   */
  plan(state: ClusterState): OperationPlan;
  /** Runs right before each step, such as writing a statfile. What it throws fails the step. */
  readonly before?: ((step: Step) => Promise<void>) | undefined;
  /** Runs when all steps of one partition have ended well, such as taking its line off a statfile. */
  readonly afterLane?: ((steps: readonly Step[]) => Promise<void>) | undefined;
  /**
   * Judges the cluster after the steps.
   *
   * @returns What is not as it should be, one line each; empty if all is well.
   */
  verify(after: ClusterState, results: readonly StepResult[]): readonly string[];
  /** What is worth telling at the end, such as which replica won. */
  readonly conclude?:
    | ((after: ClusterState, results: readonly StepResult[]) => readonly string[])
    | undefined;
}
