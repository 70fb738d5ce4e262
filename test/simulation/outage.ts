import type { Random } from "../../src/sandbox/model/random.js";
import { write } from "./history.js";
import { dirAt, loadedAt, partsOf } from "./partitions.js";
import { pick, type Shape, some, spread, streamOf } from "./shape.js";
import type { World } from "./world.js";

/** The result of an outage. */
export interface Outage {
  /** The events, for the statistics. */
  readonly words: readonly string[];
  /** Tablets that never return. */
  readonly away: string[];
  /** Tablets that return during the recovery, with the delay in milliseconds. */
  readonly late: ReadonlyMap<string, number>;
}

/** Stops processes, damages disks, and restarts the processes that return. */
export async function causeOutage(world: World, shape: Shape): Promise<Outage> {
  const random = streamOf(shape.seed, "outage");
  const { model } = world;
  const words: string[] = [];
  if (random.chance(0.7)) write(world, random, 30);
  await world.clock.advance(pick(random, [0, 20, 150, 3_000, 30_000]));
  const hit = processesToStop(world, random, words);
  for (const name of hit) {
    if (model.tablets.has(name) && random.chance(0.3) && model.process(name).isUp) {
      model.powerLoss(name);
      words.push("power-loss");
    } else model.kill(name);
    if (random.chance(0.2)) await world.clock.advance(spread(random, 1, 12_000));
  }
  const down = hit.filter((name) => model.tablets.has(name));
  damageDisks(world, random, down, words);
  const outage = planReturns(random, down, words);
  await world.clock.advance(pick(random, [0, 100, 15_000]));
  for (const name of hit) {
    if (!outage.away.includes(name) && !outage.late.has(name)) model.restart(name);
  }
  await world.clock.advance(pick(random, [500, 12_000, 30_000, 30_000, 30_000, 150_000]));
  if (random.chance(0.2)) loadSome(world, random, words);
  return outage;
}

/** The processes that stop: mostly all tablets, with or without the nameservers. */
function processesToStop(world: World, random: Random, words: string[]): string[] {
  const { model } = world;
  const tablets = [...model.tablets.keys()];
  const nameservers = [...model.nameservers.keys()];
  const kind = random.next();
  if (kind < 0.5) {
    words.push("all-tablets");
    return tablets;
  }
  if (kind < 0.8) {
    words.push("everything");
    return [...nameservers, ...tablets];
  }
  if (kind < 0.95) {
    words.push("some-tablets");
    const hit = some(random, tablets, 0.6);
    return hit.length === 0 ? tablets : hit;
  }
  words.push("nothing");
  return [];
}

function damageDisks(world: World, random: Random, down: readonly string[], words: string[]): void {
  const { model } = world;
  for (const name of down) {
    if (random.chance(0.05)) {
      model.wipe(name);
      words.push("disk-wiped");
    }
  }
  for (const of of partsOf(model)) {
    for (const { endpoint } of of.part.partitionMeta) {
      const dir = dirAt(model, of, endpoint);
      if (!down.includes(endpoint) || dir === undefined || !random.chance(0.04)) continue;
      const isAll = random.chance(0.5);
      if (isAll) dir.dropBinlog();
      else dir.cutBinlog(1 + random.below(20));
      world.note(`${endpoint} lost ${isAll ? "the binlog" : "the last rows"} of ${of.name}`);
      words.push(isAll ? "binlog-recycled" : "binlog-cut");
    }
  }
}

function planReturns(random: Random, down: readonly string[], words: string[]): Outage {
  const away: string[] = [];
  const late = new Map<string, number>();
  for (const name of down) {
    const draw = random.next();
    if (draw < 0.07) away.push(name);
    else if (draw < 0.15) late.set(name, spread(random, 100, 90_000));
  }
  if (away.length > 0) words.push("tablet-away");
  if (late.size > 0) words.push("tablet-late");
  return { words, away, late };
}

/**
 * Another operator began to load replicas by hand, in the right role or not. This excludes partitions in which a replica still
 * runs as leader: an ex-leader would replicate given-up rows to a replica that it still lists, which the tool could not observe
 * later.
 */
function loadSome(world: World, random: Random, words: string[]): void {
  const { model } = world;
  for (const of of partsOf(model)) {
    const metas = of.part.partitionMeta;
    if (metas.some((one) => loadedAt(model, of, one.endpoint)?.role === "leader")) continue;
    for (const meta of metas) {
      const process = model.process(meta.endpoint);
      const isFree = process.isAnswering && loadedAt(model, of, meta.endpoint) === undefined;
      const dir = dirAt(model, of, meta.endpoint);
      if (!isFree || dir === undefined || !random.chance(0.4)) continue;
      // Loaded as the nameserver loads followers: values that the request leaves out come from the disk.
      process.tablet?.loads.load({
        tid: of.id.tid,
        pid: of.id.pid,
        name: of.table.name,
        db: undefined,
        segCount: undefined,
        mode: random.chance(0.7) ? "follower" : undefined,
        term: undefined,
        storageMode: of.table.storageMode,
        replicas: [],
      });
      world.note(`another operator loads ${of.name} on ${meta.endpoint}`);
      words.push("loaded-by-hand");
    }
  }
}
