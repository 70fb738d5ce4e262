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
import { isLost, unobservableLeader } from "../policy/absent-replicas.js";
import { evidenceOf, isAnyAliveUnread, withBounds, withLastOfLost } from "../policy/evidence.js";
import { lastOfLost } from "../policy/what-is-given-up.js";
import { earlierOffset, servingLeader } from "../policy/what-it-holds.js";

const NO_OFFSETS: ReadonlyMap<Endpoint, bigint> = new Map();
/** Number of znodes that are written concurrently. */
const WRITES_AT_ONCE = 16;

/**
 * Lower bounds of the partitions that a run recovers, stored beyond its end. The methods do not throw: a failure
 * of the store becomes a warning.
 */
export interface KnownOffsets {
  /**
   * Stores the bounds of a partition for later runs.
   *
   * @param why The reported reason, without a full stop; undefined: no report.
   */
  remember(id: PartitionId, bounds: LowerBounds, why: string | undefined): Promise<void>;
  /** Keeps the bounds of a partition in memory for the rest of this run; see {@link KnownOffsets.settle}. */
  carry(id: PartitionId, bounds: LowerBounds): void;
  /**
   * Discards the lower bounds of a partition, because the operator's decision makes them void. What only `proven` may
   * remove stays.
   */
  forget(id: PartitionId): Promise<void>;
  /** The bounds of a partition now; undefined if there are none. */
  of(id: PartitionId): LowerBounds | undefined;
  /** Records that these replicas are copies of the leader now, so they are neither `unproven` nor `parted` any more. */
  proven(id: PartitionId, endpoints: readonly Endpoint[]): Promise<void>;
  /** Returns the same views with the known lower bounds of each partition. */
  addTo(views: readonly PartitionView[]): readonly PartitionView[];
  /**
   * Stores the last offsets of leaders on lost tablets before the first change, and what the replicas of those
   * partitions are known to hold, so that a run that resumes after an interruption computes the same loss, also if the
   * nameserver was restarted meanwhile and has forgotten their offsets.
   *
   * @returns The same views with the known lower bounds.
   */
  keepLastOfLost(views: readonly PartitionView[]): Promise<readonly PartitionView[]>;
  /**
   * Discards what is no longer needed: the bounds of a partition once its leader holds all known entries again and no
   * ex-leader is flagged leader, and its alive flags once a replica leads. If none leads, the bounds kept by `carry`
   * are stored.
   */
  settle(views: readonly PartitionView[]): Promise<void>;
}

/**
 * Creates the known offsets of a run.
 *
 * @param store Undefined: nothing is stored beyond the run.
 * @param read The bounds read from the store when the run began, by `replicaKey`.
 */
export function createKnownOffsets(
  store: KnownOffsetsStore | undefined,
  onEvent: OnEvent,
  read: ReadonlyMap<string, LowerBounds> = new Map(),
): KnownOffsets {
  const known = new Map(read);
  /** Those of them that are in the store. */
  const stored = new Map(read);
  const keep = async (id: PartitionId, bounds: LowerBounds) => {
    known.set(replicaKey(id), bounds);
    const lasting = lastingBounds(bounds, stored.get(replicaKey(id)));
    stored.set(replicaKey(id), lasting);
    await reported(id, "store the known offsets", store?.remember(id, lasting), onEvent);
  };
  const settleOne = async (view: PartitionView) => {
    if (view.known === undefined) return;
    const { alive, ...before } = view.known.bounds;
    const key = replicaKey(view.id);
    const now = evidenceOf(view).bounds;
    const leader = servingLeader(view);
    if (leader?.report === undefined) {
      const isUndecided = isAnyAliveUnread(view) && unobservableLeader(view) === undefined;
      if (isUndecided) await knownOffsets.remember(view.id, now, undefined);
      return;
    }
    const isExLeaderLeft = view.replicas.some((one) => one.claim.isLeader && one !== leader);
    const isWhole = leader.report.offset >= earlierOffset(view);
    const earlier = stored.get(key);
    const bounds = lastingBounds({ ...before, parted: now.parted }, earlier);
    const { parted = NO_OFFSETS } = bounds;
    known.set(key, bounds);
    if (isWhole && !isExLeaderLeft && parted.size === 0) await knownOffsets.forget(view.id);
    else if (alive !== undefined || !isEqual(earlier?.parted ?? NO_OFFSETS, parted)) {
      await keep(view.id, bounds);
    }
  };
  const knownOffsets: KnownOffsets = {
    async remember(id, bounds, why) {
      const before = stored.get(replicaKey(id));
      if (isSame(before, lastingBounds(bounds, before))) return;
      const text = `${partitionName(id)}: ${why} is kept in ZooKeeper for later runs`;
      const isChanged = !isEqual(before?.offsets ?? NO_OFFSETS, bounds.offsets);
      if (why !== undefined && isChanged) onEvent({ kind: "note", text });
      await keep(id, bounds);
    },
    carry: (id, bounds) => void known.set(replicaKey(id), bounds),
    async forget(id) {
      const before = known.get(replicaKey(id));
      if (before === undefined) return;
      const { term, unproven, parted } = lastingBounds(before, stored.get(replicaKey(id)));
      if (unproven !== undefined || parted !== undefined) {
        if (before.offsets.size > 0)
          await keep(id, { term, offsets: NO_OFFSETS, unproven, parted });
        return;
      }
      known.delete(replicaKey(id));
      if (!stored.delete(replicaKey(id))) return;
      await reported(id, "remove the known offsets", store?.forget(id), onEvent);
    },
    async keepLastOfLost(views) {
      await pLimit(WRITES_AT_ONCE).map(lostFirst(views), async ({ view, last }) => {
        const isAwaited = servingLeader(view) === undefined && view.replicas.some(isLost);
        if (!isAwaited && last.size === 0 && view.known?.bounds.lastOfLost === undefined) return;
        const bounds = withLastOfLost(view, last);
        if (bounds.offsets.size === 0) return;
        if (!isSame(stored.get(replicaKey(view.id)), bounds)) await keep(view.id, bounds);
      });
      return knownOffsets.addTo(views);
    },
    of: (id) => known.get(replicaKey(id)),
    async proven(id, endpoints) {
      const before = known.get(replicaKey(id));
      if (before === undefined || endpoints.length === 0) return;
      const bounds = withoutCopies(before, endpoints);
      if (isSame(before, bounds)) return;
      if (bounds.unproven !== undefined || bounds.parted !== undefined) return keep(id, bounds);
      known.set(replicaKey(id), bounds);
      await knownOffsets.forget(id);
    },
    addTo: (views) => views.map((view) => withBounds(view, known.get(replicaKey(view.id)))),
    async settle(views) {
      if (known.size === 0) return;
      await pLimit(WRITES_AT_ONCE).map(knownOffsets.addTo(views), settleOne);
    },
  };
  return knownOffsets;
}

