import type { Cluster } from "../cluster/cluster.js";
import { messageOf } from "../errors.js";
import type { Rollback, StepContext } from "../steps/step-context.js";
import { untilAborted, within } from "../util/within.js";
import { type ContextOptions, createContext } from "./create-context.js";

/** Milliseconds that calls in flight may take to end; a stopped run exits within 5 s. */
const SETTLE_MS = 500;
/** Milliseconds that the whole rollback may take. */
const ROLLBACK_MS = 1_500;

/** Options of {@link rollingBackOnStop}. */
export interface StoppableOptions extends Omit<ContextOptions, "rollback"> {
  /** A cluster that still allows changes after `signal`, for the rollback; absent: the same cluster. */
  readonly rollbackCluster?: Cluster | undefined;
}

/**
 * Executes the work of a run. If the run is stopped, rolls back the changes that are valid only together with a
 * later change that will not be made. A failed rollback becomes a warning.
 *
 * @param work Receives the context of the steps.
 * @throws The signal's reason if the run is stopped; any error of `work`.
 */
export async function rollingBackOnStop(
  cluster: Cluster,
  options: StoppableOptions,
  work: (context: StepContext) => Promise<void>,
): Promise<void> {
  const { signal, rollbackCluster = cluster } = options;
  const pending = new Set<Parameters<Rollback["add"]>[0]>();
  const rollback: Rollback = {
    add(how) {
      pending.add(how);
      return () => pending.delete(how);
    },
  };
  const all = work(createContext(cluster, { ...options, rollback }));
  try {
    await untilAborted(all, signal);
  } catch (thrown) {
    if (pending.size > 0) {
      await within(rollbackCluster.clock, SETTLE_MS, "the cluster", all).catch(() => undefined);
      await rollBack(rollbackCluster, options, pending, rollback);
    }
    throw thrown;
  }
}

async function rollBack(
  cluster: Cluster,
  { limits, onEvent }: StoppableOptions,
  pending: ReadonlySet<Parameters<Rollback["add"]>[0]>,
  rollback: Rollback,
): Promise<void> {
  const over = new AbortController();
  const engageGuard = () => Promise.resolve();
  const { signal } = over;
  const context = createContext(cluster, { limits, signal, onEvent, engageGuard, rollback });
  const taken = [...pending].map(async (how) => {
    try {
      const text = await how(context);
      if (text !== undefined) onEvent({ kind: "note", text });
    } catch (thrown) {
      const text = `incomplete changes could not be rolled back: ${messageOf(thrown)}; see inspect`;
      onEvent({ kind: "warning", text });
    }
  });
  const all = Promise.all(taken);
  await within(cluster.clock, ROLLBACK_MS, "the cluster", all).catch((thrown: unknown) =>
    onEvent({ kind: "warning", text: `${messageOf(thrown)}; see inspect for what is left` }),
  );
  over.abort();
}
