import type { Endpoint } from "../model/cluster-state.js";
import type { Loss } from "../model/loss.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import { isLost } from "./lost-replicas.js";
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
 * How many acknowledged entries are given up where a replica leads: at least, and at most.
 *
 * A fresh offset of a replica that cannot be asked counts as what it holds: it is two seconds old at
 * most, see `ReplicaView.isOffsetFresh`.
 */
export interface GivenUp extends Loss {
  /** What it follows from, in words with numbers; empty if nothing is given up. No final stop. */
  readonly why: string;
}

/** What is known of a partition's replicas beside the view. */
export interface KnownBeside {
  /** Replicas that have nothing to be lost: their tablet has no directory of them (code 131). */
  readonly isEmpty?: ((endpoint: Endpoint) => boolean) | undefined;
  /**
   * The offset at which a leader that cannot be asked was seen last, where an earlier look proved it
   * fresh. It counts as long as the record says the same: a record that was written since hides it.
   */
  readonly lastSeen?: bigint | undefined;
}

/** Whether entries may be given up: some are known, or a replica that may hold more cannot be asked. */
export function mayGiveUp({ atLeast, atMost }: Loss): boolean {
  return atLeast > 0n || atMost !== 0n;
}

/**
 * The replicas that led the newest term, as far as the flags tell: those flagged leader and alive; if
 * there are none, all that are flagged leader. ChangeLeader leaves the ex-leader flagged and marks it
 * not alive (OpenMLDB 0.9 nameserver: ChangeLeaderOP), so one that is alive led last.
 */
export function newestLeaders(view: PartitionView): readonly ReplicaView[] {
  const flagged = view.replicas.filter((one) => one.claim.isLeader);
  const alive = flagged.filter((one) => one.claim.isAlive);
  return alive.length > 0 ? alive : flagged;
}

/**
 * What an absent leader of the newest term means, by the way to another leader. The ways differ on
 * purpose: a recovery runs over many partitions, so it waits for a tablet that may come back with more;
 * a change of leader and a lost tablet are asked for by an operator who names what is away.
 */
const ABSENT_LEADER = {
  /** `recoverdata --method=direct`: compares true offsets. */
  direct: "waited-for",
  /** `recoverdata --method=documented`: flags first, then the offsets on record. */
  documented: "waited-for",
  /** ChangeLeader, for changeleader, offlineendpoint, scaling and upgrades: alive followers only. */
  change: "passed-over-if-seen-fresh",
  /** Tablets that are lost for good: compares true offsets. */
  lost: "passed-over-if-seen-fresh",
} as const;

/**
 * The leaders of the newest term, if every one of them is away and the way to another leader waits for
 * them; else empty. One on a tablet that is lost (`--lost`) is never waited for.
 */
export function awaitedLeaders(
  view: PartitionView,
  way: keyof typeof ABSENT_LEADER,
): readonly ReplicaView[] {
  const newest = newestLeaders(view);
  const isAwaited = (one: ReplicaView) =>
    one.tablet !== "ok" && ABSENT_LEADER[isLost(one) ? "lost" : way] === "waited-for";
  return newest.every(isAwaited) ? newest : [];
}

/**
 * Replicas that cannot be asked and may hold acknowledged rows that a choice lacks.
 *
 * The leader of the newest term acknowledged every row itself: where it leads on, no other replica
 * can hold more. Any other choice may lack what the newest leaders hold, and what they replicated
 * until the end: to replicas marked alive, or to any if none is.
 */
export function unasked(
  view: PartitionView,
  choice: ReplicaView,
  isEmpty: (endpoint: Endpoint) => boolean,
): readonly ReplicaView[] {
  const newest = newestLeaders(view);
  if (newest.length === 1 && newest[0] === choice) return [];
  const isAnyAlive = view.replicas.some((one) => one.claim.isAlive);
  return view.replicas
    .filter((one) => one !== choice && !isServing(one) && !isEmpty(one.endpoint))
    .filter((one) => newest.includes(one) || one.claim.isAlive || !isAnyAlive);
}

/**
 * What is given up where a replica becomes leader now.
 *
 * Nothing known is given up by passing over a leader that cannot be asked if the nameserver saw it,
 * while it was loaded, no further than the choice is now. Followers that cannot be asked are prefixes
 * of their leader's log.
 */
export function givenUpIfLeads(
  view: PartitionView,
  choice: ReplicaView,
  beside: KnownBeside = {},
): GivenUp {
  const held = isServing(choice) ? trueOffset(choice) : knownOffset(view, choice);
  const least = leastOffset(view);
  const atLeast = least > held ? least - held : 0n;
  const newest = newestLeaders(view);
  // A leader that serves acknowledged everything itself.
  const isLed = servingLeader(view) !== undefined;
  const away = isLed ? [] : unasked(view, choice, beside.isEmpty ?? (() => false));
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
 * Where the leaders of the newest term that are on lost tablets were seen last, as far as it is proven fresh
 * now or was when an earlier run began. The record says less after a nameserver began anew from ZooKeeper's.
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

/** A record that knows more was written by a tablet that came back meanwhile. */
function keptOfLost(view: PartitionView, replica: ReplicaView): bigint | undefined {
  const kept = view.known?.bounds.lastOfLost?.get(replica.endpoint);
  return isLost(replica) && (replica.claim.offset ?? 0n) <= (kept ?? -1n) ? kept : undefined;
}

/** Whether the nameserver's offset of a replica that cannot be asked is fresh, now or earlier. */
function isFresh(view: PartitionView, replica: ReplicaView, lastSeen: bigint | undefined): boolean {
  const { endpoint, claim, isOffsetFresh } = replica;
  if (keptOfLost(view, replica) !== undefined) return true;
  if (claim.offset === undefined) return false;
  const before = view.known?.replicas.get(endpoint);
  const isKnownFresh = before?.isSeenFresh === true && before.seen === claim.offset;
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
  return `${choice.endpoint} holds entries up to ${isServing(choice) ? trueOffset(choice) : knownOffset(view, choice)}, and nothing proves that it has all of ${who}`;
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

/** Losses of several partitions together. */
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

/** Whether what was accepted covers a loss. */
export function isWithin(loss: Loss, accepted: Loss): boolean {
  if (loss.atLeast > accepted.atLeast) return false;
  if (accepted.atMost === undefined) return true;
  return loss.atMost !== undefined && loss.atMost <= accepted.atMost;
}
