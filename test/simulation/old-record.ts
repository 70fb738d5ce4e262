import { TableMode } from "../../src/gen/openmldb/api_pb.js";
import { partitionName } from "../../src/model/partition-view.js";
import type { PartitionResult } from "../../src/model/report.js";
import { lastOffset } from "../../src/sandbox/model/runs.js";
import { partitionComplaints } from "./checkers.js";
import { live, liveOn, write } from "./history.js";
import { complaintName, dirAt, type Part, partsOf, surviving } from "./partitions.js";
import { shapeOf, streamOf } from "./shape.js";
import { endingOf, type RunResult, runTool } from "./tool-run.js";
import { hasUnknownTerm } from "./truth.js";
import { diaryOf, type Fate, type Mutation, startWorld, type World } from "./world.js";

/** The number of repetitions of the deciding run. */
const RUNS_MAX = 3;

/** The result of one seed. */
export interface OldRecordResult {
  readonly seed: number;
  readonly complaints: readonly string[];
  /** The number of partitions by the effect of the restored record on them. */
  readonly counts: Readonly<Record<Standing, number>>;
  diary(): string[];
}

/**
 * The effect of a restored record on a partition: `same`: none; `proven-old`: it lacks a term that a
 * snapshot on a disk has; `changed`: it is different, and nothing on the disks proves it.
 */
type Standing = "same" | "proven-old" | "changed";

/** A partition before its record was restored. */
interface Before {
  readonly newestTerm: bigint;
  readonly flags: string;
  /** Entries that each disk holds, by endpoint. */
  readonly held: ReadonlyMap<string, bigint>;
  /** The last entry, of those that belong to the history that led last, that a disk on record holds. */
  readonly surviving: bigint;
}

/**
 * Plays one seed: a cluster lives, ZooKeeper is backed up, the cluster lives on, everything dies, ZooKeeper is
 * restored from the backup and everything starts again. `recoverdata` runs twice, the operator decides what it
 * leaves for the replica that it names, and it runs once more.
 */
export async function playOldRecord(seed: number): Promise<OldRecordResult> {
  const shape = shapeOf(seed);
  // With it on, the nameserver itself acts on the old record before any run begins.
  const world = await startWorld({ ...shape, options: { ...shape.options, autoFailover: false } });
  const { model, clock } = world;
  await live(world, shape);
  const copy = model.copyZooKeeper();
  world.note("ZooKeeper is backed up");
  const random = streamOf(seed, "backup");
  await liveOn(world, random, 1 + random.below(4));
  if (random.chance(0.5)) await changeLeadersAndKeep(world, random);
  write(world, random, 30);
  await clock.advance(30_000);
  // Sometimes the tablets run on while ZooKeeper is restored.
  const down = [...(random.chance(0.6) ? model.tablets.keys() : []), ...model.nameservers.keys()];
  for (const name of down) model.kill(name);
  await clock.advance(30_000);
  const before = new Map(partsOf(model).map((of) => [of.name, beforeOf(world, of)]));
  model.restoreZooKeeper(copy);
  world.note("ZooKeeper is restored from the backup");
  for (const name of [...model.nameservers.keys(), ...model.tablets.keys()]) {
    if (!model.process(name).isUp) model.restart(name);
  }
  await clock.advance(40_000);

  const play = new OldRecordPlay(world, before);
  const standings = new Map(partsOf(model).map((of) => [of.name, play.standingOf(of)]));
  await play.undecided(standings);
  await play.undecided(standings);
  // Half of the deciding runs are killed; the next one is typed without the decision.
  if (random.chance(0.5)) {
    await play.killedRun(1 + random.below(25));
    await play.run(() => "go");
  }
  await play.decided(standings);
  const counts = { same: 0, "proven-old": 0, changed: 0 };
  for (const standing of standings.values()) counts[standing] += 1;
  return { seed, complaints: play.complaints, counts, diary: () => diaryOf(world) };
}

class OldRecordPlay {
  readonly complaints: string[] = [];
  readonly #world: World;
  readonly #before: ReadonlyMap<string, Before>;
  #accept = new Map<string, string>();

  constructor(world: World, before: ReadonlyMap<string, Before>) {
    this.#world = world;
    this.#before = before;
  }

