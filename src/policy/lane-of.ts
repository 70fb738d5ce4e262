import type { Endpoint } from "../model/cluster-state.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Problem } from "../model/problem.js";
import type { Step } from "../model/step.js";
import { evidenceOf } from "./evidence.js";
import { leastOffset } from "./what-it-holds.js";

/**
 * Builds a partition's lane: its steps, and the facts of the view that they check and act on.
 *
 * @param parts `leader`: the replica that leads or will lead; undefined if the lane is blocked. The
 *   others default to: not blocked, `leastOffset` of the view (0 without a leader), no notes, nothing
 *   given up.
 */
export function laneOf(
  view: PartitionView,
  parts: {
    leader: ReplicaView | undefined;
    steps: readonly Step[];
    blocked?: Problem;
    leastOffset?: bigint;
    notes?: readonly string[];
    givesUp?: boolean;
  },
): Lane {
  return {
    id: view.id,
    segCount: view.segCount,
    storageMode: view.storageMode,
    newestTerm: view.terms.at(-1) ?? { term: 0n, offset: 0n },
    leader: parts.leader?.endpoint,
    leastOffset: parts.leastOffset ?? (parts.leader === undefined ? 0n : leastOffset(view)),
    lastSeen: new Map(
      view.replicas.flatMap((one): [Endpoint, bigint][] => {
        const seen = one.claim.offset;
        const onDisk = one.snapshot?.offset;
        if (seen === undefined) return onDisk === undefined ? [] : [[one.endpoint, onDisk]];
        return [[one.endpoint, onDisk !== undefined && onDisk > seen ? onDisk : seen]];
      }),
    ),
    evidence: evidenceOf(view),
    givesUp: parts.givesUp ?? false,
    steps: parts.steps,
    notes: parts.notes ?? [],
    blocked: parts.blocked,
  };
}
