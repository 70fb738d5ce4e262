import type { Endpoint } from "../model/cluster-state.js";
import type { Loss } from "../model/loss.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import { isLost } from "./absent-replicas.js";
import { newestLeaders } from "./flagged-leader.js";
import { oldRecord } from "./old-record.js";
import {
  isServing,
  knownOffset,
  leastOffset,
  lowerBound,
  servingLeader,
  trueOffset,
} from "./what-it-holds.js";

/**
 * How many acknowledged entries are given up if a replica leads: at least, and at most.
 *
 * A fresh offset of an unreachable replica counts as what it holds: it is at most two seconds old, see
 * `ReplicaView.isOffsetFresh`.
 */
export interface GivenUp extends Loss {
  /** The reason in words with numbers, without a full stop; empty if nothing is given up. */
  readonly why: string;
}

/** What is known of a partition's replicas in addition to the view. */
export interface LossEvidence {
  /** True for replicas with nothing to lose: their tablet has no directory of them (code 131). */
  readonly isEmpty?: ((endpoint: Endpoint) => boolean) | undefined;
  /**
   * The last offset of an unreachable leader that an earlier observation proved fresh. It counts as
   * long as the record still has this offset: a later write of the record hides the proof.
   */
  readonly lastSeen?: bigint | undefined;
}

/**
 * What is given up in addition to the counted entries if an absent leader is passed over that was seen fresh: the
 * nameserver reads offsets every two seconds (OpenMLDB 0.9 nameserver: UpdateTableStatus), so later entries are not known.
 */
export function unseenTail(leader: Endpoint): string {
  return `what ${leader} acknowledged in its last 2 s`;
}

/** True if entries may be given up: some are known, or an unreadable replica may hold more. */
export function mayGiveUp({ atLeast, atMost }: Loss): boolean {
  return atLeast > 0n || atMost !== 0n;
}

/**
 * The replicas that cannot be read and may hold acknowledged rows that the choice lacks.
 *
 * The leader of the newest term acknowledged every row itself: if it leads again, no other replica can
 * hold more. Another replica is chosen only if that leader is not known, cannot be read, or has lost
 * entries with its disk. Then any unread replica may be the only one that still holds them, also one that is
 * marked not alive: it followed until it was marked.
 */
export function unreadReplicas(
  view: PartitionView,
  choice: ReplicaView,
  isEmpty: (endpoint: Endpoint) => boolean,
): readonly ReplicaView[] {
  const newest = newestLeaders(view);
  if (newest.length === 1 && newest[0] === choice) return [];
  return view.replicas.filter((one) => one !== choice && !isServing(one) && !isEmpty(one.endpoint));
}

/** The offset that a replica holds, as far as it is known. */
function heldBy(view: PartitionView, replica: ReplicaView): bigint {
  return isServing(replica) ? trueOffset(replica) : knownOffset(view, replica);
}

/**
 * Computes what is given up if a replica becomes leader now.
 *
 * Passing over an unreachable leader gives up nothing if the nameserver saw it, while it was loaded, no
 * further than the choice is now. Unreachable followers hold prefixes of their leader's log.
 */
export function givenUpIfLeads(
  view: PartitionView,
  choice: ReplicaView,
  beside: LossEvidence = {},
): GivenUp {
  const held = heldBy(view, choice);
  const least = leastOffset(view);
  const atLeast = least > held ? least - held : 0n;
  const newest = newestLeaders(view);
  // A serving leader acknowledged every entry itself, so no unread replica can hold more.
  const isLed = servingLeader(view) !== undefined;
  const away = isLed ? [] : unreadReplicas(view, choice, beside.isEmpty ?? (() => false));
  const leaders = away.filter((one) => newest.includes(one));
  // Followers hold no more than the leader that replicated to them.
  const doubtful = (leaders.length > 0 ? leaders : away).filter(
    (one) => !isFresh(view, one, beside.lastSeen),
  );
  if (doubtful.length > 0) {
    return { atLeast, atMost: undefined, why: unknownText(view, choice, doubtful) };
  }
  if (oldRecord(view) !== undefined) {
    const why = "the record is older than a disk, so it does not bound the loss";
    return { atLeast, atMost: undefined, why };
  }
  if (atLeast === 0n) return { atLeast, atMost: 0n, why: "" };
  const why = `${choice.endpoint} holds entries up to ${held}, and ${least} is known (${knownText(view)})`;
  return { atLeast, atMost: atLeast, why };
}

