import { isServing } from "../../src/sandbox/model/replica.js";
import { lastOffset, subtract } from "../../src/sandbox/model/runs.js";
import { dirAt, loadedAt, type Part, partsOf, surviving } from "./partitions.js";
import type { World } from "./world.js";

/** Counts distinct words by group. */
export class Stats {
  readonly #groups = new Map<string, Map<string, number>>();

  add(group: string, what: string, times = 1): void {
    const counts = this.#groups.get(group) ?? new Map<string, number>();
    counts.set(what, (counts.get(what) ?? 0) + times);
    this.#groups.set(group, counts);
  }

  /** One line for each group: the number of distinct words, and of all. */
  lines(): string[] {
    return [...this.#groups].map(([group, counts]) => {
      const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
      return `${group}: ${counts.size} distinct of ${total}`;
    });
  }

  /** The most frequent words of a group, with their counts. */
  top(group: string, count: number): string[] {
    return [...(this.#groups.get(group) ?? [])]
      .sort((a, b) => b[1] - a[1])
      .slice(0, count)
      .map(([what, times]) => `${String(times).padStart(7)}  ${what}`);
  }

  toJson(): Record<string, Record<string, number>> {
    return Object.fromEntries(
      [...this.#groups].map(([group, counts]) => [group, Object.fromEntries(counts)]),
    );
  }
}

/** A description of each partition, the same for partitions in the same situation. */
export function situationsOf(world: World): string[] {
  return partsOf(world.model).map((of) => {
    let longest = 0n;
    for (const { endpoint } of of.part.partitionMeta) {
      const { offset } = rows(world, of, endpoint);
      if (offset > longest) longest = offset;
    }
    return of.part.partitionMeta
      .map(({ endpoint, isLeader, isAlive }) => {
        const flags = `${isLeader ? "leader" : "follower"}${isAlive ? "" : ",dead"}`;
        return `${flags} ${diskWord(world, of, endpoint, longest)} ${runWord(world, of, endpoint)}`;
      })
      .sort()
      .join(" | ");
  });
}

function diskWord(world: World, of: Part, endpoint: string, longest: bigint): string {
  const { offset, extra, isThere } = rows(world, of, endpoint);
  if (!isThere) return "none";
  const kept = offset === 0n ? "empty" : "short";
  return `${offset === longest ? "full" : kept}${extra ? "+stale" : ""}`;
}

function runWord(world: World, of: Part, endpoint: string): string {
  if (!world.model.process(endpoint).isAnswering) return "down";
  const replica = loadedAt(world.model, of, endpoint);
  if (replica === undefined) return "unloaded";
  return `${replica.role}${isServing(replica) ? "" : ",loading"}`;
}

/** One line for each partition: its term history, and the flags, offsets and log of each replica. */
export function partitionLines(world: World): string[] {
  return partsOf(world.model).map((of) => {
    const terms = of.part.termOffset.map((pair) => `${pair.term}@${pair.offset}`).join(",");
    const replicas = of.part.partitionMeta.map((meta) => {
      const dir = dirAt(world.model, of, meta.endpoint);
      const flags = `${meta.isLeader ? "leader" : "follower"},${meta.isAlive ? "alive" : "dead"}`;
      const runs = dir?.runs
        .map((run) => `${run.from}-${run.to}t${run.term}w${run.writer}`)
        .join(" ");
      return `${meta.endpoint} ${flags} seen ${meta.offset} snapshot ${dir?.snapshot?.offset ?? "-"} log [${runs ?? "none"}]`;
    });
    return `partition: ${of.name} terms ${terms}: ${replicas.join("; ")}`;
  });
}

function rows(world: World, of: Part, endpoint: string) {
  const dir = dirAt(world.model, of, endpoint);
  const kept = surviving(of.part, dir?.runs ?? []);
  return {
    isThere: dir !== undefined,
    offset: lastOffset(kept),
    extra: subtract(dir?.runs ?? [], kept).length > 0,
  };
}