  standingOf(of: Part): Standing {
    const before = this.#before.get(of.name);
    const newest = newestTermOf(of);
    const metas = of.part.partitionMeta;
    const isProven = metas.some(({ endpoint }) => hasUnknownTerm(this.#world.model, of, endpoint));
    // Where there is one replica, there is nothing to decide.
    if (isProven && metas.length > 1) return "proven-old";
    return before?.newestTerm === newest && before.flags === flagsOf(of) ? "same" : "changed";
  }

  /** A run before the operator has decided anything. */
  async undecided(standings: ReadonlyMap<string, Standing>): Promise<void> {
    const proven = partsOf(this.#world.model).filter(
      (of) => standings.get(of.name) === "proven-old",
    );
    const result = await this.run((mutation) => {
      const of = proven.find(({ id }) => `${id.tid}:${id.pid}` === targetOf(mutation));
      if (of !== undefined && !this.#isHarmlessLoad(of, mutation)) {
        this.#complain(`${mutation.method} changes ${of.name}, whose record is proven to be old`);
      }
      return "go";
    });
    for (const of of partsOf(this.#world.model)) {
      this.#judge(of, standings.get(of.name), partitionOf(result, of));
    }
  }

  /** A run with the operator's decisions that is killed at one of its changes, before or after its effect. */
  async killedRun(mutation: number): Promise<void> {
    const fate = mutation % 2 === 0 ? "killed-before" : "killed-after";
    const before = ({ number }: Mutation) => (number === mutation ? fate : "go");
    await this.run(before, this.#accept);
  }

  /** A run after the operator has decided for the replicas that were named. */
  async decided(standings: ReadonlyMap<string, Standing>): Promise<void> {
    let result = await this.run(() => "go", this.#accept);
    // The command is repeated while something is left, and the tablets that a report says to restart are
    // restarted: an election with a term that the replica has seen fails, and takes the next term the next
    // time.
    for (let times = 0; times < RUNS_MAX && isLeft(result); times += 1) {
      const told = restartsIn(result);
      for (const name of told) this.#world.model.kill(name);
      await this.#world.clock.advance(30_000);
      for (const name of told) this.#world.model.restart(name);
      await this.#world.clock.advance(40_000);
      result = await this.run(() => "go", this.#accept);
    }
    for (const of of partsOf(this.#world.model)) {
      const chosen = this.#accept.get(of.name);
      if (chosen === undefined || standings.get(of.name) !== "proven-old") continue;
      const told = partitionOf(result, of);
      // A partition that was healthy when the run began is not in its report.
      if (told !== undefined && told.status !== "recovered") {
        this.#complain(`${of.name}, decided for ${chosen}, ends ${told.status}: ${textOf(told)}`);
        continue;
      }
      this.#expectHeld(of, this.#before.get(of.name)?.held.get(chosen));
      const wrong = partitionComplaints(this.#world).filter((line) =>
        line.startsWith(`${complaintName(of)}: `),
      );
      if (wrong.length > 0) this.#complain(`decided, and called well: ${wrong.join("; ")}`);
    }
  }

  #judge(of: Part, standing: Standing | undefined, told: PartitionResult | undefined): void {
    const code = told?.failure?.decision?.code;
    if (standing === "proven-old") {
      if (told?.status !== "needs-decision" || code !== "record-is-old") {
        this.#complain(`${of.name} has an old record, and ends ${told?.status} ${code ?? ""}`);
        return;
      }
      const { text, candidate } = told.failure?.decision ?? {};
      if (!text?.includes(`newest term on record is ${newestTermOf(of)}`)) {
        this.#complain(`${of.name}: the terms are not named: ${text}`);
      }
      if (candidate !== undefined) this.#accept.set(of.name, candidate);
      return;
    }
    if (code === "record-is-old") {
      this.#complain(`${of.name}: no disk proves that its record is old, and it is called so`);
    }
    const isWell = told?.status === "recovered";
    if (standing === "same" && isWell) this.#expectHeld(of, this.#before.get(of.name)?.surviving);
  }

  /** A load as follower of no leader changes no data; it may not hide a term that proves the record old. */
  #isHarmlessLoad(of: Part, { method, called, request }: Mutation): boolean {
    const { mode } = { ...(request["tableMeta"] as { readonly mode?: TableMode } | undefined) };
    const snapshot = dirAt(this.#world.model, of, called)?.snapshot;
    const isHidden = (snapshot?.term ?? 0n) > newestTermOf(of);
    return method === "LoadTable" && mode === TableMode.kTableFollower && !isHidden;
  }

  /** Complains if the leader holds fewer entries than that. */
  #expectHeld(of: Part, entries = 0n): void {
    const leader = of.part.partitionMeta.find((meta) => meta.isLeader && meta.isAlive);
    const has = leader && dirAt(this.#world.model, of, leader.endpoint)?.offset;
    if (has === undefined || has < entries) {
      this.#complain(`${of.name}: a disk held ${entries} entries, and the leader has ${has}`);
    }
  }

  async run(
    before: (mutation: Mutation) => Fate,
    accept: ReadonlyMap<string, string> = new Map(),
  ): Promise<RunResult> {
    const tool = await this.#world.open({ watcher: { before } });
    const result = await runTool(this.#world, tool, { accept });
    if (result !== undefined && !("report" in result)) this.#complain(endingOf(result, false));
    await this.#world.clock.advance(30_000);
    return result;
  }

  #complain(what: string): void {
    this.#world.note(`COMPLAINT ${what}`);
    this.complaints.push(what);
  }
}

/** Followers lead from here on, and snapshots show the new term. */
async function changeLeadersAndKeep(world: World, random: ReturnType<typeof streamOf>) {
  const { model } = world;
  model.leader?.setAutoFailover(true);
  const up = [...model.tablets.keys()].filter((name) => model.process(name).isUp);
  const victim = up[random.below(up.length)];
  if (victim === undefined || up.length < 2) return;
  model.kill(victim);
  await world.clock.advance(60_000);
  write(world, random, 30);
  for (const of of partsOf(model)) {
    for (const { endpoint } of of.part.partitionMeta) {
      const replica = model.process(endpoint).tablet?.replica(of.id.tid, of.id.pid);
      if (replica !== undefined && random.chance(0.7)) replica.dir.makeSnapshot(replica.term);
    }
  }
  model.restart(victim);
  await world.clock.advance(90_000);
  model.leader?.setAutoFailover(false);
}

function beforeOf({ model }: World, of: Part): Before {
  const held = new Map(
    of.part.partitionMeta.map(({ endpoint }) => [
      endpoint,
      dirAt(model, of, endpoint)?.offset ?? 0n,
    ]),
  );
  const runs = of.part.partitionMeta.map(({ endpoint }) => dirAt(model, of, endpoint)?.runs ?? []);
  const last = runs.map((one) => lastOffset(surviving(of.part, one)));
  return {
    newestTerm: newestTermOf(of),
    flags: flagsOf(of),
    held,
    surviving: last.sort((a, b) => (a < b ? 1 : -1))[0] ?? 0n,
  };
}

function newestTermOf({ part }: Part): bigint {
  return part.termOffset.at(-1)?.term ?? 0n;
}

function flagsOf({ part }: Part): string {
  return part.partitionMeta
    .map(({ endpoint, isLeader, isAlive }) => `${endpoint} ${isLeader} ${isAlive}`)
    .sort()
    .join();
}

function targetOf({ request }: Mutation): string | undefined {
  const { tableMeta, tid, pid } = { ...request } as Record<string, unknown>;
  const meta = (tableMeta ?? { tid, pid }) as { readonly tid?: unknown; readonly pid?: unknown };
  return meta.tid === undefined || meta.pid === undefined ? undefined : `${meta.tid}:${meta.pid}`;
}

function partitionOf(result: RunResult, of: Part): PartitionResult | undefined {
  if (result === undefined || !("report" in result)) return undefined;
  return result.report.partitions.find(
    ({ id }) => partitionName(id) === of.name && id.tid === of.id.tid,
  );
}

/** Whether something could not be recovered. */
function isLeft(result: RunResult): boolean {
  if (result === undefined || !("report" in result)) return true;
  return result.report.partitions.some(({ status }) => status !== "recovered");
}

/** The tablets that a report says to restart. */
function restartsIn(result: RunResult): Set<string> {
  if (result === undefined || !("report" in result)) return new Set();
  const texts = result.report.partitions.map(({ failure }) => failure?.detail ?? "");
  return new Set(
    texts.flatMap((text) => /restart tablet (\S+), then run again/.exec(text)?.[1] ?? []),
  );
}

function textOf({ problems, failure }: PartitionResult): string {
  return `${problems.map((one) => one.text).join("; ")} / ${failure?.detail ?? ""}`;
}
