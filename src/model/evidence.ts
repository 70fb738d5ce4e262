import type { Endpoint, LowerBounds, PartitionId, TermStart } from "./cluster-state.js";
import { tableName } from "./partition-name.js";

/** What is known of one replica's log, and how well. */
export interface ReplicaEvidence {
  readonly endpoint: Endpoint;
  /**
   * Where the nameserver last saw it when the run began; undefined if it had stored nothing. It was
   * there once, so this is a lower bound. It can be old: the replica may hold more.
   */
  readonly seen: bigint | undefined;
  /** Whether that offset was fresh when the run began, see `ReplicaView.isOffsetFresh`. */
  readonly isSeenFresh?: boolean | undefined;
  /**
   * The snapshot on its disk, asked for before it was loaded: it must come up with at least that.
   * Undefined if it was not asked or did not answer; offset 0 if there is no snapshot.
   */
  readonly snapshot: TermStart | undefined;
  /** What an earlier run knew that it must hold; undefined if nothing was remembered. */
  readonly remembered: bigint | undefined;
  /** Its last entry, as its tablet reports it once it is loaded: the truth. Undefined if not loaded. */
  readonly loaded: bigint | undefined;
  /** Rows, as the nameserver's record had them when the run began, and as its tablet counts them. */
  readonly records: { readonly claimed: bigint | undefined; readonly loaded: bigint | undefined };
  /** Its flags when the run began. */
  readonly wasAlive: boolean;
  readonly wasLeader: boolean;
}

/** A partition as lower bounds that are kept name it: table ids alone may mean another table one day. */
export function keptName({ db, table, pid }: PartitionId): string {
  return `${db === "" ? "." : ""}${tableName({ db, table })}:${pid}`;
}

/** Everything known of a partition's logs. */
export interface PartitionEvidence {
  readonly bounds: LowerBounds;
  readonly replicas: ReadonlyMap<Endpoint, ReplicaEvidence>;
}

/**
 * Lower bounds that outlive a run. Once a replica is loaded, the nameserver replaces what it knew by
 * what the tablet reports, two seconds later: the next run would see nothing amiss.
 */
export interface KnownOffsetsStore {
  /**
   * Reads all of them, by `replicaKey` of the partition. What cannot be understood is left out.
   *
   * @throws OpsError of ZooKeeper.
   */
  read(): Promise<ReadonlyMap<string, LowerBounds>>;
  /** @throws OpsError of ZooKeeper. */
  remember(id: PartitionId, bounds: LowerBounds): Promise<void>;
  /** Nothing happens if there is none. @throws OpsError of ZooKeeper. */
  forget(id: { readonly tid: number; readonly pid: number }): Promise<void>;
}
