import { replicaKey } from "../model/cluster-state.js";
import type { OnEvent, RunEvent } from "../model/outcome.js";
import { rowOf } from "../steps/run-step.js";

/** What a run did and noted on its way to the listener. */
export interface Told {
  readonly onEvent: OnEvent;
  /** What was noted about each partition, by `replicaKey`. */
  readonly notes: ReadonlyMap<string, readonly string[]>;
  /** How many changing steps were done. */
  changes(): number;
  /** The partitions of which something was done and nothing is left, by `replicaKey`. */
  readonly through: ReadonlySet<string>;
}

/** Listens on the way to the listener of a run. */
export function keepTrack(onEvent: OnEvent): Told {
  const notes = new Map<string, readonly string[]>();
  const begun = new Set<string>();
  const through = new Set<string>();
  let changes = 0;
  return {
    onEvent(event) {
      if (event.kind === "partition-note") {
        const key = replicaKey(event.id);
        notes.set(key, [...new Set([...(notes.get(key) ?? []), ...event.notes])]);
      }
      followEnds(event, begun, through);
      const isDone = event.kind === "step-ended" && event.outcome.result === "done";
      if (isDone && rowOf(event.step).changes) changes += 1;
      onEvent(event);
    },
    notes,
    changes: () => changes,
    through,
  };
}

/** @param begun Partitions that something was done about. */
function followEnds(event: RunEvent, begun: Set<string>, through: Set<string>): void {
  if (event.kind === "work") {
    for (const { id } of event.partitions) through.delete(replicaKey(id));
  } else if (event.kind === "step-started") {
    if (event.step.id !== undefined) begun.add(replicaKey(event.step.id));
  } else if (event.kind === "lane-ended" && event.failure === undefined) {
    const key = replicaKey(event.id);
    if (begun.has(key)) through.add(key);
  }
}
