import type { Endpoint, PartitionId, StorageMode } from "../model/cluster-state.js";
import type { PartitionView } from "../model/partition-view.js";
import { isServing, servingLeader } from "./what-it-holds.js";

/** A partition whose rows are to be compared. */
export interface RowTask {
  readonly id: PartitionId;
  readonly storageMode: StorageMode;
  /** Undefined if no replica serves as leader. */
  readonly leader: Endpoint | undefined;
  readonly followers: readonly Endpoint[];
  /**
   * The replicas on record that cannot be read, each with the reason; first, if so, that no leader
   * serves.
   */
  readonly missing: readonly string[];
  /** The leader's row count, as its tablet reports it; 0 without a leader. */
  readonly leaderRows: number;
  /** Row counts of all readable replicas, added. */
  readonly rows: number;
}

/** Returns which replicas of a partition are compared with which leader. */
export function rowTask(view: PartitionView): RowTask {
  const leader = servingLeader(view);
  const readable = view.replicas.filter((one) => isServing(one));
  const missing = view.replicas
    .filter((one) => !readable.includes(one))
    .map((one) => `${one.endpoint}: ${one.tabletDetail || "it has not loaded the replica"}`);
  return {
    id: view.id,
    storageMode: view.storageMode,
    leader: leader?.endpoint,
    followers: readable.filter((one) => one !== leader).map((one) => one.endpoint),
    missing: leader === undefined ? ["no replica serves as leader", ...missing] : missing,
    leaderRows: Number(leader?.report?.recordCount ?? 0n),
    rows: readable.reduce((sum, one) => sum + Number(one.report?.recordCount ?? 0n), 0),
  };
}
