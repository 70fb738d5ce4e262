import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import { type PartitionView, partitionName } from "../model/partition-view.js";
import { type PrintCommand, partitionFlags } from "../model/tool-command.js";
import { checkLeaderChange } from "../policy/check-leader-change.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { addReplicaText } from "./change-leader.js";
import type { Obstacle } from "./targets.js";

/**
 * Returns why a replica that is flagged leader can be neither moved nor deleted, with the command that makes it a
 * follower.
 *
 * @param how `refused`: the participle of the refused action, such as `moved`.
 */
export function leaderObstacle(
  state: ClusterState,
  view: PartitionView,
  endpoint: Endpoint,
  { print, refused }: { readonly print: PrintCommand; readonly refused: string },
): Obstacle {
  const name = partitionName(view.id);
  const of = partitionFlags(view.id);
  const leader = servingLeader(view);
  if (leader !== undefined && leader.endpoint !== endpoint) {
    return {
      text: `${name}: ${endpoint} is still flagged leader beside ${leader.endpoint}, so it cannot be ${refused}`,
      hint: `make it a follower first with: ${print({ cmd: "recovertable", ...of, endpoint })}`,
    };
  }
  const change = checkLeaderChange(view, { candidate: "auto", acceptsLoss: false });
  const text = `${name}: ${endpoint} leads it, and a leader cannot be ${refused}`;
  const hint =
    "refusal" in change
      ? `no follower can lead in its place (${change.refusal}): add one first: ${addReplicaText(view, state, print)}`
      : `change the leader first with: ${print({ cmd: "changeleader", ...of, candidate: change.to })}`;
  return { text, hint };
}
