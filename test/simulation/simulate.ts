import { messageOf } from "../../src/errors.js";
import { partitionName } from "../../src/model/partition-view.js";
import type { Method } from "../../src/model/plan.js";
import { opsPath } from "../../src/run/owner.js";
import type { Random } from "../../src/sandbox/model/random.js";
import { Checks, type Violation } from "./checkers.js";
import { armClockSteps } from "./clocks.js";
import { armFaults, type FaultPlan, faultPlans, heal, revive } from "./faults.js";
import { live } from "./history.js";
import { leaderByHand } from "./meddle.js";
import { ODD_KINDS, type OddName } from "./odd-kinds.js";
import { type Outage, strike } from "./outage.js";
import { findPart } from "./partitions.js";
import { compareRowsOf } from "./rows.js";
import { meddleWith, savedPlanOf } from "./saved-plan.js";
import { pick, shapeOf, streamOf } from "./shape.js";
import { pictureOf, type Stats, situationsOf } from "./stats.js";
import {
  autoFailoverOf,
  codeOfEnd,
  endingOf,
  notRestoredOf,
  type Planted,
  type RunResult,
  runTool,
} from "./tool-run.js";
import { judgeEnd } from "./verdict.js";
import {
  diaryOf,
  type Fate,
  type Mutation,
  startWorld,
  type ToolProcess,
  type World,
} from "./world.js";

/**
 * Messages of a run that has not restored the value of auto_failover and leaves it to another run.
 */
const LEFT =
  /^auto_failover (is left to it|could not be restored)|an earlier run (may have left|could not be read)|after an earlier run:/;
/** A stopped run has this long to restore auto_failover and leave. */
const STOP_LIMIT_MS = 5_000;
/** Runs that may be needed once everything works again. */
const FINAL_RUNS_MAX = 5;

/** Options of a seed. */
export interface SimulationOptions {
  /**
   * The method that `recoverData` gets; its own default if left out. With `documented`, rows that
   * OpenMLDB's own RecoverTable removes are counted instead of complained about.
   */
  readonly method?: Method;
  /** A bug in the tool, to see whether a checker notices. */
  readonly plant?: Planted;
  /** The oddity of the seed, in addition to its outage; none if left out. */
  readonly odd?: OddName | undefined;
  /** Counts the situations that the seed reached. */
  readonly stats?: Stats;
}

