import type { Cluster } from "../cluster/cluster.js";
import { OpsError } from "../errors.js";
import type { ClusterState, Endpoint, TableClaim, TabletView } from "../model/cluster-state.js";
import { tabletHealth } from "../model/partition-view.js";
import { mapInTurns } from "../util/yielding.js";

/** Limit of tables whose records are read in one observation. */
const TABLES_MAX = 500;

/**
 * Reads from ZooKeeper the records of tables with a partition that has followers and a leader on an unreachable
 * tablet. An offset of the nameserver that differs from the record is fresh, see `isOffsetFresh`.
 *
 * For tables beyond the limit, and if ZooKeeper does not answer, no offset is proven to be fresh.
 *
 * @returns Undefined if every leader is reachable; no call is made then.
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
