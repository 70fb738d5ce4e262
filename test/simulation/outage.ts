import type { Random } from "../../src/sandbox/model/random.js";
import { write } from "./history.js";
import { dirAt, loadedAt, partsOf } from "./partitions.js";
import { pick, type Shape, some, spread, streamOf } from "./shape.js";
import type { World } from "./world.js";

/** The result of an outage. */
export interface Outage {
  /** The events, as words for the statistics. */
  readonly words: readonly string[];
  /** Tablets that stay away until the very end. */
  readonly away: string[];
  /** Tablets that come back some time after the recovery began, with the delay in milliseconds. */
  readonly late: ReadonlyMap<string, number>;
}

/** Brings the cluster down, harms disks, and starts again what comes back. */
export async function strike(world: World, shape: Shape): Promise<Outage> {
  const random = streamOf(shape.seed, "outage");
  const { model } = world;
  const words: string[] = [];
  if (random.chance(0.7)) write(world, random, 30);
  await world.clock.advance(pick(random, [0, 20, 150, 3_000, 30_000]));
  const hit = struck(world, random, words);
  for (const name of hit) {
    if (model.tablets.has(name) && random.chance(0.3) && model.process(name).isUp) {
      model.powerLoss(name);
      words.push("power-loss");
    } else model.kill(name);
    if (random.chance(0.2)) await world.clock.advance(spread(random, 1, 12_000));
  }
  const down = hit.filter((name) => model.tablets.has(name));
  harm(world, random, down, words);
  const outage = returns(random, down, words);
  await world.clock.advance(pick(random, [0, 100, 15_000]));
  for (const name of hit) {
    if (!outage.away.includes(name) && !outage.late.has(name)) model.restart(name);
  }
  await world.clock.advance(pick(random, [500, 12_000, 30_000, 30_000, 30_000, 150_000]));
  if (random.chance(0.2)) loadSome(world, random, words);
  return outage;
}

/** The processes that stop: mostly every tablet, with or without the nameservers. */
function struck(world: World, random: Random, words: string[]): string[] {
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

function harm(world: World, random: Random, down: readonly string[], words: string[]): void {
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

function returns(random: Random, down: readonly string[], words: string[]): Outage {
  const away: string[] = [];
  const late = new Map<string, number>();
  for (const name of down) {
    const fate = random.next();
    if (fate < 0.07) away.push(name);
    else if (fate < 0.15) late.set(name, spread(random, 100, 90_000));
  }
  if (away.length > 0) words.push("tablet-away");
  if (late.size > 0) words.push("tablet-late");
  return { words, away, late };
}

/**
 * Another operator began to load replicas by hand, rightly or wrongly. Not where another replica still
 * runs as leader: an ex-leader would replicate given-up rows to a replica that it still lists, and the
 * tool could not observe that later.
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
      world.note(`somebody loads ${of.name} on ${meta.endpoint}`);
      words.push("loaded-by-hand");
    }
  }
}
