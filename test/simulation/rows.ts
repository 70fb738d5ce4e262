import { messageOf } from "../../src/errors.js";
import { RULES, type Rules } from "../../src/execution/rules.js";
import type { PartitionRows } from "../../src/model/rows.js";
import { inspectCluster } from "../../src/observe/diagnosed-cluster.js";
import { identifiedCluster } from "../../src/observe/identified-cluster.js";
import { verifyRows } from "../../src/observe/verify-rows.js";
import { rowTask } from "../../src/policy/rows-to-compare.js";
import {
  type IndexSpec,
  type IndexTtl,
  indexOf,
  isExpired,
  schemaWith,
} from "../../src/sandbox/model/indexes.js";
import type { Random } from "../../src/sandbox/model/random.js";
import { isInMemory, type LoadedReplica } from "../../src/sandbox/model/replica.js";
import { rowCount, subtract } from "../../src/sandbox/model/runs.js";
import { timestampOf } from "../../src/sandbox/tablet/traverse.js";
import { again, print } from "../helpers/printing.js";
import type { Checks } from "./checkers.js";
import { loadedAt, type Part, partsOf } from "./partitions.js";
import { pick, spread, streamOf } from "./shape.js";
import type { Stats } from "./stats.js";
import type { World } from "./world.js";

/** The timestamp of the model's first rows, and the time between the rows of one key in tables whose rows expire. */
const FIRST_TS = 1_700_000_000_000;
const STEP_MS = 60_000;
const ROWS_PER_STEP = 32;
/** The number of keys of the model's first index, which has the most. */
const KEYS_MAX = 16n;
const MINUTE_MS = 60_000;
/** The clocks of two tablets differ by twice this, at most. */
const CLOCK_MS = 14_000;
const LIMIT_MS = 4 * 3_600_000;

/**
 * Compares the rows of every partition as `verify --deep` does, while clients write and rows expire. The result must report
 * every difference that the model has, and no other.
 */
export async function compareRowsOf(
  world: World,
  checks: Checks,
  seed: number,
  {
    rules,
    stats,
  }: { readonly rules: Partial<Rules> | undefined; readonly stats: Stats | undefined },
): Promise<void> {
  const random = streamOf(seed, "rows");
  const parts = partsOf(world.model);
  const expiring = new Set<number>();
  for (const table of world.model.tables.all()) {
    const indexes = indexesFor(world, random);
    if (indexes.some((one) => one.ttl !== undefined)) expiring.add(table.tid);
    setIndexes(world, table.tid, indexes);
  }
  for (const of of parts) if (random.chance(0.2)) plant(world, of, random);
  // The clocks differ by no more than the margin for expiring rows covers.
  world.toolClockMs = 0;
  for (const tablet of world.model.tablets.values()) {
    tablet.clockAheadMs = random.below(2 * CLOCK_MS) - CLOCK_MS;
  }
  const writes = startWriting(world, random);
  const found = await deepResults(world, random, rules).catch((error: unknown) => {
    checks.addViolation("rows-agree", `rows cannot be compared: ${messageOf(error)}`);
    return [];
  });
  writes.stop();
  for (const one of found) {
    const of = parts.find(({ id }) => id.tid === one.id.tid && id.pid === one.id.pid);
    if (of === undefined) continue;
    stats?.add("rows", `${one.status}${expiring.has(one.id.tid) ? ", expiring" : ""}`);
    const wrong = disagreement(world, of, one, expiring.has(one.id.tid));
    if (wrong !== undefined) checks.addViolation("rows-agree", `${of.name} ${wrong}`);
  }
}

async function deepResults(
  world: World,
  random: Random,
  rules: Partial<Rules> | undefined,
): Promise<readonly PartitionRows[]> {
  const tool = await world.open();
  const cluster = identifiedCluster(tool.cluster);
  const { signal } = new AbortController();
  const work = async () => {
    const { views } = await inspectCluster(cluster, { only: {}, signal, again, print });
    return verifyRows(views.map(rowTask), {
      cluster,
      rules: { ...RULES, ...rules },
      signal,
      bytesPerSecond: spread(random, 10_000, 10_000_000),
      concurrency: 1 + random.below(3),
      sample: undefined,
      random: () => random.next(),
      onProgress: () => undefined,
      onCompared: () => undefined,
    });
  };
  const results = await world.clock.run(work(), LIMIT_MS);
  tool.exit();
  return results;
}

