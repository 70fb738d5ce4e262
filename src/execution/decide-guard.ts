import { problemsOf, type Selection, selected } from "../diagnosis/selection.js";
import { replicaKey } from "../model/cluster-state.js";
import type { LaneFailure } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Guard } from "../run/guard.js";

/**
 * Settles whether auto_failover is put back at the end of a recovery. What an earlier run left off stays off while
 * a decision is open, and is put back once the whole cluster was looked at and none is.
 *
 * @param end The partitions as they were seen last, and what was tried in vain, by `replicaKey`.
 */
export async function decideGuard(
  guard: Guard,
  end: {
    readonly all: readonly PartitionView[];
    readonly failures: ReadonlyMap<string, LaneFailure>;
  },
  {
    only,
    keepsOff,
  }: {
    readonly only: Selection;
    /** Asked where decisions are open; see `RecoverOptions`. */
    readonly keepsOff: ((undecided: number) => Promise<boolean>) | undefined;
  },
): Promise<void> {
  if (!guard.before) return;
  const undecided = selected(end.all, only).filter(
    (view) =>
      end.failures.get(replicaKey(view.id))?.decision !== undefined &&
      problemsOf(view, only).length > 0,
  ).length;
  if (undecided === 0) {
    const isWhole = Object.values(only).every((part) => part === undefined);
    if (isWhole) guard.leaveOff(false);
    return;
  }
  if (!guard.isLeftOff() && (await keepsOff?.(undecided)) !== true) return;
  // Until it is off for certain, the note says only that it has to be put back.
  await guard.engage();
  guard.leaveOff(true);
}
