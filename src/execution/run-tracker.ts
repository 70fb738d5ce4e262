import { type ClusterState, replicaKey } from "../model/cluster-state.js";
import type { OnEvent, RunEvent } from "../model/outcome.js";
import { tabletSummaries } from "../model/tablet-summary.js";
import { rowOf } from "../steps/run-step.js";

/** Reports an observation of the whole cluster: before the first change, or after the last one. */
export function reportObserved(
  onEvent: OnEvent,
  when: "before" | "after",
  { topology, tables, tablets }: ClusterState,
): void {
  const summaries = tabletSummaries({ tables, tablets });
  onEvent({ kind: "observed", when, nameserver: topology.leader, tablets: summaries });
}

/** Counts what a run has done, from its events. */
export interface RunTracker {
  /** Updates the counts and passes the event on. */
  readonly onEvent: OnEvent;
  /** The notes on each partition, by `replicaKey`. */
  readonly notes: ReadonlyMap<string, readonly string[]>;
  /** The number of successful steps that changed the cluster. */
  changes(): number;
  /** The partitions with executed steps whose recovery finished without a failure, by `replicaKey`. */
  readonly finished: ReadonlySet<string>;
}

/** Creates a tracker that passes each event on to `onEvent`. */
export function trackRun(onEvent: OnEvent): RunTracker {
  const notes = new Map<string, readonly string[]>();
  const begun = new Set<string>();
  const finished = new Set<string>();
  let changes = 0;
  return {
    onEvent(event) {
      if (event.kind === "partition-note") {
        const key = replicaKey(event.id);
        notes.set(key, [...new Set([...(notes.get(key) ?? []), ...event.notes])]);
      }
      trackEnds(event, begun, finished);
      const isDone = event.kind === "step-ended" && event.outcome.result === "done";
      if (isDone && rowOf(event.step).changes) changes += 1;
      onEvent(event);
    },
    notes,
    changes: () => changes,
    finished,
  };
}

/** @param begun Partitions with a step that was started, by `replicaKey`. */
function trackEnds(event: RunEvent, begun: Set<string>, finished: Set<string>): void {
  if (event.kind === "work") {
    for (const { id } of event.partitions) finished.delete(replicaKey(id));
  } else if (event.kind === "step-started") {
    if (event.step.id !== undefined) begun.add(replicaKey(event.step.id));
  } else if (event.kind === "lane-ended" && event.failure === undefined) {
    const key = replicaKey(event.id);
    if (begun.has(key)) finished.add(key);
  }
}
