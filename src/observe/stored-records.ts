import type { Cluster } from "../cluster/cluster.js";
import { OpsError } from "../errors.js";
import type { ClusterState, Endpoint, TableClaim, TabletView } from "../model/cluster-state.js";
import { tabletHealth } from "../model/partition-view.js";
import { mapInTurns } from "../util/yielding.js";

/** How many tables' records are read in one observation. */
const TABLES_MAX = 500;

/**
 * Reads the ZooKeeper records of tables that have a leader, with followers, on a tablet that cannot be
 * asked. A nameserver's offset that differs from the record is fresh, see `isOffsetFresh`.
 *
 * Tables beyond the limit have no proof, nor has any if ZooKeeper does not answer.
 *
 * @returns Undefined if every leader can be asked; then no call is made.
 */
export async function observeStored(
  cluster: Cluster,
  tables: readonly TableClaim[],
  tablets: ReadonlyMap<Endpoint, TabletView>,
): Promise<ClusterState["stored"]> {
  const away = new Set(
    [...tablets.values()]
      .filter((one) => tabletHealth(one).tablet !== "ok")
      .map((one) => one.endpoint),
  );
  if (away.size === 0) return undefined;
  const isConcerned = await mapInTurns(tables, ({ partitions }) =>
    partitions.some(
      ({ replicas }) =>
        replicas.length > 1 && replicas.some((one) => one.isLeader && away.has(one.endpoint)),
    ),
  );
  const wanted = tables.filter((_, index) => isConcerned[index] === true).slice(0, TABLES_MAX);
  if (wanted.length === 0) return undefined;
  try {
    return await cluster.storedTables(wanted);
  } catch (thrown) {
    if (!(thrown instanceof OpsError) || thrown.code === "interrupted") throw thrown;
    return undefined;
  }
}
