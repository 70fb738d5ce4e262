import type { Endpoint } from "../model/cluster-state.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Problem } from "../model/problem.js";
import { type GivenUp, givenUpIfLeads, newestLeaders, unasked } from "./what-is-given-up.js";
import {
  isServing,
  knownOffset,
  lowerBound,
  most,
  servingLeader,
  type Tried,
} from "./what-it-holds.js";
import { discardedBy } from "./what-may-be-overwritten.js";
import { chooseAmong } from "./who-may-lead.js";

/** What becomes of a partition if some tablets never come back. */
export interface WithoutLost {
  /** The replica that leads then; undefined if none is left, or if it is not decided. */
  readonly leader: ReplicaView | undefined;
  /** Why it is not decided which one leads; undefined if it is, or if no replica is left. */
  readonly blocked: Problem | undefined;
  /**
   * Whether replicas that are left are still to be loaded: what they hold is not known yet, so that the
   * leader and the numbers may change for the better.
   */
  readonly isProvisional: boolean;
  /** Acknowledged entries that are given up. `mayGiveUp` tells whether that has to be accepted. */
  readonly givesUp: GivenUp;
  /**
   * Entries behind the beginning of the newest leadership that lost ex-leaders are known to hold. An
   * election gave them up already, so they are named and need not be accepted.
   */
  readonly parted: bigint;
}

/**
 * Decides a partition without tablets that the operator declares lost for good.
 *
 * The best of the other replicas leads, by the rule of `decideLeader`. Nothing known is given up if
 * the leader of the newest term is among them, or if the nameserver's fresh offset of the lost leader
 * does not exceed what the winner holds. A lost replica that was marked dead before the newest term
 * began acknowledged nothing that counts.
 *
 * @param lost Tablets that hold replicas of the partition or not; none of them may be registered.
 */
export function withoutLost(
  view: PartitionView,
  lost: ReadonlySet<Endpoint>,
  tried: Tried,
): WithoutLost {
  const left = view.replicas.filter((one) => !lost.has(one.endpoint));
  const gone = view.replicas.filter((one) => lost.has(one.endpoint));
  if (left.length === 0) return nothingLeft(view, gone);
  const isProvisional = left.some(
    (one) => one.tablet === "ok" && !isServing(one) && !tried.cannotLoad.has(one.endpoint),
  );
  const serving = servingLeader(view);
  const choice =
    serving !== undefined && left.includes(serving)
      ? { leader: serving }
      : choose(view, left, isProvisional);
  if ("blocked" in choice) {
    return {
      leader: undefined,
      blocked: choice.blocked,
      isProvisional,
      givesUp: NOTHING,
      parted: 0n,
    };
  }
  const { leader } = choice;
  const isEmpty = (endpoint: Endpoint) => tried.cannotLoad.get(endpoint) === "empty";
  const blocked = isProvisional ? undefined : stillAway(view, leader, { left, isEmpty });
  return {
    leader: blocked === undefined ? leader : undefined,
    blocked,
    isProvisional,
    givesUp: givenUpIfLeads(view, leader, { isEmpty }),
    parted: gone.reduce((sum, one) => sum + partedOf(view, one, leader), 0n),
  };
}

const NOTHING: GivenUp = { atLeast: 0n, atMost: 0n, why: "" };

/** Before every replica is loaded, the one known to hold most stands for the one that will lead. */
function choose(
  view: PartitionView,
  left: readonly ReplicaView[],
  isProvisional: boolean,
): ReturnType<typeof chooseAmong> {
  if (!isProvisional) return chooseAmong(view, left.filter(isServing));
  const best = left
    .filter((one) => one.tablet === "ok")
    .reduce<ReplicaView | undefined>(
      (best, one) =>
        best === undefined || knownOffset(view, one) > knownOffset(view, best) ? one : best,
      undefined,
    );
  return best === undefined ? chooseAmong(view, []) : { leader: best };
}

/** A replica that is not declared lost, cannot be asked, and may hold more than the choice. */
function stillAway(
  view: PartitionView,
  leader: ReplicaView,
  of: {
    readonly left: readonly ReplicaView[];
    readonly isEmpty: (endpoint: Endpoint) => boolean;
  },
): Problem | undefined {
  if (servingLeader(view) === leader) return undefined;
  const [first] = unasked(view, leader, of.isEmpty).filter((one) => of.left.includes(one));
  if (first === undefined) return undefined;
  const why = first.tablet === "ok" ? "cannot be loaded" : first.tabletDetail;
  const code = newestLeaders(view).includes(first) ? "leader-unavailable" : "unread";
  const text = `${first.endpoint} (${why}) is not declared lost and may hold more than ${leader.endpoint} (known to hold entries up to ${lowerBound(view, first)})`;
  return { code, endpoint: first.endpoint, text, candidate: leader.endpoint };
}

function nothingLeft(view: PartitionView, gone: readonly ReplicaView[]): WithoutLost {
  const atLeast = most(gone.map((one) => knownOffset(view, one)));
  const [leader] = newestLeaders(view);
  const isKnown = leader?.isOffsetFresh === true && newestLeaders(view).length === 1;
  const who = gone.map((one) => one.endpoint).join(", ");
  return {
    leader: undefined,
    blocked: undefined,
    isProvisional: false,
    givesUp: {
      atLeast,
      atMost: isKnown ? atLeast : undefined,
      why: `every replica is lost (${who}), and entries up to ${atLeast} were known`,
    },
    parted: 0n,
  };
}

function partedOf(view: PartitionView, gone: ReplicaView, leader: ReplicaView): bigint {
  const discarded = discardedBy(view, gone, leader);
  const isEx = gone.claim.isLeader && !newestLeaders(view).includes(gone);
  return isEx && discarded?.code === "surplus" ? discarded.known - discarded.kept : 0n;
}
