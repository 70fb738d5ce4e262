import { TableMode } from "../../src/gen/openmldb/api_pb.js";
import { partitionName } from "../../src/model/partition-view.js";
import type { PartitionResult } from "../../src/model/report.js";
import { lastOffset } from "../../src/sandbox/model/runs.js";
import { partitionFaults } from "./checkers.js";
import { runEpisodes, runHistory, write } from "./history.js";
import { dirAt, nameInFaults, type Part, partsOf, surviving } from "./partitions.js";
import { shapeOf, streamOf } from "./shape.js";
import { endingOf, type RunResult, runTool } from "./tool-run.js";
import { hasUnknownTerm } from "./truth.js";
import { type CallFault, eventLogOf, type Mutation, startWorld, type World } from "./world.js";

/** The number of repetitions of the run with the decisions. */
const RUNS_MAX = 3;

/** The result of one seed. */
export interface OldRecordResult {
  readonly seed: number;
  readonly violations: readonly string[];
  /** The number of partitions by the state of their restored record. */
  readonly counts: Readonly<Record<RecordState, number>>;
  eventLog(): string[];
}

/**
 * The restored record of a partition: `same`: as before; `proven-old`: it lacks a term that a snapshot on a disk has; `changed`:
 * it is different, and no disk proves it.
 */
type RecordState = "same" | "proven-old" | "changed";

/** A partition before its record was restored. */
interface Before {
  readonly newestTerm: bigint;
  readonly flags: string;
  /** Entries that each disk holds, by endpoint. */
  readonly held: ReadonlyMap<string, bigint>;
  /** The last entry of the surviving history on any disk on record. */
  readonly surviving: bigint;
}

/**
 * Plays one seed: ZooKeeper is backed up, the cluster continues, all processes are killed, ZooKeeper is restored from the backup
 * and all processes start again. `recoverdata` runs twice. The operator accepts the replica that it names for each open decision,
 * and it runs once more.
 */
export async function playOldRecord(seed: number): Promise<OldRecordResult> {
  const shape = shapeOf(seed);
  // With auto_failover on, the nameserver itself acts on the old record before any run begins.
  const world = await startWorld({ ...shape, options: { ...shape.options, autoFailover: false } });
  const { model, clock } = world;
  await runHistory(world, shape);
  const copy = model.copyZooKeeper();
  world.note("ZooKeeper is backed up");
  const random = streamOf(seed, "backup");
  await runEpisodes(world, random, 1 + random.below(4));
  if (random.chance(0.5)) await changeLeadersAndKeep(world, random);
  write(world, random, 30);
  await clock.advance(30_000);
  // In some seeds the tablets keep running while ZooKeeper is restored.
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
  const states = new Map(partsOf(model).map((of) => [of.name, play.recordStateOf(of)]));
  await play.runUndecided(states);
  await play.runUndecided(states);
  // Half of the runs with decisions are killed; the next run does not repeat the decisions.
  if (random.chance(0.5)) {
    await play.killedRun(1 + random.below(25));
    await play.run(() => "none");
  }
  await play.runDecided(states);
  const counts = { same: 0, "proven-old": 0, changed: 0 };
  for (const state of states.values()) counts[state] += 1;
  return { seed, violations: play.violations, counts, eventLog: () => eventLogOf(world) };
}

class OldRecordPlay {
  readonly violations: string[] = [];
  readonly #world: World;
  readonly #before: ReadonlyMap<string, Before>;
  #accept = new Map<string, string>();

  constructor(world: World, before: ReadonlyMap<string, Before>) {
    this.#world = world;
    this.#before = before;
  }

