import type { Cluster } from "../cluster/cluster.js";
import { messageOf } from "../errors.js";
import type { OnEvent } from "../model/outcome.js";
import type { StepContext, Undo } from "../steps/step-context.js";
import { within } from "../util/within.js";

/** How long calls that are under way may take to come to their end; a stopped run is gone within 5 s. */
const SETTLE_MS = 500;
/** How long taking back may take, all together. */
const UNDO_MS = 1_500;

/** Changes to be taken back if the run is stopped; see {@link Undo}. */
export interface UndoList extends Undo {
  /**
   * Takes back what is noted, after a stop. Never throws; what could not be taken back is told.
   *
   * @param lanes What may still be on its way to the cluster.
   * @param contextOf Makes what to work with, given a signal that ends it.
   */
  run(
    cluster: Cluster,
    lanes: Promise<unknown>,
    contextOf: (signal: AbortSignal) => StepContext,
    onEvent: OnEvent,
  ): Promise<void>;
}

/** Makes an empty list. */
export function createUndo(): UndoList {
  const list = new Set<Parameters<Undo["add"]>[0]>();
  return {
    add(how) {
      list.add(how);
      return () => list.delete(how);
    },
    async run({ clock }, lanes, contextOf, onEvent) {
      if (list.size === 0) return;
      await within(clock, SETTLE_MS, "the cluster", lanes).catch(() => undefined);
      const over = new AbortController();
      const context = contextOf(over.signal);
      const undone = [...list].map(async (how) => {
        try {
          const text = await how(context);
          if (text !== undefined) onEvent({ kind: "note", text });
        } catch (thrown) {
          const text = `what was begun could not be taken back: ${messageOf(thrown)}; see inspect`;
          onEvent({ kind: "warning", text });
        }
      });
      await within(clock, UNDO_MS, "the cluster", Promise.all(undone)).catch((thrown: unknown) =>
        onEvent({ kind: "warning", text: `${messageOf(thrown)}; see inspect for what is left` }),
      );
      over.abort();
    },
  };
}
