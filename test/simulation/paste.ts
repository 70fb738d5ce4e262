import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { messageOf } from "../../src/errors.js";
import { RULES, type Rules } from "../../src/execution/rules.js";
import { EXIT } from "../../src/exit-codes.js";
import type { TablePartition } from "../../src/gen/openmldb/nameserver_pb.js";
import type { PartitionResult } from "../../src/model/report.js";
import { opsPath } from "../../src/run/owner.js";
import type { Random } from "../../src/sandbox/model/random.js";
import { rowCount } from "../../src/sandbox/model/runs.js";
import { ANOMALY_KINDS, type AnomalyName } from "./anomaly-kinds.js";
import { checkPartitions } from "./check-report.js";
import { Checks } from "./checkers.js";
import { armClockSteps } from "./clocks.js";
import { armFaults, endFaults, type FaultPlan, faultPlans, startIfDown } from "./faults.js";
import { runHistory } from "./history.js";
import { withHostileNames } from "./hostile-names.js";
import { causeOutage, type Outage } from "./outage.js";
import { findPart, type Part } from "./partitions.js";
import { commandsIn, faultsOfText } from "./printed-commands.js";
import { pick, shapeOf, streamOf } from "./shape.js";
import type { SimulationResult } from "./simulate.js";
import { Losses, lossStatedBefore, type StatedLoss } from "./stated-loss.js";
import { partitionLines, type Stats } from "./stats.js";
import { autoFailoverOf } from "./tool-run.js";
import { plainLine, shellArguments, type Typed, typeLine } from "./typed-command.js";
import { type CallFault, eventLogOf, type Mutation, startWorld, type World } from "./world.js";

/** The largest number of commands that the operator types after the faults, and during them. */
const TYPED_MAX = 14;
const TYPED_IN_FAULTS_MAX = 3;

/** Options of a seed of this kind. */
export interface PasteOptions {
  readonly stats?: Stats;
  /** Replaces decisions of the tool: a planted bug that a checker must detect. */
  readonly plant?: Partial<Rules>;
  /** The anomaly of the seed, in addition to its outage; `any` if left out. */
  readonly anomaly?: AnomalyName | undefined;
}

/**
 * Plays one seed: a cluster with hostile names and its history, an outage and an anomaly. Then the operator types `inspect` and
 * the commands that it and `recoverdata` print, and no others.
 */
export async function paste(seed: number, options: PasteOptions = {}): Promise<SimulationResult> {
  const kind = ANOMALY_KINDS[options.anomaly ?? "any"];
  const shape = kind.shaped(withHostileNames(shapeOf(seed)));
  const world = await startWorld(shape);
  const checks = new Checks(world, false);
  const original = { ...RULES };
  // The commands run unchanged, so a bug is planted in the rules that all of them use.
  Object.assign(RULES, options.plant);
  try {
    await runHistory(world, shape);
    const outage = await causeOutage(world, shape);
    const anomaly = kind.apply(world, shape, outage);
    options.stats?.add("anomalies", anomaly.word);
    const operator = new Operator(world, checks, streamOf(seed, "typed"), options.stats);
    operator.begin(outage);
    anomaly.begin();
    for (const plan of faultPlans(shape)) await operator.typesDuringFaults(plan, outage, seed);
    anomaly.end();
    await endFaults(world, outage.away);
    await operator.typesUntilSettled();
  } catch (thrown) {
    const trace = thrown instanceof Error ? (thrown.stack ?? thrown.message) : messageOf(thrown);
    checks.addViolation("bounded", trace);
  } finally {
    Object.assign(RULES, original);
  }
  return {
    seed,
    violations: checks.violations,
    documentedLosses: 0,
    eventLog: () => eventLogOf(world),
  };
}

/** A command in the output of another one, parsed. */
interface Printed {
  readonly line: string;
  readonly name: string;
  readonly flags: ReadonlyMap<string, string>;
  readonly named: StatedLoss;
}

function printedIn(screen: string): Printed[] {
  return commandsIn(screen).map((line) => {
    const words = shellArguments(line);
    const flags = new Map(
      words.flatMap((word): [string, string][] => {
        const [, name, value] = /^--([a-z_]+)(?:=(.*))?$/s.exec(word) ?? [];
        return name === undefined ? [] : [[name, value ?? ""]];
      }),
    );
    const name = flags.get("cmd") ?? words[0] ?? "";
    return { line, name, flags, named: lossStatedBefore(screen, line) };
  });
}

/** Whether a command gives rows up by a decision of the operator. */
function givesRowsUp({ flags }: Printed): boolean {
  return flags.has("lost") || flags.has("accept_data_loss") || flags.has("decisions");
}