/** Half of the tables keep all rows. In the others rows expire during the comparison, by age or by number. */
function indexesFor(world: World, random: Random): readonly IndexSpec[] {
  const names = random.chance(0.3) ? ["idx", "idx2"] : ["idx"];
  const ageMs = world.clock.wallTime() - FIRST_TS;
  const ttl: IndexTtl = {
    type: pick(random, ["absolute", "latest", "absandlat", "absorlat"] as const),
    minutes: Math.max(1, Math.floor((ageMs - random.below(20) * STEP_MS) / MINUTE_MS)),
    rows: 1 + random.below(8),
  };
  const isExpiring = random.chance(0.5);
  return names.map((name) => (isExpiring ? { name, ttl } : { name }));
}

function setIndexes(world: World, tid: number, indexes: readonly IndexSpec[]): void {
  const schema = schemaWith(indexes);
  for (const tablet of world.model.tablets.values()) {
    for (const replica of tablet.loaded()) {
      if (replica.tid !== tid) continue;
      replica.dir.meta = { ...replica.dir.meta, schema };
      replica.forgetAnswers();
    }
  }
}

/** One row of one replica is lost or replaced. */
function plant(world: World, of: Part, random: Random): void {
  const { endpoint } = pick(random, of.part.partitionMeta);
  const replica = loadedAt(world.model, of, endpoint);
  const rows = replica === undefined ? 0 : rowCount(replica.dir.runs);
  if (replica === undefined || rows === 0) return;
  const number = replica.offset - BigInt(random.below(Math.min(rows, ROWS_PER_STEP)));
  const has = replica.dir.runs.some((run) => run.from <= number && number <= run.to);
  if (!has) return;
  const at = { db: of.table.db, table: of.table.name, pid: of.part.pid, tablet: endpoint };
  world.model.plantRow(at, number, pick(random, ["lost", "other"] as const));
}

/** Clients write a few rows at a time. */
function startWriting(world: World, random: Random): { stop(): void } {
  let isOver = false;
  const go = () => {
    if (isOver) return;
    world.model.put(1 + random.below(20));
    collectGarbage(world, random);
    world.clock.setTimer(spread(random, 20, 5_000), go);
  };
  if (random.chance(0.7)) go();
  return {
    stop() {
      isOver = true;
    },
  };
}

/** One tablet removes the expired rows of one replica, in all its indexes. */
function collectGarbage(world: World, random: Random): void {
  const tablet = pick(random, [...world.model.tablets.values()]);
  const replica = tablet.loaded()[random.below(Math.max(1, tablet.loaded().length))];
  const indexes = ["idx", "idx2"].flatMap(
    (name) => (replica && indexOf(replica.dir.meta.schema, name)) ?? [],
  );
  if (replica === undefined || indexes.length === 0 || random.chance(0.5)) return;
  const nowMs = world.clock.wallTime() + tablet.clockAheadMs;
  let last = replica.expiredTo;
  for (let number = last + 1n; number <= replica.offset; number += 1n) {
    // A lower bound of the newer rows of its key, in any index; one of them may have the same timestamp.
    const rank = Number((replica.offset - number) / KEYS_MAX);
    const isGone = indexes.every((index) =>
      isExpired(index.ttl, timestampOf(number, index, isInMemory(replica)), rank, nowMs),
    );
    if (!isGone) break;
    last = number;
  }
  replica.expiredTo = last;
}

/** The error in a result, by the model's replicas; undefined if the result is right. */
function disagreement(
  world: World,
  of: Part,
  { status, leader, followers, reasons }: PartitionRows,
  isExpiring: boolean,
): string | undefined {
  const replicas = [leader ?? "", ...followers].map((one) => loadedAt(world.model, of, one));
  const [own, ...others] = replicas;
  if (own === undefined) return undefined;
  const different = others.filter((its) => its !== undefined && differs(own, its));
  if (status === "different" && different.length === 0) return "is called different and is not";
  if (status === "same" && different.length > 0 && !isExpiring)
    return "is called the same and differs";
  const isWhole = others.length + 1 === of.part.partitionMeta.length;
  const isInSync = isWhole && others.every((its) => its !== undefined && its.offset >= own.offset);
  if (status === "not-comparable" && isInSync && (different.length === 0 || !isExpiring)) {
    return `is called not comparable: ${reasons.join("; ")}`;
  }
  return undefined;
}

/** True if two replicas hold different rows, apart from entries that are still being replicated. */
function differs(own: LoadedReplica, its: LoadedReplica): boolean {
  if (isInMemory(own) && own.extraRows !== its.extraRows) return true;
  const missing = subtract(own.dir.runs, its.dir.runs).some((run) => run.from <= its.offset);
  return missing || subtract(its.dir.runs, own.dir.runs).length > 0;
}
