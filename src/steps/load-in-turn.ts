import { OpsError } from "../errors.js";
import type { Endpoint, TermStart } from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";
import type { Lane } from "../model/plan.js";
import type { StepContext } from "./step-context.js";
import { failedBy } from "./step-preconditions.js";

/**
 * Runs a load when its tablet has room for it, and asks for the snapshot on the replica's disk right
 * before (GetTermPair): loading shows what is there, and hides what should have been.
 *
 * @param load Is given the snapshot; undefined if the tablet does not tell, or the replica is loaded.
 * @returns Its outcome, with that snapshot.
 */
export function loadInTurn(
  context: StepContext,
  lane: Lane,
  endpoint: Endpoint,
  load: (snapshot: TermStart | undefined) => Promise<StepOutcome>,
): Promise<StepOutcome> {
  const mayQueue = lane.storageMode === "memory";
  const work = async (): Promise<StepOutcome> => {
    context.signal.throwIfAborted();
    const snapshot = await snapshotOf(context, lane, endpoint);
    try {
      const outcome = await load(snapshot);
      return snapshot === undefined ? outcome : { ...outcome, snapshot };
    } catch (thrown) {
      context.signal.throwIfAborted();
      return { ...failedBy(thrown), snapshot };
    }
  };
  return context.withLoadSlot(endpoint, work, mayQueue);
}

async function snapshotOf(
  { cluster, signal }: StepContext,
  lane: Lane,
  endpoint: Endpoint,
): Promise<TermStart | undefined> {
  if (lane.storageMode === "unknown") return undefined;
  try {
    const of = { ...lane.id, storageMode: lane.storageMode };
    const { isLoaded, term, offset } = await cluster.getTermPair(endpoint, of);
    return isLoaded ? undefined : { term, offset };
  } catch (thrown) {
    signal.throwIfAborted();
    if (!(thrown instanceof OpsError)) throw thrown;
    // What is not told is not known, and nothing depends on it.
    return undefined;
  }
}
