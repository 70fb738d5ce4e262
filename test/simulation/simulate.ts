import type { Cluster } from "../../src/cluster/cluster.js";
import { messageOf } from "../../src/errors.js";
import type { Method } from "../../src/recovery/method.js";
import { Checks, type Violation } from "./checkers.js";
import { armFaults, type FaultPlan, faultPlans, heal, revive } from "./faults.js";
import { live } from "./history.js";
import { type Outage, strike } from "./outage.js";
import { shapeOf } from "./shape.js";
import { pictureOf, type Stats, situationsOf } from "./stats.js";
import { autoFailoverOf, endingOf, notRestoredOf, type RunResult, runTool } from "./tool-run.js";
import { judgeEnd } from "./verdict.js";
import {
  diaryOf,
  type Fate,
  type Mutation,
  startWorld,
  type ToolProcess,
  type World,
} from "./world.js";

/** A stopped run has this long to put auto_failover back and leave. */
const STOP_LIMIT_MS = 5_000;
/** Runs that may be needed once everything works again. */
const FINAL_RUNS_MAX = 5;

/** How a seed is played. */
export interface SimulationOptions {
  /**
   * What `recoverData` is told to use; its own default if left out. With `documented`, rows that
   * OpenMLDB's own RecoverTable takes away are counted instead of complained about.
   */
  readonly method?: Method;
  /** Makes the tool misbehave, to see whether a checker notices. */
  readonly spoil?: (cluster: Cluster) => Cluster;
  /** Receives what was reached. */
  readonly stats?: Stats;
}

/** What one seed came to. */
export interface SimulationResult {
  readonly seed: number;
  readonly violations: readonly Violation[];
  /** Acknowledged rows lost by RecoverTable itself; only counted with `documented`. */
  readonly documentedLosses: number;
  /** Everything that happened, one line each. */
  diary(): string[];
}

/** Plays one seed: a cluster, its life, an outage, recoveries under faults, and the end. */
export async function simulate(
  seed: number,
  options: SimulationOptions = {},
): Promise<SimulationResult> {
  const shape = shapeOf(seed);
  const world = await startWorld(shape);
  const checks = new Checks(world, options.method === "documented");
  const play = new Play(world, checks, options);
  try {
    world.note(
      `shape: ${JSON.stringify({ ...shape, options: String(shape.options.autoFailover) })}`,
    );
    await live(world, shape);
    const outage = await strike(world, shape);
    for (const word of outage.words) options.stats?.add("outages", word);
    await play.begin(outage);
    for (const plan of faultPlans(shape)) await play.faultyRun(plan, outage);
    await play.lastRuns(outage);
  } catch (thrown) {
    const trace = thrown instanceof Error ? (thrown.stack ?? thrown.message) : messageOf(thrown);
    checks.complain("bounded", trace);
  }
  return {
    seed,
    violations: checks.violations,
    documentedLosses: checks.documentedLosses,
    diary: () => diaryOf(world),
  };
}

/** One seed being played. */
class Play {
  readonly #world: World;
  readonly #checks: Checks;
  readonly #options: SimulationOptions;
  /** auto_failover as the operators want it. */
  #autoFailover = false;
  /** A run was killed, or told that it could not restore the value: the next one has to. */
  #isOwed = false;

  constructor(world: World, checks: Checks, options: SimulationOptions) {
    this.#world = world;
    this.#checks = checks;
    this.#options = options;
  }

  /** The outage is over; from here on the tool is at work. */
  async begin(outage: Outage): Promise<void> {
    const world = this.#world;
    this.#autoFailover = autoFailoverOf(world);
    this.#checks.noteForks();
    this.#checks.noteHoles();
    this.#checks.value();
    world.clock.onTimer = () => this.#checks.afterEvent();
    for (const line of pictureOf(world)) world.note(line);
    for (const situation of situationsOf(world)) this.#options.stats?.add("situations", situation);
    for (const [name, delay] of outage.late) {
      world.clock.setTimer(delay, () => revive(world, name));
    }
  }

