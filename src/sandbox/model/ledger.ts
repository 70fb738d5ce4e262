import { type PartitionNumbers, replicaKey } from "../../model/cluster-state.js";
import { append, type Run } from "./runs.js";

/** Every entry that a leader ever acknowledged to a client, by partition. */
export class Ledger {
  readonly #runs = new Map<string, Run[]>();

  /**
   * Records entries as acknowledged; those of one partition in the order of their acknowledgement.
   */
  acknowledge(id: PartitionNumbers, run: Run): void {
    const key = replicaKey(id);
    const runs = this.#runs.get(key) ?? [];
    append(runs, run);
    this.#runs.set(key, runs);
  }

  /** The acknowledged entries of a partition. Two writers can have had the same numbers. */
  of(id: PartitionNumbers): readonly Run[] {
    return this.#runs.get(replicaKey(id)) ?? [];
  }
}
