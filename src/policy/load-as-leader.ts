import type { Endpoint } from "../model/cluster-state.js";
import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import { oldRecordProblem } from "./old-record.js";
import { newestLeaders } from "./what-is-given-up.js";
import { isServing, knownOffset, leastOffset, lowerBound, most } from "./what-it-holds.js";

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
  const replica = view.replicas.find((one) => one.endpoint === endpoint);
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
