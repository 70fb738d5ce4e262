import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { messageOf } from "../../src/errors.js";
import { RULES, type Rules } from "../../src/execution/rules.js";
import { EXIT } from "../../src/exit-codes.js";
import type { TablePartition } from "../../src/gen/openmldb/nameserver_pb.js";
import type { PartitionResult } from "../../src/model/report.js";
import { opsPath } from "../../src/run/owner.js";
import type { Random } from "../../src/sandbox/model/random.js";
import { rowCount } from "../../src/sandbox/model/runs.js";
import { Checks } from "./checkers.js";
import { armClockSteps } from "./clocks.js";
import { armFaults, type FaultPlan, faultPlans, heal, revive } from "./faults.js";
import { live } from "./history.js";
import { Losses, type Named, namedBefore } from "./named-loss.js";
import { withHostileNames } from "./names.js";
import { ODD_KINDS, type OddName } from "./odd-kinds.js";
import { type Outage, strike } from "./outage.js";
import { findPart, type Part } from "./partitions.js";
import { commandsIn, faultsOfText } from "./printed.js";
import { pick, shapeOf, streamOf } from "./shape.js";
import type { SimulationResult } from "./simulate.js";
import { pictureOf, type Stats } from "./stats.js";
import { autoFailoverOf } from "./tool-run.js";
import { plainLine, shellArguments, type Typed, typeLine } from "./typed.js";
import { judgePartitions } from "./verdict.js";
import { diaryOf, type Fate, type Mutation, startWorld, type World } from "./world.js";

/** Commands that the operator types once everything works again, and during faults, at most. */
const TYPED_MAX = 14;
const TYPED_IN_FAULTS_MAX = 3;

/** Options of a seed of this kind. */
export interface PasteOptions {
  readonly stats?: Stats;
  /** Decisions of the tool that are replaced, to see whether a checker notices. */
  readonly plant?: Partial<Rules>;
  /** The oddity of the seed, in addition to its outage; `any` if left out. */
  readonly odd?: OddName | undefined;
}

/**
 * Plays one seed: a cluster with hostile names, its life, an outage, a tablet that does not come back
 * or is of another cluster; then an operator who types `inspect` and the commands that it and
 * `recoverdata` print, and nothing else.
 */
export async function paste(seed: number, options: PasteOptions = {}): Promise<SimulationResult> {
  const odd = ODD_KINDS[options.odd ?? "any"];
  const shape = odd.shaped(withHostileNames(shapeOf(seed)));
  const world = await startWorld(shape);
  const checks = new Checks(world, false);
  const sound = { ...RULES };
  // The commands run unchanged, so a bug is planted in the rules that all of them use.
  Object.assign(RULES, options.plant);
  try {
    await live(world, shape);
    const outage = await strike(world, shape);
    const oddity = odd.make(world, shape, outage);
    options.stats?.add("oddities", oddity.word);
    const operator = new Operator(world, checks, streamOf(seed, "typed"), options.stats);
    operator.begin(outage);
    oddity.begin();
    for (const plan of faultPlans(shape)) await operator.worksUnder(plan, outage, seed);
    oddity.end();
    await heal(world, outage.away);
    await operator.finishes();
  } catch (thrown) {
    const trace = thrown instanceof Error ? (thrown.stack ?? thrown.message) : messageOf(thrown);
    checks.complain("bounded", trace);
  } finally {
    Object.assign(RULES, sound);
  }
  return { seed, violations: checks.violations, documentedLosses: 0, diary: () => diaryOf(world) };
}

/** A command on a screen, parsed. */
interface Printed {
  readonly line: string;
  readonly name: string;
  readonly flags: ReadonlyMap<string, string>;
  readonly named: Named;
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
    return { line, name, flags, named: namedBefore(screen, line) };
  });
}

/** Whether a command gives something up on the operator's word. */
function isCostly({ flags }: Printed): boolean {
  return flags.has("lost") || flags.has("accept_data_loss") || flags.has("decisions");
}

/** The last entry that the nameserver saw of any replica. */
function maxOffset({ partitionMeta }: TablePartition): bigint {
  let most = 0n;
  for (const { offset } of partitionMeta) if (offset > most) most = offset;
  return most;
}

/** An advice that needs nothing but its command. */
const RUN = /next(?: \([^)]*\))?: run: $/;

const LOOKING = ["inspect", "showopstatus", "gettablestatus", "getfollower", "confget", "verify"];

/** A line of a file of decisions. */
interface Decision {
  readonly partition: { readonly db: string; readonly table: string; readonly pid: number };
  readonly candidates: readonly {
    readonly endpoint: string;
    readonly loss: { readonly atMost: string | null };
  }[];
}

