import pLimit from "p-limit";
import type { Cluster, OnDisk } from "../cluster/cluster.js";
import { OpsError } from "../errors.js";
import {
  type Endpoint,
  followerKey,
  type ReplicaClaim,
  replicaKey,
  type TableClaim,
  type TabletView,
  type TermStart,
} from "../model/cluster-state.js";
import { flatMapped } from "../model/work.js";
import { inTurns } from "../util/yielding.js";

/** Limit of concurrent calls to all tablets. */
const CALLS_IN_FLIGHT = 64;

/** The limits of reading snapshots. */
export interface SnapshotOptions {
  /** Limit of partitions whose replicas are read; all if undefined. */
  readonly partitions?: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * Reads the snapshot on disk of every replica that is not loaded (GetTermPair): a lower bound of its offset after
 * loading. A loaded replica shows its actual offset but no longer its snapshot, so snapshots are read before: here,
 * and by every step that loads a replica. A replica that runs as leader against the record is read too, because its
 * term may be missing in the record.
 *
 * A tablet that does not answer is left out and not called again; nothing depends on the missing values.
 *
 * @returns By `followerKey`; empty if every replica is loaded, without any call.
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
  const wanted = await unloaded(tables, tablets, partitions);
  await Promise.all(
    wanted.map(({ endpoint, of, runsAsLeader }) =>
      limit(async () => {
        if (silent.has(endpoint) || signal?.aborted === true) return;
        try {
          const { isLoaded, term, offset } = await cluster.getTermPair(endpoint, of);
          if (!isLoaded || runsAsLeader) found.set(followerKey(endpoint, of), { term, offset });
        } catch (thrown) {
          if (!(thrown instanceof OpsError) || thrown.code !== "rejected") silent.add(endpoint);
        }
      }),
    ),
  );
  signal?.throwIfAborted();
  return found;
}

/** A replica that is read from its tablet. */
interface Wanted {
  readonly endpoint: Endpoint;
  readonly of: OnDisk;
  /** True if it is loaded and runs as leader against the record; false if it is not loaded. */
  readonly runsAsLeader: boolean;
}

function unloaded(
  tables: readonly TableClaim[],
  tablets: ReadonlyMap<Endpoint, TabletView>,
  partitionsMax: number,
): Promise<Wanted[]> {
  let found = 0;
  return inTurns(
    flatMapped(tables, ({ tid, storageMode, partitions }) => {
      if (storageMode === "unknown") return [];
      return partitions.flatMap(({ pid, replicas }) => {
        const isBelowLimit = found < partitionsMax;
        const key = replicaKey({ tid, pid });
        const isRead = ({ endpoint, isLeader, isAlive }: ReplicaClaim) => {
          const tablet = tablets.get(endpoint);
          if (tablet?.claim?.isHealthy !== true || tablet.reports === undefined) return false;
          const report = tablet.reports.get(key);
          return report === undefined
            ? isBelowLimit
            : report.role === "leader" && !(isLeader && isAlive);
        };
        const own = replicas.filter(isRead).map(({ endpoint }) => {
          const runsAsLeader = tablets.get(endpoint)?.reports?.has(key) === true;
          return { endpoint, of: { tid, pid, storageMode }, runsAsLeader };
        });
        if (own.some((one) => !one.runsAsLeader)) found += 1;
        return own;
      });
    }),
  );
}
