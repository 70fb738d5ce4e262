import { messageOf } from "../../src/errors.js";
import { partitionName } from "../../src/model/partition-view.js";
import type { Method } from "../../src/model/plan.js";
import { opsPath } from "../../src/run/owner.js";
import type { Random } from "../../src/sandbox/model/random.js";
import { ANOMALY_KINDS, type AnomalyName } from "./anomaly-kinds.js";
import { checkReport } from "./check-report.js";
import { Checks, type Violation } from "./checkers.js";
import { armClockSteps } from "./clocks.js";
import { armFaults, endFaults, type FaultPlan, faultPlans, startIfDown } from "./faults.js";
import { runHistory } from "./history.js";
import { leaderByHand } from "./leader-by-hand.js";
import { causeOutage, type Outage } from "./outage.js";
import { findPart } from "./partitions.js";
import { compareRowsOf } from "./rows.js";
import { markReplicaDead, savedPlanOf } from "./saved-plan.js";
import { pick, shapeOf, streamOf } from "./shape.js";
import { partitionLines, type Stats, situationsOf } from "./stats.js";
import {
  autoFailoverOf,
  codeOfEnd,
  endingOf,
  notRestoredOf,
  type Planted,
  type RunResult,
  runTool,
} from "./tool-run.js";
import {
  type CallFault,
  eventLogOf,
  type Mutation,
  startWorld,
  type ToolProcess,
  type World,
} from "./world.js";

/** Warnings of a run that did not restore auto_failover and leaves this to another run. */
const LEFT_TO_ANOTHER_RUN =
  /^auto_failover (is left to the other run|could not be restored)|an earlier run (may have left|could not be read)|after an earlier run:/;
/** A stopped run restores auto_failover and exits within this time. */
const STOP_LIMIT_MS = 5_000;
/** The number of runs that may be necessary once all servers work again. */
const FINAL_RUNS_MAX = 5;

/** Options of a seed. */
export interface SimulationOptions {
  /**
   * The method that `recoverData` gets; its own default if left out. With `documented`, rows that OpenMLDB's own RecoverTable
   * removes are counted, and are no violation.
   */
  readonly method?: Method;
  /** A planted bug that a checker must detect. */
  readonly plant?: Planted;
  /** The anomaly of the seed, in addition to its outage; none if left out. */
  readonly anomaly?: AnomalyName | undefined;
  /** Counts the situations that the seed reached. */
  readonly stats?: Stats;
}

/** The result of one seed. */
export interface SimulationResult {
  readonly seed: number;
  readonly violations: readonly Violation[];
  /** Acknowledged rows lost by RecoverTable itself; only counted with `documented`. */
  readonly documentedLosses: number;
  /** All events, one line each. */
  eventLog(): string[];
}

/** Plays one seed: a cluster and its history, an outage, recoveries under faults, and the last runs without faults. */
export async function simulate(
  seed: number,
  options: SimulationOptions = {},
): Promise<SimulationResult> {
  const kind = options.anomaly === undefined ? undefined : ANOMALY_KINDS[options.anomaly];
  const shape = kind?.shaped(shapeOf(seed)) ?? shapeOf(seed);
  const world = await startWorld(shape);
  const checks = new Checks(world, options.method === "documented");
  const play = new Play(seed, world, checks, options);
  try {
    world.note(
      `shape: ${JSON.stringify({ ...shape, options: String(shape.options.autoFailover) })}`,
    );
    await runHistory(world, shape);
    const outage = await causeOutage(world, shape);
    for (const word of outage.words) options.stats?.add("outages", word);
    const anomaly = kind?.apply(world, shape, outage);
    if (anomaly !== undefined) options.stats?.add("anomalies", anomaly.word);
    await play.begin(outage);
    anomaly?.begin();
    for (const plan of faultPlans(shape)) await play.faultyRun(plan, outage);
    anomaly?.end();
    await play.lastRuns(outage);
  } catch (thrown) {
    const trace = thrown instanceof Error ? (thrown.stack ?? thrown.message) : messageOf(thrown);
    checks.addViolation("bounded", trace);
  }
  return {
    seed,
    violations: checks.violations,
    documentedLosses: checks.documentedLosses,
    eventLog: () => eventLogOf(world),
  };
}

