import type { Cluster } from "../cluster/cluster.js";
import { messageOf } from "../errors.js";
import type { Endpoint } from "../model/cluster-state.js";
import type { OnEvent } from "../model/outcome.js";
import type { Mark } from "../model/plan.js";
import type { Limits, Rollback, StepContext } from "../steps/step-context.js";
import { untilAborted } from "../util/until-aborted.js";
import { within } from "../util/within.js";
import { createContext } from "./create-context.js";

/** How long calls that are under way may take to come to their end; a stopped run is gone within 5 s. */
const SETTLE_MS = 500;
/** How long taking back may take, all together. */
const ROLLBACK_MS = 1_500;

/** What a run that can be stopped needs. */
export interface StoppableOptions {
  readonly limits: Limits;
  readonly signal: AbortSignal;
  readonly onEvent: OnEvent;
  readonly engageGuard: () => Promise<void>;
  /** The cluster as it may be changed after `signal`, to take something back; absent: as ever. */
  readonly tidying?: Cluster | undefined;
  /** See `ContextOptions`. */
  readonly partitions?: number;
  /** See `ContextOptions`. */
  readonly lost?: ReadonlySet<Endpoint> | undefined;
  /** See `ContextOptions`. */
  readonly marks?: readonly Mark[];
}

/**
 * Does the work of a run. When the run is to stop, takes back what is good only together with a later
 * change that will not come; what could not be taken back is told.
 *
 * @param work Given what steps work with.
 * @throws The signal's reason if the run is to stop; what `work` throws.
 */
export async function rollingBackOnStop(
  cluster: Cluster,
  options: StoppableOptions,
  work: (context: StepContext) => Promise<void>,
): Promise<void> {
  const { signal, tidying = cluster } = options;
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
      await within(tidying.clock, SETTLE_MS, "the cluster", all).catch(() => undefined);
      await takeBack(tidying, options, pending, rollback);
    }
    throw thrown;
  }
}

async function takeBack(
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