/** The result of one seed. */
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
  const odd = options.odd === undefined ? undefined : ODD_KINDS[options.odd];
  const shape = odd?.shaped(shapeOf(seed)) ?? shapeOf(seed);
  const world = await startWorld(shape);
  const checks = new Checks(world, options.method === "documented");
  const play = new Play(seed, world, checks, options);
  try {
    world.note(
      `shape: ${JSON.stringify({ ...shape, options: String(shape.options.autoFailover) })}`,
    );
    await live(world, shape);
    const outage = await strike(world, shape);
    for (const word of outage.words) options.stats?.add("outages", word);
    const oddity = odd?.make(world, shape, outage);
    if (oddity !== undefined) options.stats?.add("oddities", oddity.word);
    await play.begin(outage);
    oddity?.begin();
    for (const plan of faultPlans(shape)) await play.faultyRun(plan, outage);
    oddity?.end();
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
  readonly #seed: number;
  readonly #world: World;
  readonly #checks: Checks;
  readonly #options: SimulationOptions;
  /** The value of auto_failover that the operators intend. */
  #autoFailover = false;
  /** A run was killed, or reported that it could not restore the value: the next one has to. */
  #isOwed = false;
  /** The run left the value to another one, which had the lock by then. */
  #isLeftToOthers = false;

  constructor(seed: number, world: World, checks: Checks, options: SimulationOptions) {
    this.#seed = seed;
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
    this.#checks.noteSpoiledDisks();
    this.#checks.value();
    world.clock.onTimer = () => this.#checks.afterEvent();
    for (const line of pictureOf(world)) world.note(line);
    for (const situation of situationsOf(world)) this.#options.stats?.add("situations", situation);
    for (const [name, delay] of outage.late) {
      world.clock.setTimer(delay, () => {
        if (!outage.away.includes(name)) revive(world, name);
      });
    }
  }

  /** A run under faults, with or without an end from outside. */
  async faultyRun(plan: FaultPlan, outage: Outage): Promise<void> {
    const world = this.#world;
    const checks = this.#checks;
    armClockSteps(world, this.#seed, (who) =>
      this.#options.stats?.add("faults", `clock of ${who}`),
    );
    const driver = armFaults(world, plan, {
      away: outage.away,
      listener: {
        beforeDamage: () => checks.checkRows(),
        afterDamage() {
          checks.value();
          checks.noteForks();
        },
        onSwitchedOn: () => {
          this.#autoFailover = true;
        },
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
    const keepsOff = plan.keepsOff && this.#autoFailover;
    const onEvent = leaderByHand(world, plan.leaderByHand, (what) => {
      this.#options.stats?.add("faults", what);
    });
    const result = await this.#run(tool, { signal: stop.signal, keepsOff, onEvent });
    driver.end();
    if (abortedAt !== undefined && world.clock.now() - abortedAt > STOP_LIMIT_MS) {
      checks.complain("stops-in-time", `left ${world.clock.now() - abortedAt} ms after the signal`);
    }
    this.#options.stats?.add("endings", endingOf(result, abortedAt !== undefined));
    this.#afterRun(result);
  }

  #run(tool: ToolProcess, options: Parameters<typeof runTool>[2] = {}): Promise<RunResult> {
    this.#isLeftToOthers = false;
    return runTool(this.#world, tool, {
      ...options,
      method: this.#options.method,
      plant: this.#options.plant,
      onEvent: (event) => {
        options.onEvent?.(event);
        if (event.kind === "warning" && LEFT.test(event.text)) {
          this.#isLeftToOthers = true;
        }
        if (event.kind === "step-ended") this.#checks.checkRows();
      },
    });
  }

  /** Checks the invariants that hold after every run, whatever faults struck during it. */
  #afterRun(result: RunResult): void {
    this.#checks.checkRows();
    this.#checks.checkHistories();
    const isReport = result !== undefined && !("thrown" in result);
    // The run that has the lock now has the marker too, and must restore the value.
    if (
      result === undefined ||
      this.#isLeftToOthers ||
      (isReport && notRestoredOf(result) !== undefined)
    ) {
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

  /** Called when all faults have ended: the cluster must become as healthy as it can. */
  async lastRuns(outage: Outage): Promise<void> {
    const world = this.#world;
    const checks = this.#checks;
    await heal(world, outage.away);
    checks.checkRows();
    checks.value();
    checks.noteSpoiled();
    const random = streamOf(this.#seed, "end");
    if (random.chance(0.3)) await this.#planAndApply(random);
    let result = await this.#untilSettled();
    const accept = this.#decide(result, random);
    if (accept.size > 0) result = await this.#untilSettled(accept);
    if (this.#isOwed) checks.complain("auto-failover-kept", "nobody restored it in the end");
    if (world.tree.get(opsPath(world.model.root, "auto_failover")) !== undefined) {
      checks.complain("auto-failover-kept", "the marker is left in the end");
    }
    judgeEnd(world, checks, result, this.#options.stats);
    if (world.model.healthy().length === 0) await this.#oneMore();
    await compareRowsOf(world, checks, this.#seed, {
      rules: this.#options.plant?.rules,
      stats: this.#options.stats,
    });
  }

  /** Runs again until everything is healthy, or a run tries nothing more. */
  async #untilSettled(accept?: ReadonlyMap<string, string>): Promise<RunResult> {
    const world = this.#world;
    const checks = this.#checks;
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
      result = await this.#run(tool, { accept });
      this.#afterRun(result);
      if (result !== undefined && !("thrown" in result) && notRestoredOf(result) !== undefined) {
        checks.complain("auto-failover-kept", String(notRestoredOf(result)));
      }
      if (world.model.healthy().length === 0 || mutations === 0) break;
      await world.clock.advance(30_000);
    }
    return result;
  }

  /**
   * The operator's decisions for the partitions that a run left undecided: the leaders, by partition.
   */
  #decide(result: RunResult, random: Random): Map<string, string> {
    const accept = new Map<string, string>();
    if (result === undefined || !("report" in result)) return accept;
    for (const { id, failure } of result.report.partitions) {
      const { decision } = failure ?? {};
      const of = findPart(this.#world.model, id);
      if (decision?.candidate === undefined || of === undefined) continue;
      const isAccepted = random.chance(0.6);
      this.#options.stats?.add("decisions", `${decision.code}${isAccepted ? ", accepted" : ""}`);
      if (!isAccepted) continue;
      const others = of.part.partitionMeta.map((meta) => meta.endpoint);
      const leader = random.chance(0.8) ? decision.candidate : pick(random, others);
      this.#world.note(`the operator lets ${leader} lead ${of.name}`);
      this.#checks.accept(of, leader);
      accept.set(partitionName(id), leader);
    }
    return accept;
  }

  /** A plan is made and saved; sometimes the cluster is another one when it is applied. */
  async #planAndApply(random: Random): Promise<void> {
    const world = this.#world;
    const planned = await savedPlanOf(world, this.#options.method);
    const undo = random.chance(0.5) ? meddleWith(world, planned) : undefined;
    const before = (mutation: Mutation): Fate => {
      this.#checks.checkRows();
      this.#checks.beforeMutation(mutation);
      // A run restores auto_failover for a killed run even if the plan does not fit.
      if (undo !== undefined && mutation.method !== "ConfSet") {
        this.#checks.complain("plan-kept", `${mutation.method}, although the plan does not fit`);
      }
      return "go";
    };
    const result = await this.#run(await world.open({ watcher: { before } }), { planned });
    const ending = `${undo === undefined ? "" : "meddled with, "}${endingOf(result, false)}`;
    this.#options.stats?.add("plans", ending);
    if (undo !== undefined && codeOfEnd(result) !== "plan-stale") {
      this.#checks.complain("plan-kept", `a plan that does not fit any more: ${ending}`);
    }
    undo?.();
    this.#afterRun(result);
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
