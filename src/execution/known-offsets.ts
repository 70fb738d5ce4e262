import pLimit from "p-limit";
import { messageOf } from "../errors.js";
import {
  type Endpoint,
  type LowerBounds,
  type PartitionId,
  replicaKey,
} from "../model/cluster-state.js";
import type { KnownOffsetsStore } from "../model/evidence.js";
import type { OnEvent } from "../model/outcome.js";
import { type PartitionView, partitionName } from "../model/partition-view.js";
import { lastOfLost } from "../policy/what-is-given-up.js";
import {
  earlierOffset,
  servingLeader,
  withBounds,
  withLastOfLost,
} from "../policy/what-it-holds.js";

/** Znodes that are written at once. */
const WRITES_AT_ONCE = 16;

/** What outlives a run, for the partitions that it works on. Its methods do not fail: they tell. */
export interface KnownOffsets {
  /** Keeps the lower bounds of a partition that is about to be left with rows missing. */
  remember(id: PartitionId, bounds: LowerBounds): Promise<void>;
  /** The operator has decided the partition: what was known before counts no more. */
  forget(id: PartitionId): Promise<void>;
  /** What is kept of a partition now; undefined if nothing is. */
  of(id: PartitionId): LowerBounds | undefined;
  /** These replicas are copies of the leader now. */
  proven(id: PartitionId, endpoints: readonly Endpoint[]): Promise<void>;
}

/** What one run knows beside what it observes. */
export interface KnownOffsetsOfRun extends KnownOffsets {
  /** The same views, with what is remembered of each partition laid beside. */
  beside(views: readonly PartitionView[]): readonly PartitionView[];
  /**
   * Keeps where leaders on lost tablets were seen last, before the first change: a run that goes on after an
   * interruption must come to the same numbers.
   *
   * @returns The same views, with what is kept laid beside.
   */
  keepLastOfLost(views: readonly PartitionView[]): Promise<readonly PartitionView[]>;
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
  const keep = async (id: PartitionId, bounds: LowerBounds) => {
    known.set(replicaKey(id), bounds);
    await told(id, "cannot keep what is known", store?.remember(id, bounds));
  };
  const knownOffsets: KnownOffsetsOfRun = {
    async remember(id, bounds) {
      if (isSame(known.get(replicaKey(id)), bounds)) return;
      const what =
        bounds.unproven === undefined
          ? "rows that were seen before are missing; what is known of them"
          : `nothing proves that the logs of ${[...bounds.unproven].join(", ")} are of the history that leads, so they get copies of the leader's data; that`;
      const text = `${partitionName(id)}: ${what} is kept in ZooKeeper for later runs`;
      onEvent({ kind: "note", text });
      await keep(id, bounds);
    },
    async forget(id) {
      const before = known.get(replicaKey(id));
      if (before === undefined) return;
      const { term, unproven } = before;
      if (unproven !== undefined) {
        if (before.offsets.size > 0) await keep(id, { term, offsets: new Map(), unproven });
        return;
      }
      known.delete(replicaKey(id));
      await told(id, "cannot remove what was known", store?.forget(id));
    },
    async keepLastOfLost(views) {
      const limit = pLimit(WRITES_AT_ONCE);
      await limit.map(views, async (view) => {
        const last = lastOfLost(view);
        if (last.size === 0 && view.known?.bounds.lastOfLost === undefined) return;
        const bounds = withLastOfLost(view, last);
        if (!isSame(known.get(replicaKey(view.id)), bounds)) await keep(view.id, bounds);
      });
      return knownOffsets.beside(views);
    },
    of: (id) => known.get(replicaKey(id)),
    async proven(id, endpoints) {
      const before = known.get(replicaKey(id));
      if (before?.unproven === undefined || endpoints.length === 0) return;
      const left = [...before.unproven].filter((one) => !endpoints.includes(one));
      const { unproven: _, ...bounds } = before;
      if (left.length > 0) return keep(id, { ...bounds, unproven: new Set(left) });
      known.set(replicaKey(id), bounds);
      await knownOffsets.forget(id);
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
    isEqual(one.offsets, other.offsets) &&
    isEqual(one.lastOfLost ?? new Map(), other.lastOfLost ?? new Map()) &&
    [...(one.unproven ?? [])].join() === [...(other.unproven ?? [])].join()
  );
}

function isEqual(
  one: ReadonlyMap<Endpoint, bigint>,
  other: ReadonlyMap<Endpoint, bigint>,
): boolean {
  return one.size === other.size && [...other].every(([key, value]) => one.get(key) === value);
}
