import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import { exLeaders } from "../policy/what-may-be-overwritten.js";

/**
 * Plans the demotion of ex-leaders that still run, before a replica is rebuilt; see {@link exLeaders}.
 *
 * @param steps The steps that follow; without a RecoverTable among them nothing is demoted.
 */
export function exLeaderDemotions(
  view: PartitionView,
  leader: ReplicaView,
  steps: readonly Step[],
): Step[] {
  if (!steps.some((one) => one.kind === "recover-table")) return [];
  const isDemoted = ({ endpoint }: ReplicaView) =>
    steps.some((one) => one.kind === "demote" && one.endpoint === endpoint);
  return exLeaders(view, leader)
    .filter((one) => !isDemoted(one))
    .map(({ endpoint }) => ({
      kind: "demote",
      id: view.id,
      endpoint,
      why: "extra-leader",
      isDecided: false,
    }));
}
