import { RULES, type Rules } from "../../src/execution/rules.js";
import { EXIT } from "../../src/exit-codes.js";
import type { Random } from "../../src/sandbox/model/random.js";
import { type Run, rowCount, subtract } from "../../src/sandbox/model/runs.js";
import { Checks } from "./checkers.js";
import { acceptsWrites, dirAt, type Part, partsOf } from "./partitions.js";
import { pick, shapeOf, spread, streamOf } from "./shape.js";
import type { SimulationResult } from "./simulate.js";
import type { Stats } from "./stats.js";
import { plainLine, typeLine } from "./typed-command.js";
import { eventLogOf, startWorld, type World } from "./world.js";

/** Longer than the flush of binlogs, the refresh of offsets and the wait for a follower. */
const QUIET_MS = 60_000;
/** The number of repetitions of a recovery until the cluster is healthy. */
const RECOVERIES_MAX = 4;

/**
 * Plays one seed: a long sequence of events, like that of the real cluster on which rows were missing once. Clients write all
 * the time. Leaders are changed; tablets are taken out of service, recovered with both methods and scaled out; nameservers,
 * tablets and all processes are killed (kill -9, no power loss). Disks lose replicas or binlogs, each time after all replicas
 * were in sync and writes had paused. auto_failover is off. Therefore each acknowledged row is always on a disk of a replica on
 * record, and at the end every partition must serve all of them. Rows that the documented method removes are counted apart.
 */
export async function playLongLife(
  seed: number,
  {
    stats,
    plant,
  }: {
    readonly stats?: Stats;
    /** Replaces decisions of the tool: a planted bug that a checker must detect. */
    readonly plant?: Partial<Rules>;
  } = {},
): Promise<SimulationResult> {
  const shape = shapeOf(seed);
  const world = await startWorld({
    ...shape,
    tablets: Math.max(3, shape.tablets),
    options: { ...shape.options, autoFailover: false },
  });
  const checks = new Checks(world, false);
  const random = streamOf(seed, "life");
  const life = new Life(world, checks, random, stats);
  const original = { ...RULES };
  // The commands run unchanged, so a bug is planted in the rules that all of them use.
  Object.assign(RULES, plant);
  try {
    for (const table of shape.tables) {
      // The rows of a single replica are lost with its disk, so each partition has two at least.
      world.model.createTable({ ...table, replicas: Math.max(2, table.replicas) });
    }
    await life.play(4 + random.below(8));
  } catch (thrown) {
    const trace = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    checks.addViolation("bounded", trace);
  } finally {
    Object.assign(RULES, original);
  }
  const { violations } = checks;
  const { documentedLosses } = life;
  return { seed, violations, documentedLosses, eventLog: () => eventLogOf(world) };
}

/** The events of one cluster, one after another, while clients write. */
class Life {
  readonly #world: World;
  readonly #checks: Checks;
  readonly #random: Random;
  readonly #stats: Stats | undefined;
  #isWriting = true;
  #isOver = false;
  /** The output of the last command. */
  #screen = "";
  /** Rows that the documented method removed: it does not read a follower's offset before RecoverTable. */
  readonly #taken = new Map<string, Run[]>();
  documentedLosses = 0;

  constructor(world: World, checks: Checks, random: Random, stats: Stats | undefined) {
    this.#world = world;
    this.#checks = checks;
    this.#random = random;
    this.#stats = stats;
  }

