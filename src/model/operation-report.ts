import type { Endpoint } from "./cluster-state.js";
import type { StepResult } from "./outcome.js";
import type { Step } from "./step.js";

/** The result of a planned operation. */
export interface OperationReport {
  /** The planned steps, and notes for the operator. */
  readonly plan: { readonly steps: readonly Step[]; readonly notes: readonly string[] };
  readonly results: readonly StepResult[];
  /** Deviations from the planned result, one line each. */
  readonly complaints: readonly string[];
  /** Results worth reporting, one line each. */
  readonly conclusions: readonly string[];
  /** Why auto_failover could not be restored; undefined if it is as it was. */
  readonly notRestored: string | undefined;
  /** The error that ended the run early; undefined if it ran to its end. */
  readonly error: unknown;
  /** True if the run may have changed the cluster. */
  readonly hasChanged: boolean;
  /** The last observation of the cluster; undefined if an error ended the run before it. */
  readonly figures: OperationFigures | undefined;
  /** Calls to the cluster so far. */
  readonly calls: number;
}

/** Figures of the cluster before and after an operation. */
export interface OperationFigures {
  readonly leader: Endpoint;
  readonly autoFailover: { readonly before: boolean; readonly after: boolean };
  readonly tablets: number;
  readonly tables: number;
  readonly partitions: number;
  readonly replicas: number;
  /** Partitions that were unhealthy at the first observation and are healthy now. */
  readonly recovered: number;
  /** Partitions that are unhealthy now. */
  readonly unhealthy: number;
  /** The tablet that leads each serving partition now, by `replicaKey`; other partitions are absent. */
  readonly leaders: ReadonlyMap<string, Endpoint>;
}
