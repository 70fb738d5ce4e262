import type { Endpoint } from "./cluster-state.js";
import type { StepResult } from "./outcome.js";
import type { Step } from "./step.js";

/** How an operation ended. */
export interface OperationReport {
  /** What was planned, and what the operator should know of it. */
  readonly plan: { readonly steps: readonly Step[]; readonly notes: readonly string[] };
  readonly results: readonly StepResult[];
  /** What is not as it should be, one line each. */
  readonly complaints: readonly string[];
  /** What is worth telling. */
  readonly conclusions: readonly string[];
  /** Why auto_failover could not be put back; undefined if it is as it was. */
  readonly notRestored: string | undefined;
  /** What ended the run early; undefined if it came to its end. */
  readonly error: unknown;
  /** Whether anything may have been changed. */
  readonly hasChanged: boolean;
  /** What the last look at the cluster showed; undefined if an error ended the run before it. */
  readonly seen: SeenByOperation | undefined;
  /** Calls to the cluster so far. */
  readonly calls: number;
}

/** A cluster before and after an operation, in numbers. */
export interface SeenByOperation {
  readonly leader: Endpoint;
  readonly autoFailover: { readonly before: boolean; readonly after: boolean };
  readonly tablets: number;
  readonly tables: number;
  readonly partitions: number;
  readonly replicas: number;
  /** Partitions that were not healthy at the first look and are now. */
  readonly recovered: number;
  /** Partitions that are not healthy now. */
  readonly unhealthy: number;
  /** The replica that serves each partition now, by `replicaKey`; partitions that do not serve are not in it. */
  readonly leaders: ReadonlyMap<string, Endpoint>;
}