/** The highest offset that the nameserver has seen of any replica. */
function maxOffset({ partitionMeta }: TablePartition): bigint {
  let most = 0n;
  for (const { offset } of partitionMeta) if (offset > most) most = offset;
  return most;
}

/** Advice that requires only its command. */
const RUN = /next(?: \([^)]*\))?: run: $/;

const READ_ONLY = ["inspect", "showopstatus", "gettablestatus", "getfollower", "confget", "verify"];

/** A line of a file of decisions. */
interface Decision {
  readonly partition: { readonly db: string; readonly table: string; readonly pid: number };
  readonly candidates: readonly {
    readonly endpoint: string;
    readonly loss: { readonly atMost: string | null };
  }[];
}

/** An operator, who types commands and continues with those of the output. */
export class Operator {
  readonly #world: World;
  readonly #checks: Checks;
  readonly #random: Random;
  readonly #stats: Stats | undefined;
  /** Every line typed so far. */
  readonly lines: string[] = [];
  /** Called when a fault removed rows from a disk, or clients wrote. */
  onDamage: () => void = () => undefined;
  /** The value of auto_failover that the operators intend. */
  #autoFailover = false;
  /** Commands that declare tablets lost, printed while faults were active. */
  readonly #old: Printed[] = [];

  constructor(world: World, checks: Checks, random: Random, stats: Stats | undefined) {
    this.#world = world;
    this.#checks = checks;
    this.#random = random;
    this.#stats = stats;
  }

  /** Called after the outage: records the state before the first run, and checks every event from now on. */
  begin(outage: Outage): void {
    const world = this.#world;
    this.#autoFailover = autoFailoverOf(world);
    this.#checks.noteForks();
    this.#checks.noteHoles();
    this.#checks.noteDivergedDisks();
    this.#checks.recordRows();
    world.clock.onTimer = () => this.#checks.afterEvent();
    for (const line of partitionLines(world)) world.note(line);
    for (const [name, delay] of outage.late) {
      world.clock.setTimer(delay, () => {
        if (!outage.away.includes(name)) startIfDown(world, name);
      });
    }
  }

