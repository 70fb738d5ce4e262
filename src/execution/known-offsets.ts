import { messageOf } from "../errors.js";
import { type LowerBounds, type PartitionId, replicaKey } from "../model/cluster-state.js";
import type { KnownOffsetsStore } from "../model/evidence.js";
import type { OnEvent } from "../model/outcome.js";
import { type PartitionView, partitionName } from "../model/partition-view.js";
import { earlierOffset, servingLeader, withBounds } from "../policy/what-it-holds.js";

/** What outlives a run, for the partitions that it works on. Its methods do not fail: they tell. */
export interface KnownOffsets {
  /** Keeps the lower bounds of a partition that is about to be left with rows missing. */
  remember(id: PartitionId, bounds: LowerBounds): Promise<void>;
  /** The operator has decided the partition: what was known before counts no more. */
  forget(id: { readonly tid: number; readonly pid: number }): Promise<void>;
}

/** What one run knows beside what it observes. */
export interface KnownOffsetsOfRun extends KnownOffsets {
  /** The same views, with what is remembered of each partition laid beside. */
  beside(views: readonly PartitionView[]): readonly PartitionView[];
  /** Forgets what is settled: a leader holds again all that was remembered. */
  settle(views: readonly PartitionView[]): Promise<void>;
}

/**
 * What a run knows, over what was read when it began.
 *
 * @param store Undefined: nothing outlives the run.
 */
export function createKnownOffsets(
  store: KnownOffsetsStore | undefined,
  onEvent: OnEvent,
  read: ReadonlyMap<string, LowerBounds> = new Map(),
): KnownOffsetsOfRun {
  const known = new Map(read);
  const told = async (id: { tid: number; pid: number }, what: string, work?: Promise<void>) => {
    try {
      await work;
    } catch (thrown) {
      const text = `${what} of table ${id.tid}, partition ${id.pid}, in ZooKeeper: ${messageOf(thrown)}`;
      onEvent({ kind: "warning", text });
    }
  };
  const knownOffsets: KnownOffsetsOfRun = {
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
      for (const view of knownOffsets.beside(views)) {
        const leader = servingLeader(view);
        const held = leader?.report?.offset;
        if (view.known === undefined || held === undefined) continue;
        if (held >= earlierOffset(view)) await knownOffsets.forget(view.id);
      }
    },
  };
  return knownOffsets;
}

function isSame(one: LowerBounds | undefined, other: LowerBounds): boolean {
  return (
    one?.term === other.term &&
    one.offsets.size === other.offsets.size &&
    [...other.offsets].every(([endpoint, offset]) => one.offsets.get(endpoint) === offset)
  );
}