/** Types commands as an operator does, and continues with those that the output gives. */
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
  /** Commands about tablets that seemed lost, printed while faults were active. */
  readonly #old: Printed[] = [];

  constructor(world: World, checks: Checks, random: Random, stats: Stats | undefined) {
    this.#world = world;
    this.#checks = checks;
    this.#random = random;
    this.#stats = stats;
  }

  /** The outage is over; from here on the tool is at work. */
  begin(outage: Outage): void {
    const world = this.#world;
    this.#autoFailover = autoFailoverOf(world);
    this.#checks.noteForks();
    this.#checks.noteHoles();
    this.#checks.noteSpoiledDisks();
    this.#checks.value();
    world.clock.onTimer = () => this.#checks.afterEvent();
    for (const line of pictureOf(world)) world.note(line);
    for (const [name, delay] of outage.late) {
      world.clock.setTimer(delay, () => {
        if (!outage.away.includes(name)) revive(world, name);
      });
    }
  }

  /** Types commands while faults are active, except those that give rows up. */
  async worksUnder(
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
          checks.value();
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
    const before = (mutation: Mutation): Fate => {
      driver.onMutation(mutation);
      const isEnd =
        stop?.kind === "kill" &&
        "atMutation" in stop.when &&
        stop.when.atMutation === mutation.number;
      if (!isEnd) return "go";
      return "late" in stop.when && stop.when.late ? "killed-after" : "killed-before";
    };
    let screen = await this.types(first, before);
    for (let left = TYPED_IN_FAULTS_MAX - 1; left > 0; left -= 1) {
      this.#old.push(...printedIn(screen.text).filter((one) => one.flags.has("lost")));
      const ways = printedIn(screen.text).filter((one) => !isCostly(one));
      const line = ways.length === 0 ? plainLine("recoverdata") : pick(this.#random, ways).line;
      screen = await this.types(line, before);
    }
    driver.end();
  }

  /**
   * Called when all faults have ended: the printed commands must lead to a healthy cluster, or to a
   * true decision.
   */
  async finishes(): Promise<void> {
    const world = this.#world;
    const checks = this.#checks;
    checks.checkRows();
    checks.value();
    checks.noteSpoiled();
    const isCurious = this.#random.chance(0.3);
    const acceptsCost = this.#random.chance(0.6);
    const [old] = this.#old;
    if (old !== undefined && acceptsCost && this.#random.chance(0.5)) await this.#typesOld(old);
    let screen = await this.types(plainLine("inspect"));
    const tried = new Set<string>();
    for (let left = TYPED_MAX; left > 0; left -= 1) {
      const ways = printedIn(screen.text).filter((one) => acceptsCost || !isCostly(one));
      const way = isCurious
        ? ways.length > 0
          ? pick(this.#random, ways)
          : undefined
        : ways.find((one) => !tried.has(one.line) && !LOOKING.includes(one.name));
      if (way === undefined) {
        if (screen.isInspect) break;
        screen = await this.types(plainLine("inspect"));
        continue;
      }
      const picture = pictureOf(world).join("\n");
      const next = await this.#pastes(way);
      if (way.name === "changeleader" && screen.isInspect && next.exitCode === EXIT.refused) {
        this.#checks.complain(
          "advice-leads-on",
          `${way.line} is advised and refused: ${next.text}`,
        );
      }
      if (pictureOf(world).join("\n") === picture) tried.add(way.line);
      else tried.clear();
      screen = next;
      if (left % 4 === 0) await world.clock.advance(30_000);
    }
    await this.#typesPlainly();
    this.#judge(await this.types(plainLine("inspect", "--output=json")));
  }

  /** A command from an old screen: by now the tablet may be back, and then it is refused. */
  async #typesOld(way: Printed): Promise<void> {
    const lost = way.flags.get("lost")?.split(",") ?? [];
    const isBack = lost.some((one) => this.#world.model.leader?.isHealthy(one) === true);
    if (!isBack) {
      await this.#pastes(way);
      return;
    }
    this.#stats?.add("typed", "from an old screen, of a tablet that is back");
    const { exitCode, count } = await this.types(way.line);
    if (exitCode !== EXIT.refused || count > 0) {
      const what = `${way.line} is done, although the tablet is back`;
      this.#checks.complain("loss-named", what);
    }
  }

  /** Types the first advised command, up to four times, whatever the operator has typed before. */
  async #typesPlainly(): Promise<void> {
    for (let left = 4; left > 0; left -= 1) {
      const screen = await this.types(plainLine("inspect"));
      const way = printedIn(screen.text).find(
        (one) => !isCostly(one) && !LOOKING.includes(one.name) && one.name !== "confset",
      );
      if (way === undefined) return;
      const picture = await this.#problems();
      const { text, exitCode } = await this.#pastes(way);
      if (exitCode === EXIT.refused) {
        this.#checks.complain("advice-leads-on", `${way.line} is advised and refused: ${text}`);
      }
      await this.#world.clock.advance(30_000);
      if (picture !== (await this.#problems())) continue;
      const [again] = printedIn(text);
      if (again !== undefined && RUN.test(text.slice(0, text.indexOf(again.line)))) {
        const what = `${again.line} is advised again, and changes nothing: ${text}`;
        this.#checks.complain("advice-leads-on", what);
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

  async #pastes(way: Printed) {
    this.#stats?.add("typed", `${way.name}${isCostly(way) ? " that costs" : ""}`);
    this.#accepts(way);
    const file = way.flags.get("decisions_out");
    if (file !== undefined) rmSync(file, { force: true });
    const named = this.#decides(way) ?? way.named;
    const losses = new Losses(this.#world.model);
    const seen = new Map(
      this.#world.model.tables
        .all()
        .flatMap((table) =>
          table.tablePartition.map((part) => [`${table.tid}/${part.pid}`, maxOffset(part)]),
        ),
    );
    const screen = await this.types(way.line);
    // Rows that only the lost disk held cannot be named.
    const lost = losses.since(({ name }) => !this.#checks.unknowable.has(name));
    let sum = 0n;
    const words: string[] = [];
    for (const [name, { of, rows }] of lost) {
      const known = seen.get(`${of.id.tid}/${of.id.pid}`) ?? 0n;
      const nameable = way.flags.has("lost")
        ? rows.flatMap((run) =>
            run.from > known ? [] : [{ ...run, to: run.to < known ? run.to : known }],
          )
        : rows;
      if (rowCount(nameable) === 0) continue;
      sum += BigInt(rowCount(nameable));
      words.push(`${rowCount(nameable)} of ${name}`);
    }
    const { atMost } = named;
    if (atMost !== undefined && sum > atMost) {
      this.#checks.complain(
        "loss-named",
        `${way.line} cost ${words.join(", ")} rows, and ${atMost} were named`,
      );
    }
    return screen;
  }

  /**
   * Fills in the file of decisions that is about to be applied, and records the losses that it names.
   */
  #decides({ flags }: Printed): Named | undefined {
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
    return { atMost };
  }

  /** Records the losses that the operator accepts with a command. */
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

  /** Types a line and watches what it does. @returns The screen; `count`: how many changes other than of auto_failover it made. */
  async types(
    line: string,
    during?: (mutation: Mutation) => Fate,
  ): Promise<Typed & { readonly isInspect: boolean; readonly count: number }> {
    const checks = this.#checks;
    let count = 0;
    const before = (mutation: Mutation): Fate => {
      // auto_failover that a killed run left off is restored by any command, refused or not.
      if (mutation.method !== "ConfSet") count += 1;
      checks.checkRows();
      checks.beforeMutation(mutation);
      return during?.(mutation) ?? "go";
    };
    this.lines.push(line);
    if (/ confset /.test(line)) this.#autoFailover = / true /.test(line);
    const typed = await typeLine(this.#world, line, { before });
    checks.checkRows();
    checks.checkHistories();
    for (const text of typed.text.split("\n")) this.#world.note(`| ${text}`);
    if (!line.includes("--output=json")) {
      for (const fault of faultsOfText(typed.text))
        checks.complain("command-complete", `${line}: ${fault}`);
    }
    if (typed.exitCode === 1) checks.complain("bounded", `${line}: ${typed.text}`);
    return { ...typed, isInspect: line.includes("ops inspect "), count };
  }

  /** Judges the end by the output of `inspect`. */
  #judge({ stdout }: Typed): void {
    const world = this.#world;
    const checks = this.#checks;
    const { partitions } = JSON.parse(stdout) as {
      readonly partitions: readonly (PartitionResult["id"] &
        Pick<PartitionResult, "problems"> & { readonly next: string })[];
    };
    const told = partitions.map(({ tid, pid, problems, next }) => ({
      id: { tid, pid },
      status: "unhealthy" as const,
      problems: problems.map((one) => ({ ...one, endpoint: one.endpoint ?? undefined })),
      failure: undefined,
      next,
    }));
    judgePartitions(world, checks, told, this.#stats);
    // A run leaves it off while decisions are open, and its note gives this reason.
    const note = world.tree.get(opsPath(world.model.root, "auto_failover"))?.data.toString();
    if (partitions.length > 0 && note?.includes('"leftOffSince"') === true) return;
    if (autoFailoverOf(world) !== this.#autoFailover) {
      checks.complain("auto-failover-kept", `it is ${autoFailoverOf(world)} in the end`);
    }
    if (note !== undefined) {
      checks.complain("auto-failover-kept", "the marker is left in the end");
    }
  }
}
