import type { Endpoint, FollowerList, ReplicaReport, Role } from "../model/cluster-state.js";
import { type PartitionView, type ReplicaView, replicaAt } from "../model/partition-view.js";
import { lowerBound, newestTerm } from "../policy/what-it-holds.js";

/** Returns the partition with one replica changed. */
export function changed(
  view: PartitionView,
  endpoint: Endpoint,
  to: (one: ReplicaView) => ReplicaView,
): PartitionView {
  return {
    ...view,
    replicas: view.replicas.map((one) => (one.endpoint === endpoint ? to(one) : one)),
  };
}

/** Returns the partition with other flags of a replica. */
export function flagged(
  view: PartitionView,
  endpoint: Endpoint,
  flags: Partial<ReplicaView["claim"]>,
): PartitionView {
  return changed(view, endpoint, (one) => ({ ...one, claim: { ...one.claim, ...flags } }));
}

/** Returns the partition with a replica loaded and serving, at the offset that was last seen. */
export function running(
  view: PartitionView,
  endpoint: Endpoint,
  parts: Partial<ReplicaReport> = {},
): PartitionView {
  return changed(view, endpoint, (one) => {
    const seen = lowerBound(view, one);
    const now = one.report?.offset ?? 0n;
    // All fields by name: 240,000 replicas are predicted, and objects made by spreading are four times as slow.
    const report: ReplicaReport = {
      tid: view.id.tid,
      pid: view.id.pid,
      role: one.report?.role,
      recordCount: one.report?.recordCount ?? 0n,
      memoryBytes: one.report?.memoryBytes ?? 0n,
      indexBytes: one.report?.indexBytes ?? 0n,
      diskBytes: one.report?.diskBytes ?? 0n,
      offset: now > seen ? now : seen,
      ...parts,
      state: "normal",
    };
    return { ...one, report };
  });
}

/**
 * Returns the partition with a replica running in a role; a leader replicates to these followers.
 */
export function inRole(
  view: PartitionView,
  endpoint: Endpoint,
  role: Role,
  followers: readonly Endpoint[] = [],
): PartitionView {
  return changed(running(view, endpoint, { role }), endpoint, (one) => {
    if (role === "follower") return { ...one, followers: undefined };
    const offset = one.report?.offset ?? 0n;
    const list: FollowerList = { offset, followers: new Map(followers.map((to) => [to, offset])) };
    return { ...one, followers: list };
  });
}

/** Returns the partition with one leader on record. */
export function recorded(
  view: PartitionView,
  leader: Endpoint,
  alive: readonly Endpoint[],
  keepsFlag: readonly Endpoint[] = [],
): PartitionView {
  const replicas = view.replicas.map((one) => ({
    ...one,
    claim: {
      ...one.claim,
      isLeader: one.endpoint === leader || (one.claim.isLeader && keepsFlag.includes(one.endpoint)),
      isAlive: alive.includes(one.endpoint),
    },
  }));
  return { ...view, replicas };
}

/** Returns the partition with a replica that is an alive follower, in sync with its leader. */
export function back(
  view: PartitionView,
  { endpoint }: { readonly endpoint: Endpoint },
  { leader }: { readonly leader: Endpoint | undefined },
): PartitionView {
  return inSync(flagged(view, endpoint, { isAlive: true, isLeader: false }), leader, endpoint);
}

/** Returns the partition led by a replica in a new term, which begins after its last entry. */
export function inNewTerm(view: PartitionView, leader: Endpoint): PartitionView {
  const led = inRole(view, leader, "leader");
  const offset = replicaAt(led, leader)?.report?.offset ?? 0n;
  const term = newestTerm(view) + 1n;
  return recorded({ ...led, terms: [...view.terms, { term, offset: offset + 1n }] }, leader, [
    leader,
  ]);
}

/**
 * Returns the partition with a follower that the leader replicates to and that holds all of the
 * leader's entries.
 */
export function inSync(
  view: PartitionView,
  leader: Endpoint | undefined,
  endpoint: Endpoint,
): PartitionView {
  const led = view.replicas.find((one) => one.endpoint === leader);
  const offset = led?.report?.offset ?? 0n;
  const run = running(view, endpoint, { role: "follower", offset });
  return changed(run, leader ?? "", (one) => ({
    ...one,
    followers: { offset, followers: new Map(one.followers?.followers).set(endpoint, offset) },
  }));
}

/** Returns the partition without a replica. */
export function without(view: PartitionView, endpoint: Endpoint): PartitionView {
  const replicas = view.replicas
    .filter((one) => one.endpoint !== endpoint)
    .map((one) => unlisted(one, endpoint));
  return { ...view, replicas };
}

/** Returns a leader that no longer replicates to an endpoint. */
export function unlisted(one: ReplicaView, endpoint: Endpoint): ReplicaView {
  if (one.followers === undefined) return one;
  const followers = new Map(one.followers.followers);
  followers.delete(endpoint);
  return { ...one, followers: { ...one.followers, followers } };
}

/** Returns the partition with a new follower that is in sync. */
export function withFollower(
  view: PartitionView,
  leader: Endpoint | undefined,
  endpoint: Endpoint,
): PartitionView {
  const known = view.replicas[0];
  if (known === undefined) return view;
  const { claim } = known;
  const added: ReplicaView = {
    endpoint,
    claim: { ...claim, endpoint, isLeader: false, isAlive: true },
    tablet: "ok",
    tabletDetail: "",
    report: undefined,
    followers: undefined,
  };
  return inSync({ ...view, replicas: [...view.replicas, added] }, leader, endpoint);
}
