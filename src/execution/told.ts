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
  /** The partitions that are through and ended well, by `replicaKey`. */
  readonly through: ReadonlySet<string>;
}

/** Listens on the way to the listener of a run. */
export function keepTrack(onEvent: OnEvent): Told {
  const notes = new Map<string, readonly string[]>();
  const through = new Set<string>();
  let changes = 0;
  return {
    onEvent(event) {
      if (event.kind === "partition-note") {
        const key = replicaKey(event.id);
        notes.set(key, [...new Set([...(notes.get(key) ?? []), ...event.notes])]);
      }
      if (event.kind === "work")
        for (const { id } of event.partitions) through.delete(replicaKey(id));
      if (event.kind === "lane-ended" && event.failure === undefined) {
        through.add(replicaKey(event.id));
      }
      const isDone = event.kind === "step-ended" && event.outcome.result === "done";
      if (isDone && rowOf(event.step).changes) changes += 1;
      onEvent(event);
    },
    notes,
    changes: () => changes,
    through,
  };
}
