import type { ClusterState } from "../model/cluster-state.js";
import type { StepResult } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import type { ToolCommand } from "../model/tool-command.js";

/** What an operation will do, decided from one observation of the cluster. */
export interface OperationPlan {
  /**
   * The steps of one partition are run in this order, one after another; partitions run in parallel.
   * Empty if nothing needs to change.
   */
  readonly steps: readonly Step[];
  /** Notes for the operator before the confirmation; what is left alone, with the reason. */
  readonly notes: readonly string[];
  /**
   * The partitions that the plan relies on. It is executed only if a new observation yields the same
   * facts of them, the same other facts and the same steps.
   */
  readonly restsOn: readonly PartitionView[];
  /** Further facts that it relies on, by readable names. */
  readonly facts?: Readonly<Record<string, string>>;
}

/** A command of the operator that changes the cluster: how it is planned and verified. */
export interface Operation {
  /** The command as it was typed. */
  readonly typed: ToolCommand;
  /** The command that continues after the plan was executed in part; `typed` if absent. */
  readonly goOn?: ((results: readonly StepResult[]) => ToolCommand) | undefined;
  /** True if the nameserver refuses the calls while auto_failover is on (code 301). */
  readonly needsOff: boolean;
  /** True if all active ops, those of other clients included, must end before it is planned. */
  readonly waitsForOps?: boolean | undefined;
  /** Limit of partitions (or tablets) that are processed concurrently. */
  readonly concurrency: number;
  /**
   * Decides what to do, without reaching the cluster.
   *
   * @throws OpsError `refused` with the reason if it is impossible or not allowed.
   */
  plan(state: ClusterState): OperationPlan;
  /** Runs right before each step, for example to write a statfile. An error fails the step. */
  readonly before?: ((step: Step) => Promise<void>) | undefined;
  /**
   * Runs after all steps of one partition succeeded, for example to remove its line from a statfile.
   */
  readonly afterLane?: ((steps: readonly Step[]) => Promise<void>) | undefined;
  /**
   * Checks the cluster after the steps.
   *
   * @returns The deviations from the intended result, one line each; empty if there are none.
   */
  verify(after: ClusterState, results: readonly StepResult[]): readonly string[];
  /** Lines for the end of the output, such as which replica became leader. */
  readonly conclude?:
    | ((after: ClusterState, results: readonly StepResult[]) => readonly string[])
    | undefined;
}
