import { diagnose, servingLeader } from "../diagnosis/diagnose.js";
import type { Endpoint } from "../model/cluster-state.js";
import { compareText, type PartitionView, type ReplicaView } from "../model/partition-view.js";
import { isServing, knownOffset, leastOffset } from "./what-it-holds.js";

/** Who is wanted as leader of a partition, and at what price. */
export interface Wish {
  /** The follower that shall lead; `auto`: the best one; undefined: the same, if no leader is alive. */
  readonly candidate: Endpoint | "auto" | undefined;
  /** Whether rows may be given up that another replica is known to hold. */
  readonly acceptsLoss: boolean;
  /** How many partitions a tablet leads, to choose among equals; all the same if left out. */
  readonly leads?: ((endpoint: Endpoint) => number) | undefined;
}

/** See {@link leadCounts}. */
export interface LeadCounts {
  (endpoint: Endpoint): number;
  /** One more partition is going to be led there. */
  readonly add: (endpoint: Endpoint) => void;
}

/** What a change of the leader would be. */
export interface Election {
  /** The replica flagged leader and alive; undefined if there is none. */
  readonly from: Endpoint | undefined;
  readonly to: Endpoint;
  /** The last entry that the new leader holds now. */
  readonly offset: bigint;
  /** Entries known of other replicas that would be given up; 0 unless the wish accepts that. */
  readonly givesUp: bigint;
  /** Alive followers with more than the new leader: they must not take part in the election. */
  readonly dropped: readonly Endpoint[];
}

/** Why the leader cannot, or must not, be changed so. */
export interface NoElection {
  readonly refusal: string;
  /** What to do instead: `auto` and `accept-loss` name the flag, the others a command. */
  readonly remedy: "auto" | "accept-loss" | "recover" | "add-replica" | "other-candidate";
}

/**
 * Judges a change of the leader before it is asked for, by the rules of the nameserver's ChangeLeader
 * (OpenMLDB 0.9 nameserver: ChangeLeader, CreateChangeLeaderOP, SelectLeader) and by what is known of
 * the logs: ChangeLeader itself compares alive followers only, and a candidate with nobody.
 */
export function elect(view: PartitionView, wish: Wish): Election | NoElection {
  if (view.replicas.length === 1) {
    return no(
      "add-replica",
      "it has one replica, so there is no follower that could lead (code 134)",
    );
  }
  const flagged = view.replicas.find((one) => one.claim.isLeader && one.claim.isAlive);
  if (flagged !== undefined && wish.candidate === undefined) {
    return no(
      "auto",
      `${flagged.endpoint} leads it and is marked alive: without a candidate the nameserver changes a leader only if none is alive (code 309)`,
    );
  }
  const followers = view.replicas.filter((one) => one.claim.isAlive && !one.claim.isLeader);
  if (followers.length === 0) {
    return no("recover", "no follower is marked alive, so none can lead (code 310)");
  }
  // The op asks every alive follower on a healthy tablet, and fails if one of them does not answer.
  const unable = followers.find((one) => one.tablet !== "offline" && !isServing(one));
  if (unable !== undefined) {
    return no("recover", `follower ${unable.endpoint} is marked alive, but ${whyNot(unable)}`);
  }
  const able = followers.filter((one) => one.tablet === "ok");
  const chosen = choose(view, able, wish);
  if ("refusal" in chosen) return chosen;
  return price(view, chosen, { from: flagged?.endpoint, able, wish });
}

function choose(
  view: PartitionView,
  able: readonly ReplicaView[],
  { candidate, leads = () => 0 }: Wish,
): ReplicaView | NoElection {
  if (candidate !== undefined && candidate !== "auto") {
    const named = view.replicas.find((one) => one.endpoint === candidate);
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
      Number(offsetOf(b) - offsetOf(a)) ||
      leads(a.endpoint) - leads(b.endpoint) ||
      compareText(a.endpoint, b.endpoint),
  );
  return best ?? no("recover", "the tablet of every follower that is marked alive is offline");
}

function price(
  view: PartitionView,
  chosen: ReplicaView,
  of: {
    readonly from: Endpoint | undefined;
    readonly able: readonly ReplicaView[];
    readonly wish: Wish;
  },
): Election | NoElection {
  const offset = offsetOf(chosen);
  const least = leastOf(view, chosen);
  const givesUp = least > offset ? least - offset : 0n;
  if (givesUp > 0n && !of.wish.acceptsLoss) {
    const known = view.replicas.map((one) => `${one.endpoint} ${knownText(view, one)}`).join(", ");
    return no(
      "accept-loss",
      `${chosen.endpoint} holds entries up to ${offset}, and ${least} is known: ${givesUp} would be given up (${known})`,
    );
  }
  return {
    from: of.from,
    to: chosen.endpoint,
    offset,
    givesUp,
    dropped: of.able
      .filter((one) => offsetOf(one) > offset && givesUp > 0n)
      .map((one) => one.endpoint),
  };
}

/**
 * What the new leader must hold. A follower in which nothing is wrong reached what its leader had:
 * under writes there is always more a moment later, and that is waited for when the leader is changed.
 */
function leastOf(view: PartitionView, chosen: ReplicaView): bigint {
  const isInSync =
    servingLeader(view) !== undefined &&
    !diagnose(view).some((one) => one.endpoint === chosen.endpoint || one.code === "ahead");
  return isInSync ? offsetOf(chosen) : leastOffset(view);
}

function knownText(view: PartitionView, replica: ReplicaView): string {
  if (isServing(replica)) return `${offsetOf(replica)}`;
  return `not loaded, seen at ${knownOffset(view, replica)}`;
}

function whyNot(replica: ReplicaView): string {
  if (replica.tablet !== "ok") return `its tablet ${replica.tabletDetail}`;
  if (replica.claim.isLeader && replica.claim.isAlive) return "it is flagged leader already";
  if (!replica.claim.isAlive) return "it is marked not alive";
  return isServing(replica) ? "nothing known" : "it is not loaded and serving there";
}

function offsetOf(replica: ReplicaView): bigint {
  return replica.report?.offset ?? 0n;
}

function no(remedy: NoElection["remedy"], refusal: string): NoElection {
  return { refusal, remedy };
}

/** How many partitions each tablet leads now; counts what is added later too. */
export function leadCounts(views: readonly PartitionView[]): LeadCounts {
  const counts = new Map<Endpoint, number>();
  const add = (endpoint: Endpoint) => counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1);
  for (const view of views) {
    const leader = servingLeader(view);
    if (leader !== undefined) add(leader.endpoint);
  }
  return Object.assign((endpoint: Endpoint) => counts.get(endpoint) ?? 0, { add });
}