  /** Types commands while faults are active, except those that give rows up. */
  async typesDuringFaults(
    plan: FaultPlan,
    { away }: Outage,
    seed: number,
    first = plainLine(this.#random.chance(0.5) ? "inspect" : "recoverdata"),
  ): Promise<void> {
    const world = this.#world;
    const checks = this.#checks;
    armClockSteps(world, seed, () => undefined);
    const driver = armFaults(world, plan, {
      away,
      listener: {
        beforeDamage: () => checks.checkRows(),
        afterDamage: () => {
          checks.recordRows();
          checks.noteForks();
          this.onDamage();
        },
        onSwitchedOn: () => {
          this.#autoFailover = true;
        },
        onFault: () => undefined,
      },
    });
    const { stop } = plan;
    const before = (mutation: Mutation): CallFault => {
      driver.onMutation(mutation);
      const isEnd =
        stop?.kind === "kill" &&
        "atMutation" in stop.when &&
        stop.when.atMutation === mutation.number;
      if (!isEnd) return "none";
      return "late" in stop.when && stop.when.late ? "killed-after" : "killed-before";
    };
    let screen = await this.types(first, before);
    for (let left = TYPED_IN_FAULTS_MAX - 1; left > 0; left -= 1) {
      this.#old.push(...printedIn(screen.text).filter((one) => one.flags.has("lost")));
      const commands = printedIn(screen.text).filter((one) => !givesRowsUp(one));
      const line =
        commands.length === 0 ? plainLine("recoverdata") : pick(this.#random, commands).line;
      screen = await this.types(line, before);
    }
    driver.end();
  }

  /** Called after the faults: the printed commands must lead to a healthy cluster, or to decisions with a true reason. */
  async typesUntilSettled(): Promise<void> {
    const world = this.#world;
    const checks = this.#checks;
    checks.checkRows();
    checks.recordRows();
    checks.noteDiverged();
    const choosesAtRandom = this.#random.chance(0.3);
    const acceptsLoss = this.#random.chance(0.6);
    const [old] = this.#old;
    if (old !== undefined && acceptsLoss && this.#random.chance(0.5))
      await this.#typesFromOldOutput(old);
    let screen = await this.types(plainLine("inspect"));
    const tried = new Set<string>();
    for (let left = TYPED_MAX; left > 0; left -= 1) {
      const commands = printedIn(screen.text).filter((one) => acceptsLoss || !givesRowsUp(one));
      const command = choosesAtRandom
        ? commands.length > 0
          ? pick(this.#random, commands)
          : undefined
        : commands.find((one) => !tried.has(one.line) && !READ_ONLY.includes(one.name));
      if (command === undefined) {
        if (screen.isInspect) break;
        screen = await this.types(plainLine("inspect"));
        continue;
      }
      const picture = partitionLines(world).join("\n");
      const next = await this.#typesPrinted(command);
      if (command.name === "changeleader" && screen.isInspect && next.exitCode === EXIT.refused) {
        this.#checks.addViolation(
          "advice-leads-on",
          `${command.line} is advised and refused: ${next.text}`,
        );
      }
      if (partitionLines(world).join("\n") === picture) tried.add(command.line);
      else tried.clear();
      screen = next;
      if (left % 4 === 0) await world.clock.advance(30_000);
    }
    await this.#followsAdvice();
    this.#checkEnd(await this.types(plainLine("inspect", "--output=json")));
  }

  /** A command from old output. If the tablet has returned by now, the command must be refused. */
  async #typesFromOldOutput(command: Printed): Promise<void> {
    const lost = command.flags.get("lost")?.split(",") ?? [];
    const isBack = lost.some((one) => this.#world.model.leader?.isHealthy(one) === true);
    if (!isBack) {
      await this.#typesPrinted(command);
      return;
    }
    this.#stats?.add("typed", "from old output, of a tablet that is back");
    const { exitCode, count } = await this.types(command.line);
    if (exitCode !== EXIT.refused || count > 0) {
      const what = `${command.line} is done, although the tablet is back`;
      this.#checks.addViolation("loss-named", what);
    }
  }

  /** Types the first advised command, up to four times, even if it was typed before. */
  async #followsAdvice(): Promise<void> {
    for (let left = 4; left > 0; left -= 1) {
      const screen = await this.types(plainLine("inspect"));
      const command = printedIn(screen.text).find(
        (one) => !givesRowsUp(one) && !READ_ONLY.includes(one.name) && one.name !== "confset",
      );
      if (command === undefined) return;
      const picture = await this.#problems();
      const { text, exitCode } = await this.#typesPrinted(command);
      if (exitCode === EXIT.refused) {
        this.#checks.addViolation(
          "advice-leads-on",
          `${command.line} is advised and refused: ${text}`,
        );
      }
      await this.#world.clock.advance(30_000);
      if (picture !== (await this.#problems())) continue;
      const [again] = printedIn(text);
      if (again !== undefined && RUN.test(text.slice(0, text.indexOf(again.line)))) {
        const what = `${again.line} is advised again, and changes nothing: ${text}`;
        this.#checks.addViolation("advice-leads-on", what);
      }
      return;
    }
  }

  /** The problems of each partition that `inspect` reports. */
  async #problems(): Promise<string> {
    const { stdout } = await this.types(plainLine("inspect", "--output=json"));
    const { partitions } = JSON.parse(stdout) as {
      readonly partitions: readonly {
        readonly table: string;
        readonly pid: number;
        readonly problems: readonly { readonly code: string; readonly endpoint: string | null }[];
      }[];
    };
    return partitions
      .map(({ table, pid, problems }) => {
        const codes = problems.map(({ code, endpoint }) => `${code} ${endpoint}`);
        return `${table}:${pid} ${codes.join(", ")}`;
      })
      .join("; ");
  }

  async #typesPrinted(command: Printed) {
    this.#stats?.add(
      "typed",
      `${command.name}${givesRowsUp(command) ? " that gives rows up" : ""}`,
    );
    this.#accepts(command);
    const file = command.flags.get("decisions_out");
    if (file !== undefined) rmSync(file, { force: true });
    const named = this.#decides(command) ?? command.named;
    const losses = new Losses(this.#world.model);
    const seen = new Map(
      this.#world.model.tables
        .all()
        .flatMap((table) =>
          table.tablePartition.map((part) => [`${table.tid}/${part.pid}`, maxOffset(part)]),
        ),
    );
    const screen = await this.types(command.line);
    // The command cannot state rows that only the lost disk held.
    const lost = losses.since(({ name }) => !this.#checks.unknowable.has(name));
    let sum = 0n;
    const words: string[] = [];
    for (const [name, { of, rows }] of lost) {
      const known = seen.get(`${of.id.tid}/${of.id.pid}`) ?? 0n;
      const statable =
        command.flags.has("lost") || command.named.isTailUnknown
          ? rows.flatMap((run) =>
              run.from > known ? [] : [{ ...run, to: run.to < known ? run.to : known }],
            )
          : rows;
      if (rowCount(statable) === 0) continue;
      sum += BigInt(rowCount(statable));
      words.push(`${rowCount(statable)} of ${name}`);
    }
    const { atMost } = named;
    if (atMost !== undefined && sum > atMost) {
      this.#checks.addViolation(
        "loss-named",
        `${command.line} cost ${words.join(", ")} rows, and ${atMost} were named`,
      );
    }
    return screen;
  }

  /** Fills in the file of decisions before it is applied. @returns The loss that it states; undefined without a file. */
  #decides({ flags }: Printed): StatedLoss | undefined {
    const file = flags.get("decisions");
    if (file === undefined || !existsSync(file)) return undefined;
    const [head = "", ...lines] = readFileSync(file, "utf8").trim().split("\n");
    let atMost: bigint | undefined = 0n;
    const filled = lines.map((line) => {
      const decision = JSON.parse(line) as Decision;
      const [first, ...others] = decision.candidates;
      const choice = this.#random.chance(0.7) ? first : others[0];
      if (choice === undefined) return line;
      const { db, table, pid } = decision.partition;
      const of = findPart(this.#world.model, { db, table, pid });
      if (of !== undefined) this.#checks.accept(of, choice.endpoint);
      const most = choice.loss.atMost;
      atMost = atMost === undefined || most === null ? undefined : atMost + BigInt(most);
      return JSON.stringify({ ...decision, choice: choice.endpoint });
    });
    writeFileSync(file, [head, ...filled].join("\n"));
    return { atMost, isTailUnknown: false };
  }

  /** Records the losses that the operator accepts by a command. */
  #accepts({ flags }: Printed): void {
    for (const one of flags.get("lost")?.split(",") ?? []) this.#checks.lose(one);
    const text = flags.get("accept_data_loss");
    if (text === undefined || text.startsWith("lost=")) return;
    const of = this.#partNamed(text);
    if (of !== undefined) this.#checks.accept(of, flags.get("leader") ?? "");
  }