/** The state of one seed while it is played. */
class Play {
  readonly #seed: number;
  readonly #world: World;
  readonly #checks: Checks;
  readonly #options: SimulationOptions;
  /** The value of auto_failover that the operators intend. */
  #autoFailover = false;
  /** A run was killed, or reported that it could not restore the value: the next run must restore it. */
  #mustRestore = false;
  /** The run left the value to another run, which held the lock by then. */
  #isLeftToOthers = false;

  constructor(seed: number, world: World, checks: Checks, options: SimulationOptions) {
    this.#seed = seed;
    this.#world = world;
    this.#checks = checks;
    this.#options = options;
  }

  /** Called after the outage: records the state before the first run, and checks every event from now on. */
  async begin(outage: Outage): Promise<void> {
    const world = this.#world;
    this.#autoFailover = autoFailoverOf(world);
    this.#checks.noteForks();
    this.#checks.noteHoles();
    this.#checks.noteDivergedDisks();
    this.#checks.recordRows();
    world.clock.onTimer = () => this.#checks.afterEvent();
    for (const line of partitionLines(world)) world.note(line);
    for (const situation of situationsOf(world)) this.#options.stats?.add("situations", situation);
    for (const [name, delay] of outage.late) {
      world.clock.setTimer(delay, () => {
        if (!outage.away.includes(name)) startIfDown(world, name);
      });
    }
  }

