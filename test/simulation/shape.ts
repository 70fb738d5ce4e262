import type { ModelOptions, TableSpec } from "../../src/sandbox/model/model-types.js";
import { type Random, seededRandom } from "../../src/sandbox/model/random.js";

/**
 * The entries of a cluster in `map/names`: `names`: tablets have server names; `empty`: the endpoint is the address and the
 * entry is empty.
 */
export type Naming = "names" | "empty";

/** The configuration of a cluster at its start. */
export interface Shape {
  readonly seed: number;
  readonly tablets: number;
  readonly nameservers: number;
  readonly tables: readonly TableSpec[];
  readonly hasSystemTables: boolean;
  readonly options: Partial<ModelOptions>;
  /** Absent: there is no `map/names`. */
  readonly naming?: Naming;
}

/** One of several items, all equally likely. */
export function pick<T>(random: Random, items: readonly T[]): T {
  const item = items[random.below(items.length)];
  if (item === undefined) throw new Error("nothing to pick from");
  return item;
}

/** Each item with the given probability, in order. */
export function some<T>(random: Random, items: readonly T[], probability: number): T[] {
  return items.filter(() => random.chance(probability));
}

/** A number between `min` and `max`, distributed evenly on a logarithmic scale. */
export function spread(random: Random, min: number, max: number): number {
  return Math.round(min * (max / min) ** random.next());
}

const SALTS = {
  shape: 1,
  history: 2,
  outage: 3,
  faults: 4,
  end: 5,
  clocks: 6,
  anomaly: 7,
  rows: 8,
  names: 9,
  typed: 10,
  anomalyDelay: 11,
  backup: 12,
  naming: 13,
  addresses: 14,
  operations: 15,
  life: 16,
};

/** A separate sequence of random numbers for each part of a simulation, so that a change of one part does not change the others. */
export function streamOf(seed: number, part: keyof typeof SALTS): Random {
  return seededRandom(Math.imul(seed, 2_654_435_761) + SALTS[part] * 40_503);
}

/** The cluster of a seed. */
export function shapeOf(seed: number): Shape {
  const random = streamOf(seed, "shape");
  const tablets = pick(random, [1, 2, 3, 3, 3, 4, 5, 6]);
  const tables = Array.from({ length: pick(random, [1, 1, 2, 3]) }, (_, index): TableSpec => {
    const partitions = random.chance(0.06) ? 4 + random.below(5) : pick(random, [1, 1, 2, 3]);
    return {
      db: random.chance(0.15) ? "" : pick(random, ["db1", "db2"]),
      table: `t${index + 1}`,
      partitions,
      replicas: 1 + random.below(Math.min(partitions > 4 ? 2 : 4, tablets)),
      storageMode: pick(random, ["memory", "memory", "ssd", "hdd"] as const),
    };
  });
  return {
    seed,
    tablets,
    nameservers: pick(random, [1, 2, 2, 3]),
    tables,
    hasSystemTables: random.chance(0.15),
    options: {
      autoFailover: random.chance(0.6),
      snapshotThreshold: 10n,
      recoverFailure: random.chance(0.5) ? 0.06 : 0,
      loadRowMs: pick(random, [0.01, 1, 20]),
    },
  };
}
