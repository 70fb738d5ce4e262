import type { OperateFlags } from "./flags-operate.js";

/** What the commands that move replicas and leaders of whole tablets have in common. */
interface ManyPartitions extends OperateFlags {
  /** Partitions worked on at the same time, 1..64. */
  readonly concurrency: number;
}

/** Flags of `scaleout`. */
export interface ScaleOutFlags extends ManyPartitions {
  /** Whether partitions with more replicas than their table asks for keep them. */
  readonly keepSurplus: boolean;
}

/** Flags of `scalein`. */
export interface ScaleInFlags extends ScaleOutFlags {
  /** The tablets to be emptied; at least one, each once. */
  readonly endpoints: readonly string[];
}

/** Flags of `post-upgrade`. */
export interface PostUpgradeFlags extends ManyPartitions {
  /** The one tablet that is upgraded. */
  readonly endpoints: readonly string[];
  /** Path of the file that remembers which leaders were taken away. */
  readonly statfile: string;
}

/** Flags of `pre-upgrade`. */
export interface PreUpgradeFlags extends PostUpgradeFlags {
  /** Whether partitions with one replica stay on the tablet, out of service meanwhile. */
  readonly allowSingleReplica: boolean;
}
