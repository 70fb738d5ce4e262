import type {
  Endpoint,
  LowerBounds,
  PartitionId,
  PartitionNumbers,
  TermStart,
} from "./cluster-state.js";
import { tableName } from "./partition-name.js";

/** What is known of one replica's log, by source. */
export interface ReplicaEvidence {
  readonly endpoint: Endpoint;
  /**
   * The nameserver's offset of it when the run began; undefined if none was stored. The replica once held that
   * much, so it is a lower bound. It can be stale: the replica may hold more.
   */
  readonly claimed: bigint | undefined;
  /** True if that offset was fresh when the run began, see `ReplicaView.isOffsetFresh`. */
  readonly isClaimFresh?: boolean | undefined;
  /**
   * The snapshot on its disk, read before the replica was loaded: a lower bound of its offset after loading.
   * Undefined if not requested or not answered; offset 0 if there is no snapshot.
   */
  readonly snapshot: TermStart | undefined;
  /** The lower bound that an earlier run stored; undefined if there is none. */
  readonly remembered: bigint | undefined;
  /** Its true last entry, as its tablet reports it once it is loaded. Undefined if not loaded. */
  readonly loaded: bigint | undefined;
  /** Row counts: in the nameserver's record when the run began, and as its tablet reports them. */
  readonly records: { readonly claimed: bigint | undefined; readonly loaded: bigint | undefined };
  /** Health of its tablet at the last observation; undefined if it was `ok`. */
  readonly away?: "offline" | "silent" | undefined;
  /** Its flags when the run began. */
  readonly wasAlive: boolean;
  readonly wasLeader: boolean;
}

/** Name of a partition in stored lower bounds. A tid alone is not enough: it can be assigned to another table. */
export function keptName({ db, table, pid }: PartitionId): string {
  return `${db === "" ? "." : ""}${tableName({ db, table })}:${pid}`;
}

/** Everything known of a partition's logs. */
export interface PartitionEvidence {
  readonly bounds: LowerBounds;
  readonly replicas: ReadonlyMap<Endpoint, ReplicaEvidence>;
}

/**
 * Stores lower bounds beyond the end of a run. Within 2 s after a replica is loaded, the nameserver replaces
 * its stored offset by the tablet's, so the next run could not detect missing rows.
 */
export interface KnownOffsetsStore {
  /**
   * Reads all of them, by `replicaKey` of the partition. Entries that cannot be parsed are left out.
   *
   * @throws OpsError of ZooKeeper.
   */
  read(): Promise<ReadonlyMap<string, LowerBounds>>;
  /** Stores the bounds of a partition. @throws OpsError of ZooKeeper. */
  remember(id: PartitionId, bounds: LowerBounds): Promise<void>;
  /** Deletes the bounds of a partition, if there are any. @throws OpsError of ZooKeeper. */
  forget(id: PartitionNumbers): Promise<void>;
}
