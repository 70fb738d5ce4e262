import { type ClusterState, type Endpoint, replicaKey } from "../model/cluster-state.js";
import { compareText, type PartitionView, tabletHealth } from "../model/partition-view.js";

/** The tablets as they were observed. */
type Tablets = Pick<ClusterState, "tablets">;

/** A partition and its replicas on record. */
type Recorded = Pick<PartitionView, "id" | "replicas">;

/**
 * True if a tablet can take a new replica of a partition: it is healthy, has no replica of it on record, and has none
 * loaded off the record (OpenMLDB 0.9 tablet: SendData refuses a loaded table).
 */
export function isFree({ tablets }: Tablets, { id, replicas }: Recorded, to: Endpoint): boolean {
  const view = tablets.get(to);
  return (
    tabletHealth(view).tablet === "ok" &&
    view?.reports?.has(replicaKey(id)) !== true &&
    replicas.every((one) => one.endpoint !== to)
  );
}

/** The healthy tablets that have a partition loaded although the record has no replica there, sorted by name. */
export function leftoverTablets({ tablets }: Tablets, { id, replicas }: Recorded): Endpoint[] {
  const key = replicaKey(id);
  return [...tablets.values()]
    .filter((one) => one.reports?.has(key) === true && tabletHealth(one).tablet === "ok")
    .map((one) => one.endpoint)
    .filter((endpoint) => replicas.every((one) => one.endpoint !== endpoint))
    .sort(compareText);
}

/** What to do if no tablet is free for a new replica. No final stop. */
export function freeTabletText(state: Tablets, partition: Recorded): string {
  const [first] = leftoverTablets(state, partition);
  return first === undefined
    ? "start another tablet"
    : `tablet ${first} has it loaded although the record has no replica there: ${removeCopyText(partition.id, first)}; or start another tablet`;
}

/**
 * How to free a tablet of a copy that the record does not have. It is unloaded only with its process, and the next
 * load would find its data again (OpenMLDB 0.9 tablet: a directory `<tid>_<pid>` in the folder of the storage mode).
 */
export function removeCopyText(
  { tid, pid }: { readonly tid: number; readonly pid: number },
  endpoint: Endpoint,
): string {
  return `stop tablet ${endpoint}, move the directory ${tid}_${pid} out of its data folder, start it again`;
}
