import type { PartitionView, ReplicaView } from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import { isServing } from "../policy/what-it-holds.js";

/**
 * Demotes the ex-leaders that still run before a replica is rebuilt. RecoverTable loads it anew, without
 * a term, and an ex-leader that lists it would go on sending from where it was: a hole in its log,
 * which no offset shows.
 *
 * @param steps What is to be done after it; without a RecoverTable among it nothing is demoted.
 */
export function exLeadersBefore(
  view: PartitionView,
  leader: ReplicaView,
  steps: readonly Step[],
): Step[] {
  if (!steps.some((one) => one.kind === "recover-table")) return [];
  const isDemoted = ({ endpoint }: ReplicaView) =>
    steps.some((one) => one.kind === "demote" && one.endpoint === endpoint);
  return view.replicas
    .filter((one) => one !== leader && isServing(one) && one.report?.role === "leader")
    .filter((one) => !isDemoted(one))
    .map(({ endpoint }) => ({
      kind: "demote",
      id: view.id,
      endpoint,
      why: "extra-leader",
      isDecided: false,
    }));
}
