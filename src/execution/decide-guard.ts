import { problemsOf, type Selection, selected } from "../diagnosis/selection.js";
import { replicaKey } from "../model/cluster-state.js";
import type { LaneFailure } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Guard } from "../run/guard.js";

/**
 * Decides whether auto_failover is restored at the end of a recovery. If an earlier run left it off, it stays off
 * while a decision is open, and is restored once a run over the whole cluster finds none.
 *
 * @param end The partitions of the last observation, and the failures by `replicaKey`.
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
    /** Called if decisions are open; see `RecoverOptions`. */
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
  // Switch it off first: until that is certain, the marker must say only that it has to be restored.
  await guard.engage();
  guard.leaveOff(true);
}
