import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Problem } from "../model/problem.js";
import type { Learned } from "../planning/attempt-history.js";
import {
  evidenceOf,
  isServing,
  knownOffset,
  leastOffset,
  lowerBound,
  trueOffset,
} from "./what-it-holds.js";

/**
 * What a replica is known to hold of the surviving history beyond the leader that serves.
 *
 * One that is replicated to is compared with the leader's list, which was made after its own report.
 *
 * @returns Undefined if nothing is known of, or if the leader did not tell what it has.
 */
export function surplusOver(
  view: PartitionView,
  replica: ReplicaView,
  leader: ReplicaView,
): { readonly known: bigint; readonly held: bigint } | undefined {
  if (leader.followers === undefined || leader === replica) return undefined;
  const isListed = leader.followers.followers.has(replica.endpoint) && isServing(replica);
  const known = knownOffset(view, replica);
  const held = isListed ? leader.followers.offset : (leader.report?.offset ?? 0n);
  return known > held ? { known, held } : undefined;
}

/** Whether a replica is known to hold more than the leader that serves, see {@link surplusOver}. */
export function isAhead(view: PartitionView, replica: ReplicaView, leader: ReplicaView): boolean {
  return surplusOver(view, replica, leader) !== undefined;
}

/** What is given up where this replica leads, in words with numbers. */
export function givenUp(view: PartitionView, leader: ReplicaView): string {
  const offset = trueOffset(leader);
  const beyond = view.replicas
    .filter((one) => one !== leader)
    .filter((one) => trueOffset(one) > offset || !isServing(one))
    .map((one) => {
      const bound = lowerBound(view, one);
      const known = bound > 0n ? `, known to hold entries up to ${bound}` : "";
      return `${one.endpoint} (${isServing(one) ? `at ${trueOffset(one)}` : `not loaded${known}`})`;
    });
  const least = leastOffset(view);
  const lost =
    least > offset ? [`the ${least - offset} entries up to ${least} that were known`] : [];
  const parts = [
    ...lost,
    ...(beyond.length === 0 ? [] : [`whatever ${beyond.join(", ")} held beyond it`]),
  ];
  return parts.length === 0
    ? "nobody is known to hold more"
    : `given up is ${parts.join(", and ")}`;
}

/**
 * A follower whose load failed, so that nobody knows what its disk holds: RecoverTable would move its
 * log away. The leader may have lost its last entries with the power, and what the nameserver
 * remembers of the follower can be old, so nothing proves that the leader holds all of it.
 */
export function unreadFollower(
  view: PartitionView,
  leader: ReplicaView,
  learned: Learned,
): Problem | undefined {
  const one = view.replicas.find(
    (other) =>
      other !== leader &&
      other.tablet === "ok" &&
      !isServing(other) &&
      learned.cannotLoad.get(other.endpoint) === "failed" &&
      !isGivenAwaySafely(view, other, leader, learned),
  );
  if (one === undefined) return undefined;
  const text = `it cannot be loaded, so what its disk holds is not known (at least entries up to ${lowerBound(view, one)}, leader ${leader.endpoint} has ${trueOffset(leader)}): RecoverTable would move its log away, and nothing proves that the leader holds all of it`;
  return { code: "load-failed", endpoint: one.endpoint, text };
}

/** Whether the leader is proven to hold at least what the replica has to give. */
export function isGivenAwaySafely(
  view: PartitionView,
  replica: ReplicaView,
  leader: ReplicaView,
  learned: Learned,
): boolean {
  if (learned.cannotLoad.get(replica.endpoint) === "empty") return true;
  // What it holds is not known, only what it must hold at least.
  if (!isServing(replica) && !isProbablyWiped(view, replica, leader)) return false;
  return knownOffset(view, replica) <= trueOffset(leader);
}

/**
 * Whether a replica that cannot be loaded has in all likelihood nothing: the tablet cannot say that
 * the disk of a disk table is wiped (OpenMLDB 0.9 tablet: LoadTable answers before it looks), but it
 * says that there is no snapshot. A leader that led last has acknowledged every row itself, and can
 * have lost the last ones with the power: so it must be known how far the replica came, and the
 * leader must be there.
 */
function isProbablyWiped(view: PartitionView, replica: ReplicaView, leader: ReplicaView): boolean {
  const { replicas } = evidenceOf(view);
  const led = replicas.get(leader.endpoint);
  const hasNoSnapshot = replicas.get(replica.endpoint)?.snapshot?.offset === 0n;
  const isOnDisk = view.storageMode === "hdd" || view.storageMode === "ssd";
  const isKnown = knownOffset(view, replica) > 0n && trueOffset(leader) > 0n;
  return isOnDisk && hasNoSnapshot && isKnown && led?.wasLeader === true && led.wasAlive;
}
