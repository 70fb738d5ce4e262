import { messageOf } from "../errors.js";
import { type LowerBounds, type PartitionId, replicaKey } from "../model/cluster-state.js";
import type { SeenStore } from "../model/evidence.js";
import type { OnEvent } from "../model/outcome.js";
import { type PartitionView, partitionName } from "../model/partition-view.js";
import { earlierOffset, servingLeader, withBounds } from "../policy/what-it-holds.js";

/** What outlives a run, for the partitions that it works on. Its methods do not fail: they tell. */
export interface Memory {
  /** Keeps the lower bounds of a partition that is about to be left with rows missing. */
  remember(id: PartitionId, bounds: LowerBounds): Promise<void>;
  /** The operator has decided the partition: what was known before counts no more. */
  forget(id: { readonly tid: number; readonly pid: number }): Promise<void>;
}

/** The memory of one run. */
export interface RunMemory extends Memory {
  /** The same views, with what is remembered of each partition laid beside. */
  beside(views: readonly PartitionView[]): readonly PartitionView[];
  /** Forgets what is settled: a leader holds again all that was remembered. */
  settle(views: readonly PartitionView[]): Promise<void>;
}

/**
 * The memory of a run, over what was read when it began.
 *
 * @param store Undefined: nothing outlives the run.
 */
export function createMemory(
  store: SeenStore | undefined,
  onEvent: OnEvent,
  read: ReadonlyMap<string, LowerBounds> = new Map(),
): RunMemory {
  const known = new Map(read);
  const told = async (id: { tid: number; pid: number }, what: string, work?: Promise<void>) => {
    try {
      await work;
    } catch (thrown) {
      const text = `${what} of table ${id.tid}, partition ${id.pid}, in ZooKeeper: ${messageOf(thrown)}`;
      onEvent({ kind: "warning", text });
    }
  };
  const memory: RunMemory = {
    async remember(id, bounds) {
      const key = replicaKey(id);
      if (isSame(known.get(key), bounds)) return;
      known.set(key, bounds);
      onEvent({
        kind: "note",
        text: `${partitionName(id)}: rows that were seen before are missing; what is known of them is kept in ZooKeeper for later runs`,
      });
      await told(id, "cannot keep what is known", store?.remember(id, bounds));
    },
    async forget(id) {
      if (!known.delete(replicaKey(id))) return;
      await told(id, "cannot remove what was known", store?.forget(id));
    },
    beside: (views) => views.map((view) => withBounds(view, known.get(replicaKey(view.id)))),
    async settle(views) {
      if (known.size === 0) return;
      for (const view of memory.beside(views)) {
        const leader = servingLeader(view);
        const held = leader?.report?.offset;
        if (view.known === undefined || held === undefined) continue;
        if (held >= earlierOffset(view)) await memory.forget(view.id);
      }
    },
  };
  return memory;
}

function isSame(one: LowerBounds | undefined, other: LowerBounds): boolean {
  return (
    one?.term === other.term &&
    one.offsets.size === other.offsets.size &&
    [...other.offsets].every(([endpoint, offset]) => one.offsets.get(endpoint) === offset)
  );
}
