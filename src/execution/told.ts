import { replicaKey } from "../model/cluster-state.js";
import type { OnEvent } from "../model/outcome.js";
import { rowOf } from "../steps/run-step.js";

/** What a run did and noted on its way to the listener. */
export interface Told {
  readonly onEvent: OnEvent;
  /** What was noted about each partition, by `replicaKey`. */
  readonly notes: ReadonlyMap<string, readonly string[]>;
  /** How many changing steps were done. */
  changes(): number;
}

/** Listens on the way to the listener of a run. */
export function keepTrack(onEvent: OnEvent): Told {
  const notes = new Map<string, readonly string[]>();
  let changes = 0;
  return {
    onEvent(event) {
      if (event.kind === "partition-note") {
        const key = replicaKey(event.id);
        notes.set(key, [...new Set([...(notes.get(key) ?? []), ...event.notes])]);
      }
      const isDone = event.kind === "step-ended" && event.outcome.result === "done";
      if (isDone && rowOf(event.step).changes) changes += 1;
      onEvent(event);
    },
    notes,
    changes: () => changes,
  };
}