/** The views with the last offsets of lost leaders; those first that have any, since no disk shows them. */
function lostFirst(views: readonly PartitionView[]) {
  const found = views.map((view) => ({ view, last: lastOfLost(view) }));
  return found.sort((a, b) => Number(b.last.size > 0) - Number(a.last.size > 0));
}

/** Waits for a write to the store. Its failure becomes a warning. */
async function reported(
  { tid, pid }: PartitionId,
  what: string,
  work: Promise<void> | undefined,
  onEvent: OnEvent,
): Promise<void> {
  try {
    await work;
  } catch (thrown) {
    const text = `cannot ${what} of table ${tid}, partition ${pid} in ZooKeeper: ${messageOf(thrown)}`;
    onEvent({ kind: "warning", text });
  }
}

/**
 * The bounds that later runs need. The limit of a replica that was never read is left out: by then it may have followed
 * the leader, and nothing would show it. A limit that is stored stays until it is settled.
 */
function lastingBounds(bounds: LowerBounds, stored: LowerBounds | undefined): LowerBounds {
  const isLasting = (endpoint: Endpoint, at: bigint) =>
    stored?.parted?.has(endpoint) === true || (bounds.offsets.get(endpoint) ?? -1n) > at;
  const parted = [...(bounds.parted ?? [])].filter(([endpoint, at]) => isLasting(endpoint, at));
  return { ...bounds, parted: parted.length === 0 ? undefined : new Map(parted) };
}

/** Bounds without what was not proven of replicas that are copies of the leader now. */
function withoutCopies(bounds: LowerBounds, copies: readonly Endpoint[]): LowerBounds {
  const isLeft = (one: Endpoint) => !copies.includes(one);
  const unproven = [...(bounds.unproven ?? [])].filter(isLeft);
  const parted = [...(bounds.parted ?? [])].filter(([one]) => isLeft(one));
  return {
    ...bounds,
    unproven: unproven.length === 0 ? undefined : new Set(unproven),
    parted: parted.length === 0 ? undefined : new Map(parted),
  };
}

function isSame(one: LowerBounds | undefined, other: LowerBounds): boolean {
  return (
    one?.term === other.term &&
    isEqual(one.offsets, other.offsets) &&
    isEqual(one.lastOfLost ?? new Map(), other.lastOfLost ?? new Map()) &&
    [...(one.unproven ?? [])].join() === [...(other.unproven ?? [])].join() &&
    isEqual(one.alive ?? new Map(), other.alive ?? new Map()) &&
    isEqual(one.parted ?? NO_OFFSETS, other.parted ?? NO_OFFSETS)
  );
}

function isEqual<T>(one: ReadonlyMap<Endpoint, T>, other: ReadonlyMap<Endpoint, T>): boolean {
  return one.size === other.size && [...other].every(([key, value]) => one.get(key) === value);
}