  async play(episodes: number): Promise<void> {
    const { clock } = this.#world;
    this.#write();
    await clock.advance(5_000);
    for (let left = episodes; left > 0; left -= 1) {
      const [name, act] = pick(this.#random, this.#episodes());
      this.#stats?.add("life", name);
      this.#world.note(`life: ${name}`);
      await act();
      await clock.advance(spread(this.#random, 100, 20_000));
    }
    this.#isOver = true;
    const isHealthy = await this.#recovers();
    // A disk fault can require a decision: no call shows the terms of rows, or distinguishes an empty disk from a broken one.
    if (!isHealthy && !/: decide; /.test(this.#screen)) {
      this.#checks.addViolation("converges", `in the end: ${this.#world.model.healthy()[0]}`);
    }
    this.#stats?.add("ends", isHealthy ? "healthy" : "decision");
    this.#checkRows("in the end");
  }

  #episodes(): readonly (readonly [string, () => Promise<unknown>])[] {
    const { model } = this.#world;
    const tablets = [...model.tablets.keys()];
    const everything = [...model.nameservers.keys(), ...tablets];
    const tablet = () => pick(this.#random, tablets);
    return [
      ["changeleader", () => this.#changeLeader()],
      ["changeleader", () => this.#changeLeader()],
      ["offlineendpoint", () => this.#types("offlineendpoint", `--endpoint=${tablet()}`)],
      ["recoverendpoint", () => this.#types("recoverendpoint", `--endpoint=${tablet()}`)],
      ["scaleout", () => this.#types("scaleout")],
      ["recoverdata", () => this.#types("recoverdata")],
      ["recoverdata documented", () => this.#types("recoverdata", "--method=documented")],
      ["nameserver killed", () => this.#kill([model.leader?.address ?? "n1:6527"])],
      ["tablet killed", () => this.#kill([tablet()])],
      ["tablets killed", () => this.#kill(tablets)],
      ["everything killed", () => this.#kill(everything)],
      ["disk fault", () => this.#damageDisks(tablet())],
      ["disk fault", () => this.#damageDisks(tablet())],
    ];
  }

  /** Clients write to some partitions, again and again. */
  #write(): void {
    if (this.#isOver) return;
    if (this.#isWriting) {
      for (const { table, id } of partsOf(this.#world.model)) {
        const of = { db: table.db, table: table.name, pid: id.pid };
        if (this.#random.chance(0.5)) this.#world.model.put(1 + this.#random.below(30), of);
      }
    }
    this.#world.clock.setTimer(spread(this.#random, 50, 1_500), () => this.#write());
  }

  async #types(...words: string[]): Promise<number | undefined> {
    if (words.includes("--method=documented")) this.#checkRows("before the documented method");
    const { text, exitCode } = await typeLine(this.#world, plainLine(...words));
    this.#screen = text;
    for (const line of text.split("\n")) this.#world.note(`| ${line}`);
    if (exitCode === 1) this.#checks.addViolation("bounded", `${words.join(" ")}: ${text}`);
    this.#stats?.add("life", `${words[0]}: exit ${exitCode}`);
    if (words.includes("--method=documented")) {
      for (const { of, rows } of this.#gone()) {
        this.documentedLosses += rowCount(rows);
        this.#taken.set(of.name, [...(this.#taken.get(of.name) ?? []), ...rows]);
      }
    }
    return exitCode;
  }

  async #changeLeader(): Promise<void> {
    const { table, part } = pick(this.#random, partsOf(this.#world.model));
    const followers = part.partitionMeta.filter((one) => !one.isLeader);
    const isAuto = followers.length === 0 || this.#random.chance(0.5);
    const candidate = isAuto ? "auto" : pick(this.#random, followers).endpoint;
    const of = [`--db=${table.db}`, `--table=${table.name}`, `--pid=${part.pid}`];
    if (this.#random.chance(0.3)) this.#killDuringNextCommand();
    await this.#types("changeleader", ...of, `--candidate=${candidate}`);
  }

  /** The leading nameserver is killed during the next command, and restarted. */
  #killDuringNextCommand(): void {
    const { clock, model } = this.#world;
    clock.setTimer(spread(this.#random, 10, 3_000), () => {
      const leader = model.leader?.address;
      if (leader === undefined) return;
      model.kill(leader);
      clock.setTimer(spread(this.#random, 100, 15_000), () => model.restart(leader));
    });
  }

  async #kill(names: readonly string[]): Promise<void> {
    const { model, clock } = this.#world;
    for (const name of names) {
      if (model.process(name).isUp) model.kill(name);
      if (this.#random.chance(0.2)) await clock.advance(spread(this.#random, 1, 3_000));
    }
    await clock.advance(spread(this.#random, 100, 30_000));
    for (const name of names) model.restart(name);
    await clock.advance(spread(this.#random, 1_000, 30_000));
    if (this.#random.chance(0.7)) await this.#types("recoverdata", ...this.#method());
  }

  #method(): readonly string[] {
    return this.#random.chance(0.3) ? ["--method=documented"] : [];
  }

  /** @returns Whether every partition is healthy. */
  async #recovers(): Promise<boolean> {
    const { model, clock } = this.#world;
    for (const { endpoint, isUp } of model.processes) if (!isUp) model.restart(endpoint);
    await clock.advance(QUIET_MS);
    for (let left = RECOVERIES_MAX; left > 0; left -= 1) {
      const isStuck = this.#screen.includes("--cancel_stuck");
      const exitCode = await this.#types("recoverdata", ...(isStuck ? ["--cancel_stuck"] : []));
      await clock.advance(QUIET_MS);
      if (exitCode === EXIT.ok && model.healthy().length === 0) return true;
    }
    return false;
  }

  /**
   * A tablet stops, its disk loses replicas or binlogs, and it starts again. All replicas are in sync before, and no client
   * writes meanwhile.
   */
  async #damageDisks(name: string): Promise<void> {
    const { model, clock } = this.#world;
    this.#isWriting = false;
    if (await this.#recovers()) {
      this.#checkRows("before a disk fault");
      model.kill(name);
      for (const of of partsOf(model)) {
        const dir = dirAt(model, of, name);
        if (dir === undefined || this.#random.chance(0.3)) continue;
        const how = pick(this.#random, ["binlog", "rows", "replica"] as const);
        if (how === "binlog") dir.dropBinlog();
        else if (how === "rows") dir.cutBinlog(1 + this.#random.below(40));
        else model.tablet(name).disk.recycle(of.table.storageMode, of.id.tid, of.id.pid);
        this.#world.note(`life: ${name} lost ${how} of ${of.name}`);
      }
      model.restart(name);
      await clock.advance(spread(this.#random, 1_000, 30_000));
      if (this.#random.chance(0.7)) await this.#types("recoverdata", ...this.#method());
    }
    this.#isWriting = true;
  }

  /**
   * In a healthy cluster the leader holds every acknowledged row. Otherwise each is on the disk of a replica on record, since the
   * leader of a partition that is left for a decision can lack rows that others hold.
   */
  #checkRows(when: string): void {
    for (const { of, rows } of this.#gone()) {
      this.#checks.addViolation(
        "no-row-lost",
        `${of.name}: ${rowCount(rows)} rows are gone ${when}`,
      );
    }
  }

  /** The acknowledged rows that are missing, without those that the documented method removed. */
  #gone(): { readonly of: Part; readonly rows: Run[] }[] {
    const { model } = this.#world;
    const isHealthy = model.healthy().length === 0;
    return partsOf(model).flatMap((of) => {
      const metas = of.part.partitionMeta;
      const leader = isHealthy ? metas.find((meta) => acceptsWrites(model, of, meta)) : undefined;
      let rows = subtract(model.ledger.of(of.id), this.#taken.get(of.name) ?? []);
      for (const { endpoint } of leader === undefined ? metas : [leader]) {
        rows = subtract(rows, dirAt(model, of, endpoint)?.runs ?? []);
      }
      return rows.length === 0 ? [] : [{ of, rows }];
    });
  }
}