  /** A run under faults, with or without an end from outside. */
  async faultyRun(plan: FaultPlan, outage: Outage): Promise<void> {
    const world = this.#world;
    const checks = this.#checks;
    const driver = armFaults(world, plan, {
      away: outage.away,
      listener: {
        beforeDamage: () => checks.checkRows(),
        afterDamage: () => checks.value(),
        onFault: (kind, during) => {
          this.#options.stats?.add("faults", `${kind} at ${during}`);
        },
      },
    });
    const stop = new AbortController();
    let abortedAt: number | undefined;
    const signal = () => {
      if (stop.signal.aborted) return;
      world.note("the run is told to stop");
      abortedAt = world.clock.now();
      stop.abort(new Error("SIGTERM"));
    };
    const before = (mutation: Mutation): Fate => {
      checks.checkRows();
      checks.beforeMutation(mutation);
      driver.onMutation(mutation);
      const end = plan.stop;
      if (end === undefined || !("atMutation" in end.when)) return "go";
      if (end.when.atMutation !== mutation.number) return "go";
      if (end.kind === "signal") {
        if (end.when.late) world.clock.setTimer(2, signal);
        else signal();
        return "go";
      }
      this.#options.stats?.add("faults", `tool killed at ${mutation.method}`);
      return end.when.late ? "killed-after" : "killed-before";
    };
    const tool = await world.open({ watcher: { before } });
    if (plan.stop !== undefined && "atMs" in plan.stop.when) {
      const { kind } = plan.stop;
      world.clock.setTimer(plan.stop.when.atMs, () => {
        if (kind === "signal") signal();
        else tool.kill();
      });
    }
    const result = await this.#run(tool, stop.signal);
    driver.end();
    if (abortedAt !== undefined && world.clock.now() - abortedAt > STOP_LIMIT_MS) {
      checks.complain("stops-in-time", `left ${world.clock.now() - abortedAt} ms after the signal`);
    }
    this.#options.stats?.add("endings", endingOf(result, abortedAt !== undefined));
    this.#afterRun(result);
  }

  #run(tool: ToolProcess, signal?: AbortSignal): Promise<RunResult> {
    return runTool(this.#world, tool, {
      signal,
      method: this.#options.method,
      spoil: this.#options.spoil,
      onEvent: (event) => {
        if (event.kind === "step-ended") this.#checks.checkRows();
      },
    });
  }

  /** What must hold after every run, whatever happened during it. */
  #afterRun(result: RunResult): void {
    this.#checks.checkRows();
    this.#checks.checkHistories();
    const isReport = result !== undefined && !("thrown" in result);
    if (result === undefined || (isReport && notRestoredOf(result) !== undefined)) {
      this.#isOwed = true;
    } else if (isReport) {
      this.#isOwed = false;
    }
    if (!this.#isOwed) this.#checkAutoFailover();
  }

  #checkAutoFailover(): void {
    const now = autoFailoverOf(this.#world);
    if (now !== this.#autoFailover) {
      this.#checks.complain("auto-failover-kept", `it was ${this.#autoFailover} and is ${now}`);
    }
  }

  /** Everything works again: the cluster must get as well as it can. */
  async lastRuns(outage: Outage): Promise<void> {
    const world = this.#world;
    const checks = this.#checks;
    await heal(world, outage.away);
    checks.checkRows();
    checks.value();
    checks.noteSpoiled();
    let result: RunResult;
    for (let run = 1; run <= FINAL_RUNS_MAX; run += 1) {
      let mutations = 0;
      const before = (mutation: Mutation): Fate => {
        mutations += 1;
        checks.checkRows();
        checks.beforeMutation(mutation);
        return "go";
      };
      const tool = await world.open({ watcher: { before } });
      result = await this.#run(tool);
      this.#afterRun(result);
      if (result !== undefined && !("thrown" in result) && notRestoredOf(result) !== undefined) {
        checks.complain("auto-failover-kept", String(notRestoredOf(result)));
      }
      if (world.model.healthy().length === 0 || mutations === 0) break;
      await world.clock.advance(30_000);
    }
    if (this.#isOwed) checks.complain("auto-failover-kept", "nobody put it back in the end");
    judgeEnd(world, checks, result, this.#options.stats);
    if (world.model.healthy().length === 0) await this.#oneMore();
  }

  /** On a healthy cluster nothing is changed. */
  async #oneMore(): Promise<void> {
    const world = this.#world;
    const before = (mutation: Mutation): Fate => {
      this.#checks.complain("nothing-left-to-do", `${mutation.method} on a healthy cluster`);
      return "go";
    };
    const tool = await world.open({ watcher: { before } });
    await this.#run(tool);
  }
}
