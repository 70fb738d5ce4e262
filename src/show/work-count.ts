import { type Endpoint, type PartitionId, replicaKey } from "../model/cluster-state.js";
import type { PartitionAtWork } from "../model/progress.js";

/** A number of units, and how many of them are done. */
export interface Share {
  readonly of: number;
  readonly done: number;
}

/** The number of replicas left at a tablet. */
export interface TabletLeft {
  readonly endpoint: Endpoint;
  readonly of: number;
  readonly left: number;
}

/** Counts partitions and replicas of a recovery. */
export interface WorkCount {
  /** Adds partitions, or reopens partitions that were finished. */
  begin(partitions: readonly PartitionAtWork[]): void;
  /** Records that a step of the partition started. A partition without steps counts as left. */
  beginStep(id: PartitionId): void;
  /** @returns How many replicas became done: 1, or 0 if it was done before. */
  endReplica(id: PartitionId, endpoint: Endpoint): number;
  /** @returns How many replicas became done. */
  endPartition(id: PartitionId, hasFailed: boolean): number;
  /** Finished partitions, successful or not. */
  partitions(): Share;
  /** Finished partitions that are not recovered: a step failed, or nothing could be done. */
  left(): number;
  replicas(): Share;
  /** Replicas that still need work. */
  replicasLeft(): number;
  /** The tablet with the most replicas left; undefined if fewer than two tablets have some left. */
  slowest(): TabletLeft | undefined;
}

interface Counted {
  readonly replicas: readonly Endpoint[];
  /** Replicas that are done; undefined: none yet. */
  done: Set<Endpoint> | undefined;
  hasBegun: boolean;
  end: "open" | "done" | "left";
}

/** Starts counting. */
export function createWorkCount(): WorkCount {
  const known = new Map<string, Counted>();
  const tablets = new Map<Endpoint, { of: number; done: number; givenUp: number }>();
  let finished = 0;
  let left = 0;
  const at = (endpoint: Endpoint) => {
    const tablet = tablets.get(endpoint) ?? { of: 0, done: 0, givenUp: 0 };
    tablets.set(endpoint, tablet);
    return tablet;
  };
  const undone = ({ replicas, done }: Counted) =>
    replicas.filter((endpoint) => done?.has(endpoint) !== true);
  const reopen = (one: Counted) => {
    if (one.end === "open") return;
    finished -= 1;
    for (const endpoint of one.replicas) at(endpoint).done -= 1;
    for (const endpoint of undone(one)) {
      const tablet = at(endpoint);
      tablet.done += one.end === "left" ? 1 : 0;
      tablet.givenUp -= one.end === "left" ? 1 : 0;
    }
    if (one.end === "left") left -= 1;
    [one.end, one.done, one.hasBegun] = ["open", undefined, false];
  };
  const sum = (of: (tablet: { of: number; done: number; givenUp: number }) => number) =>
    [...tablets.values()].reduce((all, tablet) => all + of(tablet), 0);
  return {
    begin(partitions) {
      for (const { id, replicas } of partitions) {
        const key = replicaKey(id);
        const one = known.get(key);
        if (one !== undefined) reopen(one);
        else {
          known.set(key, { replicas, done: undefined, hasBegun: false, end: "open" });
          for (const endpoint of replicas) at(endpoint).of += 1;
        }
      }
    },
    beginStep(id) {
      const one = known.get(replicaKey(id));
      if (one !== undefined) one.hasBegun = true;
    },
    endReplica(id, endpoint) {
      const one = known.get(replicaKey(id));
      if (one?.end !== "open" || !undone(one).includes(endpoint)) return 0;
      one.done ??= new Set();
      one.done.add(endpoint);
      at(endpoint).done += 1;
      return 1;
    },
    endPartition(id, hasFailed) {
      const one = known.get(replicaKey(id));
      if (one?.end !== "open") return 0;
      finished += 1;
      const isLeft = hasFailed || !one.hasBegun;
      if (isLeft) left += 1;
      const rest = undone(one);
      for (const endpoint of rest) at(endpoint)[isLeft ? "givenUp" : "done"] += 1;
      one.end = isLeft ? "left" : "done";
      return isLeft ? 0 : rest.length;
    },
    partitions: () => ({ of: known.size, done: finished }),
    left: () => left,
    replicas: () => ({ of: sum((one) => one.of), done: sum((one) => one.done) }),
    replicasLeft: () => sum((one) => one.of - one.done - one.givenUp),
    slowest() {
      const each = [...tablets].map(([endpoint, { of, done, givenUp }]) => ({
        endpoint,
        of,
        left: of - done - givenUp,
      }));
      const open = each.filter((one) => one.left > 0).sort((a, b) => b.left - a.left);
      return open.length > 1 ? open[0] : undefined;
    },
  };
}