  /** A run under faults, which may be stopped or killed. */
  async faultyRun(plan: FaultPlan, outage: Outage): Promise<void> {
    const world = this.#world;
    const checks = this.#checks;
    armClockSteps(world, this.#seed, (machine) =>
      this.#options.stats?.add("faults", `clock of ${machine}`),
    );
    const driver = armFaults(world, plan, {
      away: outage.away,
      listener: {
        beforeDamage: () => checks.checkRows(),
        afterDamage() {
          checks.recordRows();
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
      world.note("the run gets a signal");
      abortedAt = world.clock.now();
      stop.abort(new Error("SIGTERM"));
    };
    const before = (mutation: Mutation): CallFault => {
      checks.checkRows();
      checks.beforeMutation(mutation);
      driver.onMutation(mutation);
      const end = plan.stop;
      if (end === undefined || !("atMutation" in end.when)) return "none";
      if (end.when.atMutation !== mutation.number) return "none";
      if (end.kind === "signal") {
        if (end.when.late) world.clock.setTimer(2, signal);
        else signal();
        return "none";
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
      checks.addViolation(
        "stops-in-time",
        `left ${world.clock.now() - abortedAt} ms after the signal`,
      );
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
        if (event.kind === "warning" && LEFT_TO_ANOTHER_RUN.test(event.text)) {
          this.#isLeftToOthers = true;
        }
        if (event.kind === "step-ended") this.#checks.checkRows();
      },
    });
  }

  /** Checks the invariants that hold after every run, whatever faults there were. */
  #afterRun(result: RunResult): void {
    this.#checks.checkRows();
    this.#checks.checkHistories();
    const isReport = result !== undefined && !("thrown" in result);
    // The run that holds the lock now owns the marker too, and must restore the value.
    if (
      result === undefined ||
      this.#isLeftToOthers ||
      (isReport && notRestoredOf(result) !== undefined)
    ) {
      this.#mustRestore = true;
    } else if (isReport) {
      this.#mustRestore = false;
    }
    if (!this.#mustRestore) this.#checkAutoFailover();
  }

  #checkAutoFailover(): void {
    const now = autoFailoverOf(this.#world);
    if (now !== this.#autoFailover) {
      this.#checks.addViolation("auto-failover-kept", `it was ${this.#autoFailover} and is ${now}`);
    }
  }

  /** Called after the faults: the runs must recover every partition that has no remaining cause of failure. */
  async lastRuns(outage: Outage): Promise<void> {
    const world = this.#world;
    const checks = this.#checks;
    await endFaults(world, outage.away);
    checks.checkRows();
    checks.recordRows();
    checks.noteDiverged();
    const random = streamOf(this.#seed, "end");
    if (random.chance(0.3)) await this.#planAndApply(random);
    let result = await this.#runUntilSettled();
    const accept = this.#decide(result, random);
    if (accept.size > 0) result = await this.#runUntilSettled(accept);
    if (this.#mustRestore)
      checks.addViolation("auto-failover-kept", "no run restored it in the end");
    if (world.tree.get(opsPath(world.model.root, "auto_failover")) !== undefined) {
      checks.addViolation("auto-failover-kept", "the marker is left in the end");
    }
    checkReport(world, checks, result, this.#options.stats);
    if (world.model.healthy().length === 0) await this.#runOnHealthyCluster();
    await compareRowsOf(world, checks, this.#seed, {
      rules: this.#options.plant?.rules,
      stats: this.#options.stats,
    });
  }

  /** Repeats the run until the cluster is healthy, or a run changes nothing. */
  async #runUntilSettled(accept?: ReadonlyMap<string, string>): Promise<RunResult> {
    const world = this.#world;
    const checks = this.#checks;
    let result: RunResult;
    for (let run = 1; run <= FINAL_RUNS_MAX; run += 1) {
      let mutations = 0;
      const before = (mutation: Mutation): CallFault => {
        mutations += 1;
        checks.checkRows();
        checks.beforeMutation(mutation);
        return "none";
      };
      const tool = await world.open({ watcher: { before } });
      result = await this.#run(tool, { accept });
      this.#afterRun(result);
      if (result !== undefined && !("thrown" in result) && notRestoredOf(result) !== undefined) {
        checks.addViolation("auto-failover-kept", String(notRestoredOf(result)));
      }
      if (world.model.healthy().length === 0 || mutations === 0) break;
      await world.clock.advance(30_000);
    }
    return result;
  }

  /** The operator's decisions for the partitions that a run left for one: the leaders, by partition. */
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

  /** A plan is saved and applied. In half of the cases the cluster changes between the two. */
  async #planAndApply(random: Random): Promise<void> {
    const world = this.#world;
    const planned = await savedPlanOf(world, this.#options.method);
    const undo = random.chance(0.5) ? markReplicaDead(world, planned) : undefined;
    const before = (mutation: Mutation): CallFault => {
      this.#checks.checkRows();
      this.#checks.beforeMutation(mutation);
      // A run restores auto_failover after a killed run even if its own plan does not fit.
      if (undo !== undefined && mutation.method !== "ConfSet") {
        this.#checks.addViolation(
          "plan-kept",
          `${mutation.method}, although the plan does not fit`,
        );
      }
      return "none";
    };
    const result = await this.#run(await world.open({ watcher: { before } }), { planned });
    const ending = `${undo === undefined ? "" : "record changed, "}${endingOf(result, false)}`;
    this.#options.stats?.add("plans", ending);
    if (undo !== undefined && codeOfEnd(result) !== "plan-stale") {
      this.#checks.addViolation("plan-kept", `a plan that does not fit any more: ${ending}`);
    }
    undo?.();
    this.#afterRun(result);
  }

  /** A run on a healthy cluster changes nothing. */
  async #runOnHealthyCluster(): Promise<void> {
    const world = this.#world;
    const before = (mutation: Mutation): CallFault => {
      this.#checks.addViolation("nothing-left-to-do", `${mutation.method} on a healthy cluster`);
      return "none";
    };
    const tool = await world.open({ watcher: { before } });
    await this.#run(tool);
  }
}
