import type { Action } from "../model/action.js";
import type { ClusterState } from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";

/** What an operation is going to do, decided from one look at the cluster. */
export interface OperationPlan {
  /**
   * Those of one partition are done in this order, one after another; partitions side by side.
   * Empty: everything is as it is wanted.
   */
  readonly actions: readonly Action[];
  /** What the operator should know before saying yes, and what is left alone and why. */
  readonly notes: readonly string[];
  /**
   * What the plan relies on, one fact a line. A saved plan is executed only if a fresh look brings
   * the same facts and the same actions.
   */
  readonly facts: readonly string[];
}

/** One action and how it ended. */
export interface ActionResult {
  readonly action: Action;
  /** `not-done`: an action before it in the same partition did not end well. */
  readonly outcome: StepOutcome | { readonly result: "not-done" };
}

/** One command of an operator that changes the cluster: what it plans and how it is judged. */
export interface Operation {
  /** Name of the command. */
  readonly command: string;
  /** The command with its arguments, to be typed again. */
  readonly words: readonly string[];
  /** What to type to go on after the plan was carried out in part; `words` if left out. */
  readonly goOn?: ((results: readonly ActionResult[]) => readonly string[]) | undefined;
  /** Whether the nameserver refuses the calls while auto_failover is on (code 301). */
  readonly needsOff: boolean;
  /** Whether all ops under way, whoever asked for them, have to end before it is planned. */
  readonly waitsForOps?: boolean | undefined;
  /** Partitions (or tablets) worked on at the same time. */
  readonly concurrency: number;
  /**
   * Decides, without reaching anything, what is to be done.
   *
   * @throws OpsError `refused` with the reason, if it must not or cannot be done.
   */
  plan(state: ClusterState): OperationPlan;
  /** Runs right before each action, such as writing a statfile. What it throws fails the action. */
  readonly before?: ((action: Action) => Promise<void>) | undefined;
  /** Runs when all actions of one partition have ended well, such as taking its line off a statfile. */
  readonly afterLane?: ((actions: readonly Action[]) => Promise<void>) | undefined;
  /**
   * Judges the cluster after the actions.
   *
   * @returns What is not as it should be, one line each; empty if all is well.
   */
  verify(after: ClusterState, results: readonly ActionResult[]): readonly string[];
  /** What is worth telling at the end, such as which replica won. */
  readonly conclude?:
    | ((after: ClusterState, results: readonly ActionResult[]) => readonly string[])
    | undefined;
}