  #partNamed(text: string): Part | undefined {
    const all = this.#world.model.tables
      .all()
      .flatMap((table) =>
        table.tablePartition.flatMap(
          ({ pid }) => findPart(this.#world.model, { db: table.db, table: table.name, pid }) ?? [],
        ),
      );
    return all.find((of) => of.name === text);
  }

  /** Types a line and checks each of its calls. @returns Its output; `count`: the number of its changes other than of auto_failover. */
  async types(
    line: string,
    during?: (mutation: Mutation) => CallFault,
  ): Promise<Typed & { readonly isInspect: boolean; readonly count: number }> {
    const checks = this.#checks;
    let count = 0;
    const before = (mutation: Mutation): CallFault => {
      // Every command restores auto_failover after a killed run, even if the command itself is refused.
      if (mutation.method !== "ConfSet") count += 1;
      checks.checkRows();
      checks.beforeMutation(mutation);
      return during?.(mutation) ?? "none";
    };
    this.lines.push(line);
    if (/ confset /.test(line)) this.#autoFailover = / true /.test(line);
    const typed = await typeLine(this.#world, line, { before });
    checks.checkRows();
    checks.checkHistories();
    for (const text of typed.text.split("\n")) this.#world.note(`| ${text}`);
    if (!line.includes("--output=json")) {
      for (const fault of faultsOfText(typed.text))
        checks.addViolation("command-complete", `${line}: ${fault}`);
    }
    if (typed.exitCode === 1) checks.addViolation("bounded", `${line}: ${typed.text}`);
    return { ...typed, isInspect: line.includes("ops inspect "), count };
  }

  /** Compares the last output of `inspect` with the model. */
  #checkEnd({ stdout }: Typed): void {
    const world = this.#world;
    const checks = this.#checks;
    const { partitions } = JSON.parse(stdout) as {
      readonly partitions: readonly (PartitionResult["id"] &
        Pick<PartitionResult, "problems"> & { readonly next: string })[];
    };
    const reported = partitions.map(({ tid, pid, problems, next }) => ({
      id: { tid, pid },
      status: "unhealthy" as const,
      problems: problems.map((one) => ({ ...one, endpoint: one.endpoint ?? undefined })),
      failure: undefined,
      next,
    }));
    checkPartitions(world, checks, reported, this.#stats);
    // A run leaves auto_failover off while decisions are open, and its marker says so.
    const note = world.tree.get(opsPath(world.model.root, "auto_failover"))?.data.toString();
    if (partitions.length > 0 && note?.includes('"leftOffSince"') === true) return;
    if (autoFailoverOf(world) !== this.#autoFailover) {
      checks.addViolation("auto-failover-kept", `it is ${autoFailoverOf(world)} in the end`);
    }
    if (note !== undefined) {
      checks.addViolation("auto-failover-kept", "the marker is left in the end");
    }
  }
}
