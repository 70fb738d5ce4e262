import { create } from "@bufbuild/protobuf";
import {
  ChangeLeaderRequestSchema,
  NameServer,
  RecoverTableRequestSchema,
} from "../../src/gen/openmldb/nameserver_pb.js";
import type { Random } from "../../src/sandbox/model/random.js";
import { loadedAt, type Part, partsOf } from "./partitions.js";
import { pick, type Shape, some, spread, streamOf } from "./shape.js";
import type { World } from "./world.js";

/** An event of a cluster before the outage. */
type Episode = (world: World, random: Random) => Promise<void>;

const EPISODES: readonly { readonly name: string; readonly play: Episode }[] = [
  { name: "writes", play: async (world, random) => write(world, random, 40) },
  { name: "writes", play: async (world, random) => write(world, random, 400) },
  { name: "quiet", play: (world, random) => world.clock.advance(spread(random, 100, 60_000)) },
  { name: "snapshots", play: snapshots },
  { name: "change-leader", play: changeLeaders },
  { name: "recover-table", play: recoverTables },
  { name: "tablet-lost", play: loseTablet },
  { name: "tablet-lost", play: loseTablet },
  { name: "nameserver-switch", play: switchNameserver },
];

/** Creates the tables and plays up to four random episodes. @returns The names of the episodes. */
export async function runHistory(world: World, shape: Shape): Promise<string[]> {
  const random = streamOf(shape.seed, "history");
  if (shape.hasSystemTables) world.model.createSystemTables();
  for (const table of shape.tables) world.model.createTable(table);
  write(world, random, 60);
  await world.clock.advance(spread(random, 500, 30_000));
  return runEpisodes(world, random, random.below(5));
}

/** Plays random episodes. @returns Their names. */
export async function runEpisodes(
  world: World,
  random: Random,
  episodes: number,
): Promise<string[]> {
  const played: string[] = [];
  for (let left = episodes; left > 0; left -= 1) {
    const { name, play } = pick(random, EPISODES);
    world.note(`history: ${name}`);
    played.push(name);
    await play(world, random);
  }
  return played;
}

/** Clients write to some partitions. */
export function write(world: World, random: Random, most: number): void {
  for (const { table, id } of partsOf(world.model)) {
    if (!random.chance(0.8)) continue;
    const rows = spread(random, 1, most);
    world.model.put(rows, { db: table.db, table: table.name, pid: id.pid });
  }
}

/** Leaders and followers make snapshots and delete old binlog files, each at its own time. */
async function snapshots(world: World, random: Random): Promise<void> {
  for (const part of partsOf(world.model)) {
    for (const { endpoint } of part.part.partitionMeta) {
      const replica = loadedAt(world.model, part, endpoint);
      if (replica === undefined || !random.chance(0.6)) continue;
      replica.dir.makeSnapshot(replica.term);
      if (random.chance(0.4)) replica.dir.trimBinlog();
    }
  }
}

async function changeLeaders(world: World, random: Random): Promise<void> {
  await withAutoFailoverOff(world, async (server) => {
    for (const { table, part } of some(random, partsOf(world.model), 0.5)) {
      const followers = part.partitionMeta.filter((meta) => meta.isAlive && !meta.isLeader);
      if (followers.length === 0) continue;
      const { endpoint } = pick(random, followers);
      const request = create(ChangeLeaderRequestSchema, {
        ...nameOf(table.db, table.name),
        pid: part.pid,
        candidateLeader: endpoint,
      });
      await callIgnoringErrors(
        world,
        world.model.call(server, NameServer.method.changeLeader, request),
      );
      if (random.chance(0.5)) await world.clock.advance(200);
    }
    await world.clock.advance(spread(random, 100, 20_000));
    write(world, random, 20);
  });
}

/** Another operator recovers the replicas that are marked not alive, and may not wait for the ops. */
async function recoverTables(world: World, random: Random): Promise<void> {
  await withAutoFailoverOff(world, async (server) => {
    for (const of of partsOf(world.model)) await recoverDead(world, random, server, of);
    await world.clock.advance(spread(random, 100, 30_000));
  });
}

async function recoverDead(
  world: World,
  random: Random,
  server: string,
  { table, part }: Part,
): Promise<void> {
  for (const meta of part.partitionMeta) {
    if (meta.isAlive || !random.chance(0.8)) continue;
    const { endpoint } = meta;
    const request = create(RecoverTableRequestSchema, {
      ...nameOf(table.db, table.name),
      pid: part.pid,
      endpoint,
    });
    await callIgnoringErrors(
      world,
      world.model.call(server, NameServer.method.recoverTable, request),
    );
  }
}

/** Runs `work` with auto_failover off, which RecoverTable and ChangeLeader require. */
async function withAutoFailoverOff(
  world: World,
  work: (server: string) => Promise<void>,
): Promise<void> {
  const server = world.model.leader;
  if (server === undefined) return;
  const before = server.autoFailover;
  if (before) server.setAutoFailover(false);
  await work(server.address);
  if (before) world.model.leader?.setAutoFailover(true);
}

async function callIgnoringErrors(world: World, call: Promise<unknown>): Promise<void> {
  await world.clock.run(
    call.catch(() => undefined),
    60_000,
  );
}

function nameOf(db: string, name: string): { readonly name: string; readonly db?: string } {
  return db === "" ? { name } : { name, db };
}

/** Kills one tablet; auto_failover, if it is on, moves its leaders. The tablet may be restarted. */
async function loseTablet(world: World, random: Random): Promise<void> {
  const up = world.model.processes.filter((process) => process.tablet && process.isUp);
  if (up.length < 2) return;
  const { name } = pick(random, up);
  if (random.chance(0.5)) write(world, random, 10);
  world.model.kill(name);
  await world.clock.advance(spread(random, 20_000, 100_000));
  write(world, random, 30);
  await world.clock.advance(spread(random, 100, 5_000));
  if (random.chance(0.75)) {
    world.model.restart(name);
    await world.clock.advance(spread(random, 1_000, 90_000));
  }
}

async function switchNameserver(world: World, random: Random): Promise<void> {
  const leader = world.model.leader?.address;
  if (leader === undefined) return;
  world.model.kill(leader);
  await world.clock.advance(spread(random, 100, 15_000));
  world.model.restart(leader);
  await world.clock.advance(15_000);
  if (random.chance(0.5)) write(world, random, 20);
}