  recordStateOf(of: Part): RecordState {
    const before = this.#before.get(of.name);
    const newest = newestTermOf(of);
    const metas = of.part.partitionMeta;
    const isProven = metas.some(({ endpoint }) => hasUnknownTerm(this.#world.model, of, endpoint));
    // A single replica leaves nothing to decide.
    if (isProven && metas.length > 1) return "proven-old";
    return before?.newestTerm === newest && before.flags === flagsOf(of) ? "same" : "changed";
  }

  /** A run before the operator has decided anything. */
  async runUndecided(states: ReadonlyMap<string, RecordState>): Promise<void> {
    const proven = partsOf(this.#world.model).filter((of) => states.get(of.name) === "proven-old");
    const result = await this.run((mutation) => {
      const of = proven.find(({ id }) => `${id.tid}:${id.pid}` === targetOf(mutation));
      if (of !== undefined && !this.#isHarmlessLoad(of, mutation)) {
        this.#addViolation(
          `${mutation.method} changes ${of.name}, whose record is proven to be old`,
        );
      }
      return "none";
    });
    for (const of of partsOf(this.#world.model)) {
      this.#checkDecision(of, states.get(of.name), partitionOf(result, of));
    }
  }

  /** A run with the operator's decisions that is killed at one of its changes, before or after its effect. */
  async killedRun(mutation: number): Promise<void> {
    const fault = mutation % 2 === 0 ? "killed-before" : "killed-after";
    const before = ({ number }: Mutation) => (number === mutation ? fault : "none");
    await this.run(before, this.#accept);
  }

  /** Runs with the replicas that the tool named as the operator's decisions. */
  async runDecided(states: ReadonlyMap<string, RecordState>): Promise<void> {
    let result = await this.run(() => "none", this.#accept);
    // The command is repeated while partitions are left, and the tablets that a report tells to restart are restarted: an
    // election with a term that the replica has seen fails, and the next one takes the next term.
    for (let times = 0; times < RUNS_MAX && isLeft(result); times += 1) {
      const reported = restartsIn(result);
      for (const name of reported) this.#world.model.kill(name);
      await this.#world.clock.advance(30_000);
      for (const name of reported) this.#world.model.restart(name);
      await this.#world.clock.advance(40_000);
      result = await this.run(() => "none", this.#accept);
    }
    for (const of of partsOf(this.#world.model)) {
      const chosen = this.#accept.get(of.name);
      if (chosen === undefined || states.get(of.name) !== "proven-old") continue;
      const reported = partitionOf(result, of);
      // A partition that was healthy when the run began is not in its report.
      if (reported !== undefined && reported.status !== "recovered") {
        this.#addViolation(
          `${of.name}, decided for ${chosen}, ends ${reported.status}: ${textOf(reported)}`,
        );
        continue;
      }
      this.#expectHeld(of, this.#before.get(of.name)?.held.get(chosen));
      const wrong = partitionFaults(this.#world).filter((line) =>
        line.startsWith(`${nameInFaults(of)}: `),
      );
      if (wrong.length > 0) this.#addViolation(`decided, and called healthy: ${wrong.join("; ")}`);
    }
  }

  #checkDecision(
    of: Part,
    state: RecordState | undefined,
    reported: PartitionResult | undefined,
  ): void {
    const code = reported?.failure?.decision?.code;
    if (state === "proven-old") {
      if (reported?.status !== "needs-decision" || code !== "record-is-old") {
        this.#addViolation(
          `${of.name} has an old record, and ends ${reported?.status} ${code ?? ""}`,
        );
        return;
      }
      const { text, candidate } = reported.failure?.decision ?? {};
      if (!text?.includes(`newest term on record is ${newestTermOf(of)}`)) {
        this.#addViolation(`${of.name}: the terms are not named: ${text}`);
      }
      if (candidate !== undefined) this.#accept.set(of.name, candidate);
      return;
    }
    if (code === "record-is-old") {
      this.#addViolation(`${of.name}: no disk proves that its record is old, and it is called so`);
    }
    const isRecovered = reported?.status === "recovered";
    if (state === "same" && isRecovered) this.#expectHeld(of, this.#before.get(of.name)?.surviving);
  }

  /** A load as follower without a leader changes no data. It must not hide the term that proves the record old. */
  #isHarmlessLoad(of: Part, { method, called, request }: Mutation): boolean {
    const { mode } = { ...(request["tableMeta"] as { readonly mode?: TableMode } | undefined) };
    const snapshot = dirAt(this.#world.model, of, called)?.snapshot;
    const isHidden = (snapshot?.term ?? 0n) > newestTermOf(of);
    return method === "LoadTable" && mode === TableMode.kTableFollower && !isHidden;
  }

  /** Checks that the leader holds that many entries. */
  #expectHeld(of: Part, entries = 0n): void {
    const leader = of.part.partitionMeta.find((meta) => meta.isLeader && meta.isAlive);
    const has = leader && dirAt(this.#world.model, of, leader.endpoint)?.offset;
    if (has === undefined || has < entries) {
      this.#addViolation(`${of.name}: a disk held ${entries} entries, and the leader has ${has}`);
    }
  }

  async run(
    before: (mutation: Mutation) => CallFault,
    accept: ReadonlyMap<string, string> = new Map(),
  ): Promise<RunResult> {
    const tool = await this.#world.open({ watcher: { before } });
    const result = await runTool(this.#world, tool, { accept });
    if (result !== undefined && !("report" in result)) this.#addViolation(endingOf(result, false));
    await this.#world.clock.advance(30_000);
    return result;
  }

  #addViolation(what: string): void {
    this.#world.note(`VIOLATION ${what}`);
    this.violations.push(what);
  }
}

/** A tablet is killed, so that followers become leaders, and snapshots show the new term. */
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

/** Whether a partition was not recovered. */
function isLeft(result: RunResult): boolean {
  if (result === undefined || !("report" in result)) return true;
  return result.report.partitions.some(({ status }) => status !== "recovered");
}

/** The tablets that a report tells the operator to restart. */
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
