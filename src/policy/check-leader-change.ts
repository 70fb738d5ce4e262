import type { Endpoint } from "../model/cluster-state.js";
import { givenUpCount, mayGiveUp } from "../model/loss.js";
import {
  compareText,
  type PartitionView,
  type ReplicaView,
  replicaAt,
} from "../model/partition-view.js";
import { newestLeaders } from "./flagged-leader.js";
import { oldRecordProblem } from "./old-record.js";
import { type GivenUp, givenUpIfLeads } from "./what-is-given-up.js";
import {
  isInSync,
  isServing,
  knownOffset,
  leastOffset,
  lowerBound,
  most,
  servingLeader,
  trueOffset,
} from "./what-it-holds.js";
import { discardedBy } from "./what-may-be-overwritten.js";

/** The requested leader of a partition, and the accepted loss. */
export interface LeaderChangeOptions {
  /**
   * The follower that will lead; `auto`: the best one; undefined: the best one, only if no leader is
   * alive.
   */
  readonly candidate: Endpoint | "auto" | undefined;
  /** True if rows that another replica holds, or may hold, can be given up. */
  readonly acceptsLoss: boolean;
  /** How many partitions a tablet leads, to choose among equals; without it, all count the same. */
  readonly leads?: ((endpoint: Endpoint) => number) | undefined;
  /** The offset of the unreachable leader that the plan proved, see `LossEvidence.lastSeen`. */
  readonly lastSeen?: bigint | undefined;
}

/** Counts led partitions by tablet, see {@link leadCounts}. */
export interface LeadCounts {
  (endpoint: Endpoint): number;
  /** Counts one more partition for a tablet that will lead it. */
  readonly add: (endpoint: Endpoint) => void;
}

/** The planned change of a leader. */
export interface LeaderChange {
  /** The replica flagged leader and alive; undefined if there is none. */
  readonly from: Endpoint | undefined;
  readonly to: Endpoint;
  /** The last entry that the new leader holds now. */
  readonly offset: bigint;
  /** What is given up; nothing unless the options accept that. */
  readonly givesUp: GivenUp;
  /**
   * Alive followers with more entries than the new leader: they must not take part in the election.
   */
  readonly dropped: readonly Endpoint[];
  /**
   * The fresh offset of the unreachable leader; undefined if there is no such leader or the offset is
   * not fresh.
   */
  readonly lastSeen: bigint | undefined;
}

/** Why a change of the leader is impossible or not allowed. */
export interface LeaderChangeRefusal {
  readonly refusal: string;
  /** What to do instead: `auto` and `accept-loss` name the flag, the others a command. */
  readonly remedy: "auto" | "accept-loss" | "recover" | "add-replica" | "other-candidate";
}

/**
 * Checks a change of the leader before it is requested, by the rules of the nameserver's ChangeLeader
 * (OpenMLDB 0.9 nameserver: ChangeLeader, CreateChangeLeaderOP, SelectLeader) and by what is known of
 * the logs. ChangeLeader itself compares alive followers only, and compares a named candidate with
 * none.
 */
export function checkLeaderChange(
  view: PartitionView,
  options: LeaderChangeOptions,
): LeaderChange | LeaderChangeRefusal {
  if (view.replicas.length === 1) {
    return no(
      "add-replica",
      "it has one replica, so there is no follower that could lead (code 134)",
    );
  }
  const old = oldRecordProblem(view);
  if (old !== undefined && !options.acceptsLoss) return no("recover", old.text);
  const flagged = view.replicas.find((one) => one.claim.isLeader && one.claim.isAlive);
  if (flagged !== undefined && options.candidate === undefined) {
    return no(
      "auto",
      `${flagged.endpoint} leads it and is marked alive: without a candidate the nameserver changes a leader only if none is alive (code 309)`,
    );
  }
  const followers = view.replicas.filter((one) => one.claim.isAlive && !one.claim.isLeader);
  if (followers.length === 0) {
    return no("recover", "no follower is marked alive, so none can lead (code 310)");
  }
  // The op calls every alive follower on a healthy tablet, and fails if one of them does not answer.
  const unable = followers.find((one) => one.tablet !== "offline" && !isServing(one));
  if (unable !== undefined) {
    return no("recover", `follower ${unable.endpoint} is marked alive, but ${whyNot(unable)}`);
  }
  const able = followers.filter((one) => one.tablet === "ok");
  const chosen = choose(view, able, options);
  if ("refusal" in chosen) return chosen;
  const givesUp = givenUp(view, chosen, options.lastSeen);
  if (mayGiveUp(givesUp) && !options.acceptsLoss) {
    return no("accept-loss", `${givesUp.why}: ${givenUpCount(givesUp)} would be given up`);
  }
  const offset = trueOffset(chosen);
  return {
    from: flagged?.endpoint,
    to: chosen.endpoint,
    offset,
    givesUp,
    dropped: mayGiveUp(givesUp)
      ? able.filter((one) => trueOffset(one) > offset).map((one) => one.endpoint)
      : [],
    lastSeen: lastSeenLeader(view) ?? options.lastSeen,
  };
}

