import pLimit from "p-limit";
import type { Cluster, OnDisk } from "../cluster/cluster.js";
import { OpsError } from "../errors.js";
import {
  type Endpoint,
  followerKey,
  replicaKey,
  type TableClaim,
  type TabletView,
  type TermStart,
} from "../model/cluster-state.js";
import { flatMapped } from "../model/work.js";
import { inTurns } from "../util/yielding.js";

/** Calls in flight at once, over all tablets. */
const CALLS_IN_FLIGHT = 64;

/** Bounds of asking for snapshots. */
export interface SnapshotOptions {
  /** Partitions with replicas that are not loaded that are asked, at most; all if undefined. */
  readonly partitions?: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * Asks the tablet of every replica that is not loaded for the snapshot on its disk (GetTermPair): the
 * least that the replica must come up with. Loading shows the truth and hides what should have been
 * there, so this is asked before: here, and by every step that loads a replica.
 *
 * Who does not answer is left out: nothing is known then, and nothing depends on it. A tablet that
 * fell silent is not asked again.
 *
 * @returns By `followerKey`; empty where every replica is loaded, without any call.
 */
export async function observeSnapshots(
  cluster: Cluster,
  tables: readonly TableClaim[],
  tablets: ReadonlyMap<Endpoint, TabletView>,
  { partitions = Number.POSITIVE_INFINITY, signal }: SnapshotOptions,
): Promise<ReadonlyMap<string, TermStart>> {
  const limit = pLimit(CALLS_IN_FLIGHT);
  const silent = new Set<Endpoint>();
  const found = new Map<string, TermStart>();
  const asked = await unloaded(tables, tablets, partitions);
  await Promise.all(
    asked.map(({ endpoint, of }) =>
      limit(async () => {
        if (silent.has(endpoint) || signal?.aborted === true) return;
        try {
          const { isLoaded, term, offset } = await cluster.getTermPair(endpoint, of);
          if (!isLoaded) found.set(followerKey(endpoint, of), { term, offset });
        } catch (thrown) {
          if (!(thrown instanceof OpsError) || thrown.code !== "rejected") silent.add(endpoint);
        }
      }),
    ),
  );
  signal?.throwIfAborted();
  return found;
}

function unloaded(
  tables: readonly TableClaim[],
  tablets: ReadonlyMap<Endpoint, TabletView>,
  partitionsMax: number,
): Promise<{ readonly endpoint: Endpoint; readonly of: OnDisk }[]> {
  let found = 0;
  return inTurns(
    flatMapped(tables, ({ tid, storageMode, partitions }) => {
      if (storageMode === "unknown") return [];
      return partitions.flatMap(({ pid, replicas }) => {
        if (found >= partitionsMax) return [];
        const own = replicas.filter(({ endpoint }) => {
          const tablet = tablets.get(endpoint);
          const isAnswering = tablet?.claim?.isHealthy === true && tablet.reports !== undefined;
          return isAnswering && tablet.reports?.has(replicaKey({ tid, pid })) === false;
        });
        if (own.length > 0) found += 1;
        return own.map(({ endpoint }) => ({ endpoint, of: { tid, pid, storageMode } }));
      });
    }),
  );
}
