import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import { chooseLeader } from "../policy/flagged-leader.js";
import { lowerBound, trueOffset } from "../policy/what-it-holds.js";

/**
 * Notes for the report on a replica that becomes leader: the entries that this choice saves, and those
 * that are lost.
 */
export function promotionNotes(view: PartitionView, leader: ReplicaView): string[] {
  return [...savedRows(view, leader), ...lostRows(view, leader)];
}

/**
 * The entries that the documented choice (flagged leader with the highest offset on record) would have
 * lost.
 */
function savedRows(view: PartitionView, leader: ReplicaView): string[] {
  const choice = chooseLeader(view);
  if ("blocked" in choice || choice.leader === leader) return [];
  const documented = choice.leader;
  const kept = trueOffset(leader) - (trueOffset(documented) < 0n ? 0n : trueOffset(documented));
  if (kept <= 0n) return [];
  return [
    `${leader.endpoint} leads instead of ${documented.endpoint}: it holds ${kept} entries that ${documented.endpoint} lost`,
  ];
}

/** The entries that the only replica of a partition lost; no other replica can hold them. */
function lostRows(view: PartitionView, leader: ReplicaView): string[] {
  const lost = lowerBound(view, leader) - trueOffset(leader);
  if (view.replicas.length > 1 || lost <= 0n) return [];
  return [
    `${leader.endpoint} is the only replica and lost ${lost} entries: it holds ${trueOffset(leader)}, and ${lowerBound(view, leader)} was seen before`,
  ];
}