function choose(
  view: PartitionView,
  able: readonly ReplicaView[],
  { candidate, leads = () => 0 }: LeaderChangeOptions,
): ReplicaView | LeaderChangeRefusal {
  if (candidate !== undefined && candidate !== "auto") {
    const named = replicaAt(view, candidate);
    if (named === undefined) {
      const all = view.replicas.map((one) => one.endpoint).join(", ");
      return no("other-candidate", `${candidate} holds no replica of it; its replicas: ${all}`);
    }
    if (!able.includes(named)) {
      return no("other-candidate", `${candidate} cannot lead: ${whyNot(named)}`);
    }
    return named;
  }
  const [best] = [...able].sort(
    (a, b) =>
      Number(trueOffset(b) - trueOffset(a)) ||
      leads(a.endpoint) - leads(b.endpoint) ||
      compareText(a.endpoint, b.endpoint),
  );
  return best ?? no("recover", "the tablet of every follower that is marked alive is offline");
}

/**
 * What a change gives up. Nothing if it is a planned one: the leader serves and the candidate is in
 * sync. Under writes the leader is always a little ahead; the step waits for the candidate before it
 * changes the leader.
 */
function givenUp(view: PartitionView, chosen: ReplicaView, lastSeen: bigint | undefined): GivenUp {
  const leader = servingLeader(view);
  const isPlanned =
    leader !== undefined &&
    isInSync(chosen, leader) &&
    view.replicas.every((one) => discardedBy(view, one, leader)?.code !== "ahead");
  return isPlanned
    ? { atLeast: 0n, atMost: 0n, why: "" }
    : givenUpIfLeads(view, chosen, { lastSeen });
}

function whyNot(replica: ReplicaView): string {
  if (replica.tablet !== "ok") return `its tablet ${replica.tabletDetail}`;
  if (replica.claim.isLeader && replica.claim.isAlive) return "it is flagged leader already";
  if (!replica.claim.isAlive) return "it is marked not alive";
  return "it is not loaded and serving there";
}

function no(remedy: LeaderChangeRefusal["remedy"], refusal: string): LeaderChangeRefusal {
  return { refusal, remedy };
}

/** The fresh offset of the replica flagged leader and alive; undefined if that is not proven. */
export function lastSeenLeader(view: PartitionView): bigint | undefined {
  const leader = view.replicas.find((one) => one.claim.isLeader && one.claim.isAlive);
  return leader?.isOffsetFresh === true ? leader.claim.offset : undefined;
}

/** Counts the partitions that each tablet leads now, and those that are added later. */
export function leadCounts(views: readonly PartitionView[]): LeadCounts {
  const counts = new Map<Endpoint, number>();
  const add = (endpoint: Endpoint) => counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1);
  for (const view of views) {
    const leader = servingLeader(view);
    if (leader !== undefined) add(leader.endpoint);
  }
  return Object.assign((endpoint: Endpoint) => counts.get(endpoint) ?? 0, { add });
}

/**
 * The least offset at which a replica must come up to lead: all entries of the partition that are
 * known.
 */
export function leastOffsetToLead(view: PartitionView, replica: ReplicaView): bigint {
  return most([leastOffset(view), lowerBound(view, replica)]);
}

/**
 * Returns why a replica must not be loaded as leader by hand: two leaders would both take writes, or
 * entries that another replica holds, or may hold, would be given up. `--accept_data_loss` does not
 * apply: ChangeLeader begins a new term, and loading does not.
 *
 * @returns Undefined if nothing known forbids it.
 */
export function whyNotLead(view: PartitionView, endpoint: Endpoint): string | undefined {
  const replica = replicaAt(view, endpoint);
  if (replica === undefined) return `the record has no replica at ${endpoint}`;
  const old = oldRecordProblem(view);
  if (old !== undefined) return `${old.endpoint}: ${old.text}`;
  const others = view.replicas.filter((one) => one !== replica);
  const running = others.find((one) => one.report?.role === "leader");
  if (running !== undefined) {
    return `${running.endpoint} runs it as leader: two leaders would both take writes`;
  }
  const isNewest = replica.claim.isLeader && replica.claim.isAlive;
  const rightful = isNewest
    ? undefined
    : newestLeaders(view).find((one) => one !== replica && (one.claim.isAlive || !isServing(one)));
  if (rightful !== undefined) {
    const { endpoint: other, claim } = rightful;
    return claim.isAlive
      ? `${other} is the one flagged leader and alive, so it led last`
      : `${other} is flagged leader and not loaded, so what it holds is not known`;
  }
  const own = knownOffset(view, replica);
  const ahead = others.find((one) => knownOffset(view, one) > own);
  return ahead === undefined
    ? undefined
    : `${ahead.endpoint} is known to hold entries up to ${knownOffset(view, ahead)}, ${endpoint} only up to ${own}: the rest would be given up`;
}
