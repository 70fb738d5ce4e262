import { absenceOf, registrationOf } from "../model/absence.js";
import { type Advice, doing } from "../model/advice.js";
import type { ClusterState, TabletView, Topology } from "../model/cluster-state.js";
import type { PrintCommand } from "../model/tool-command.js";
import { absenceAdvice } from "./absence-advice.js";

/**
 * The tablets that block all ops: registered, healthy for the nameserver, and not answering. The nameserver
 * ends no task of an op until each tablet that it counts as healthy has reported its tasks (OpenMLDB 0.9
 * nameserver: UpdateTaskStatus).
 */
function opsBlockers(tablets: Iterable<TabletView>): readonly TabletView[] {
  return [...tablets].filter((one) => absenceOf(one)?.kind === "unreachable");
}

/**
 * The advice on a tablet that is registered but does not answer, without the command that follows it.
 *
 * @param hasReplicas True if the record has a replica there. If not, the registration may be a leftover.
 */
export function blockerAdvice(
  topology: Pick<Topology, "rootPath">,
  tablet: TabletView,
  hasReplicas: boolean,
  print: PrintCommand,
): Advice {
  const { endpoint } = tablet;
  const absence = absenceOf(tablet);
  if ((hasReplicas || tablet.leftRegistration !== undefined) && absence !== undefined)
    return absenceAdvice(endpoint, absence, print);
  return [
    doing(
      `find out whether a tablet runs at ${endpoint}, where no replica is on record; if none does, delete the znode that was left behind: ${registrationOf(topology, endpoint)}`,
      "server",
    ),
  ];
}

/** What to do before the cluster's ops can end; undefined if no tablet blocks them. */
export function unblockOps(
  state: Pick<ClusterState, "topology" | "tablets" | "tables">,
  print: PrintCommand,
): Advice | undefined {
  const [first] = opsBlockers(state.tablets.values());
  if (first === undefined) return undefined;
  const hasReplicas = state.tables.some(({ partitions }) =>
    partitions.some(({ replicas }) => replicas.some((one) => one.endpoint === first.endpoint)),
  );
  return blockerAdvice(state.topology, first, hasReplicas, print);
}