/**
 * The last offsets of the leaders of the newest term that are on lost tablets, as far as they are
 * proven fresh now or were when an earlier run began. A restarted nameserver reads older offsets from
 * ZooKeeper.
 */
export function lastOfLost(view: PartitionView): ReadonlyMap<Endpoint, bigint> {
  const found = new Map<Endpoint, bigint>();
  for (const one of newestLeaders(view).filter(isLost)) {
    const kept = keptOfLost(view, one);
    const last = kept ?? (isFresh(view, one, undefined) ? one.claim.offset : undefined);
    if (last !== undefined) found.set(one.endpoint, last);
  }
  return found;
}

/**
 * The stored last offset of a leader on a lost tablet. Undefined if the record has a higher one: the
 * tablet came back in between.
 */
function keptOfLost(view: PartitionView, replica: ReplicaView): bigint | undefined {
  const kept = view.known?.bounds.lastOfLost?.get(replica.endpoint);
  return isLost(replica) && (replica.claim.offset ?? 0n) <= (kept ?? -1n) ? kept : undefined;
}

/** True if the nameserver's offset of an unreadable replica is fresh now or was earlier. */
function isFresh(view: PartitionView, replica: ReplicaView, lastSeen: bigint | undefined): boolean {
  const { endpoint, claim, isOffsetFresh } = replica;
  if (keptOfLost(view, replica) !== undefined) return true;
  if (claim.offset === undefined) return false;
  const before = view.known?.replicas.get(endpoint);
  const isKnownFresh = before?.isClaimFresh === true && before.claimed === claim.offset;
  return isOffsetFresh === true || isKnownFresh || lastSeen === claim.offset;
}

function unknownText(
  view: PartitionView,
  choice: ReplicaView,
  doubtful: readonly ReplicaView[],
): string {
  const who = doubtful
    .map((one) => {
      const why = one.tablet === "ok" ? "is not loaded" : `its tablet ${one.tabletDetail}`;
      return `${one.endpoint} (${why}; known to hold entries up to ${lowerBound(view, one)}, and what it holds beyond is not known)`;
    })
    .join(", ");
  return `${choice.endpoint} holds entries up to ${heldBy(view, choice)}, and nothing proves that it has all of ${who}`;
}

function knownText(view: PartitionView): string {
  return view.replicas
    .map((one) =>
      isServing(one)
        ? `${one.endpoint} ${trueOffset(one)}`
        : `${one.endpoint} not loaded, seen at ${knownOffset(view, one)}`,
    )
    .join(", ");
}

/** The numbers in words, such as `at least 5 entries (how many at most is not known)`. */
export function givenUpCount({ atLeast, atMost }: Loss): string {
  if (atMost === undefined) return `at least ${atLeast} entries (how many at most is not known)`;
  return atMost === atLeast ? `${atLeast} entries` : `${atLeast} to ${atMost} entries`;
}

/** Adds the losses of several partitions. */
export function sumOfLosses(losses: readonly Loss[]): Loss {
  return losses.reduce(
    (sum, one) => ({
      atLeast: sum.atLeast + one.atLeast,
      atMost:
        sum.atMost === undefined || one.atMost === undefined ? undefined : sum.atMost + one.atMost,
    }),
    { atLeast: 0n, atMost: 0n },
  );
}

/** True if the accepted loss covers a loss. */
export function isWithin(loss: Loss, accepted: Loss): boolean {
  if (loss.atLeast > accepted.atLeast) return false;
  if (accepted.atMost === undefined) return true;
  return loss.atMost !== undefined && loss.atMost <= accepted.atMost;
}
