import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import { isServing, servingLeader } from "../policy/what-it-holds.js";

/**
 * Why RecoverTable of a replica must not be asked for: it makes the replica a copy of the leader, and
 * deletes what an unloaded one holds before anything is compared (OpenMLDB 0.9 nameserver:
 * RecoverEndpointTable). So somebody must lead, and hold at least as much.
 *
 * @param since The newest term when the leader was changed: entries behind the beginning of the next
 *   one are what the replica took from clients in that moment, and nobody else has them. Undefined
 *   if the leader was not changed just now.
 * @returns Undefined if nothing speaks against it.
 */
export function recoverDanger(
  view: PartitionView,
  replica: ReplicaView,
  since?: bigint,
): { readonly text: string; readonly isLoss: boolean } | undefined {
  if (replica.tablet !== "ok") {
    return { text: `its tablet ${replica.tabletDetail}`, isLoss: false };
  }
  // Nobody else has the rows, so there is nothing that could be given up.
  if (view.replicas.length === 1) return undefined;
  const leader = servingLeader(view);
  if (leader === undefined) return { text: "nobody leads the partition", isLoss: false };
  if (leader === replica) return { text: "it leads the partition", isLoss: false };
  const held = heldOffset(replica);
  const isFed = isServing(replica) && leader.followers?.followers.has(replica.endpoint) === true;
  // The list was made after a fed follower was asked, the leader's own report maybe before.
  const led = (isFed ? leader.followers?.offset : undefined) ?? leader.report?.offset ?? 0n;
  if (held > led) {
    return {
      text: `it is known to hold entries up to ${held}, leader ${leader.endpoint} only up to ${led}: ${held - led} would be given up`,
      isLoss: true,
    };
  }
  const fork = since === undefined ? undefined : forkAfter(view, since);
  if (fork === undefined || held <= fork || !replica.claim.isLeader) return undefined;
  return {
    text: `it took entries up to ${held} from clients, and the new leadership began behind ${fork}: ${held - fork} would be given up`,
    isLoss: true,
  };
}

/** The highest entry that a replica is known to hold, whatever history it is of. */
function heldOffset({ claim, report, snapshot }: ReplicaView): bigint {
  if (report !== undefined) return report.offset;
  const seen = claim.offset ?? 0n;
  const saved = snapshot?.offset ?? 0n;
  return saved > seen ? saved : seen;
}

function forkAfter(view: PartitionView, since: bigint): bigint | undefined {
  const next = view.terms.find((one) => one.term > since);
  return next === undefined ? undefined : next.offset - 1n;
}
