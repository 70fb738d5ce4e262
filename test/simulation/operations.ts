import { commandWords, TOOL } from "../../src/cli/printed-command.js";
import { EXIT } from "../../src/exit-codes.js";
import type { ToolCommand } from "../../src/model/tool-command.js";
import type { Random } from "../../src/sandbox/model/random.js";
import { rowCount } from "../../src/sandbox/model/runs.js";
import { Checks } from "./checkers.js";
import { endFaults, faultPlans } from "./faults.js";
import { runHistory, write } from "./history.js";
import type { Outage } from "./outage.js";
import { partsOf } from "./partitions.js";
import { Operator } from "./paste.js";
import { CLUSTER_FLAGS } from "./printed-commands.js";
import { type TrueRefusal, trueRefusal } from "./refusals.js";
import { pick, type Shape, shapeOf, streamOf } from "./shape.js";
import type { SimulationResult } from "./simulate.js";
import { Losses } from "./stated-loss.js";
import type { Stats } from "./stats.js";
import type { Typed } from "./typed-command.js";
import { eventLogOf, startWorld, type World } from "./world.js";

/** A tablet that is started for the operations, with an empty disk. */
const NEW_TABLET = "y:9527";
/** Longer than the flush of binlogs, the refresh of offsets and the wait for a follower. */
const QUIET_MS = 60_000;
/** The number of repetitions of a command once all servers work. */
const AGAIN_MAX = 4;

/**
 * Plays one seed: a healthy cluster, then operations other than a recovery (a change of leader, a
 * tablet taken out of service and brought back, scaling, a move of a follower), each under faults. The
 * operator continues with the commands of the output. After the faults the operation is typed again until it is done, or refused
 * for a reason that is true in the model. Finally the operator types the commands that `inspect` advises.
 */
export async function playOperations(
  seed: number,
  { stats }: { readonly stats?: Stats } = {},
): Promise<SimulationResult> {
  const shape = shapeOf(seed);
  const world = await startWorld({ ...shape, tablets: Math.max(3, shape.tablets) });
  const checks = new Checks(world, false);
  try {
    await runHistory(world, shape);
    await endFaults(world, []);
    await play(world, shape, checks, stats);
  } catch (thrown) {
    const trace = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    checks.addViolation("bounded", trace);
  }
  return {
    seed,
    violations: checks.violations,
    documentedLosses: 0,
    eventLog: () => eventLogOf(world),
  };
}

async function play(
  world: World,
  shape: Shape,
  checks: Checks,
  stats: Stats | undefined,
): Promise<void> {
  const { model, clock } = world;
  const random = streamOf(shape.seed, "operations");
  const operator = new Operator(world, checks, streamOf(shape.seed, "typed"), stats);
  const outage: Outage = { words: [], away: [], late: new Map() };
  if (random.chance(0.6)) model.startTablet(NEW_TABLET);
  await clock.advance(QUIET_MS);
  operator.begin(outage);
  for (const line of ["recoverdata", "recoverdata"])
    await operator.types(`${TOOL} ${line} ${CLUSTER_FLAGS}`);
  if (model.healthy().length > 0) {
    stats?.add("operations", "not healthy before");
    return;
  }
  write(world, random, 40);
  await clock.advance(QUIET_MS);
  checks.recordRows();
  // The operator asks for changes of healthy replicas.
  for (const of of partsOf(model)) checks.decide(of);
  let numbers = numbersOf(world);
  let losses = new Losses(model);
  operator.onDamage = () => {
    losses = new Losses(model);
  };
  for (const plan of faultPlans(shape)) {
    const command = operationFor(world, random);
    if (command === undefined) return;
    const line = lineOf(command);
    const refusal = trueRefusal(world, command);
    // Checked before the faults: under faults a tablet can be out of service, and the reason no longer true.
    if (refusal !== undefined) {
      checkResult(checks, { command, line, refusal, ...(await operator.types(line)) }, undefined);
    }
    await operator.typesDuringFaults(plan, outage, shape.seed, line);
    await endFaults(world, outage.away);
    const last = await again(world, operator, line);
    const end = { command, line, refusal: trueRefusal(world, command), ...last };
    const isDone = checkResult(checks, end, stats);
    for (const [name, { rows }] of losses.since(({ name }) => !checks.unknowable.has(name))) {
      checks.addViolation("no-row-lost", `${name}: ${rowCount(rows)} rows are gone after ${line}`);
    }
    // The advice after a refusal can change the number of replicas, by addreplica or delreplica.
    const isChosen = operator.lines.splice(0).some((one) => / (?:add|del)replica /.test(one));
    if (isDone && !isChosen) checkNumbers(world, checks, numbers, line);
    numbers = numbersOf(world);
  }
  await operator.typesUntilSettled();
}

/** A command that was typed while all servers work, and its output. */
interface Ended extends Typed {
  readonly command: ToolCommand;
  readonly line: string;
  /** The reason for which it must be refused, by the model; undefined if it can be done, or is done. */
  readonly refusal: TrueRefusal | undefined;
}

/**
 * An operation that can be done is done. Any other one is refused, and the output has the reason that is true in the model.
 *
 * @returns Whether it is done.
 */
function checkResult(
  checks: Checks,
  { command, line, refusal, exitCode, text }: Ended,
  stats: Stats | undefined,
): boolean {
  const isDone = exitCode === EXIT.ok;
  const end = isDone ? "done in the end" : `refused: ${refusal?.reason ?? "for no true reason"}`;
  stats?.add("operations", `${command.cmd} ${end}`);
  const isRefused = exitCode === EXIT.refused && refusal !== undefined;
  if (isDone ? refusal !== undefined : !isRefused) {
    checks.addViolation("done-or-refused", `${line}: ${end}, exit code ${exitCode}: ${text}`);
  }
  for (const wanted of refusal?.texts ?? []) {
    if (!text.includes(wanted))
      checks.addViolation("done-or-refused", `${line}: missing text: ${wanted}: ${text}`);
  }
  return isDone;
}

/** Every partition has as many replicas as before, or as its table requires: scaling restores that number. */
function checkNumbers(
  world: World,
  checks: Checks,
  numbers: ReadonlyMap<string, number>,
  line: string,
): void {
  for (const { name, part, table } of partsOf(world.model)) {
    const now = part.partitionMeta.length;
    const number = numbers.get(name);
    if (now === number || now === table.replicaNum) continue;
    checks.addViolation(
      "converges",
      `${name} has ${now} replicas instead of ${number} after ${line}`,
    );
  }
}

/**
 * Types a command until it ends with exit code 0 and has left no partition alone, a few times at most.
 *
 * @returns The last output.
 */
async function again(world: World, operator: Operator, line: string): Promise<Typed> {
  for (let left = AGAIN_MAX; ; left -= 1) {
    const typed = await operator.types(line);
    const isWhole = !typed.text.includes("left alone, not healthy");
    if ((typed.exitCode === EXIT.ok && isWhole) || left === 1) return typed;
    await operator.types(`${TOOL} recoverdata ${CLUSTER_FLAGS}`);
    await world.clock.advance(QUIET_MS);
  }
}

/** The number of replicas of each partition on record. */
function numbersOf({ model }: World): Map<string, number> {
  return new Map(partsOf(model).map((of) => [of.name, of.part.partitionMeta.length]));
}

function lineOf(command: ToolCommand): string {
  // The names in these clusters need no quotes.
  return [TOOL, ...commandWords(command), CLUSTER_FLAGS].join(" ");
}

/** @returns Undefined if there is no partition. */
function operationFor(world: World, random: Random): ToolCommand | undefined {
  const { model } = world;
  const tablets = [...model.tablets.keys()];
  const parts = partsOf(model);
  if (parts.length === 0) return undefined;
  const of = pick(random, parts);
  const names = { db: of.table.db, table: of.table.name, pid: of.part.pid };
  const endpoint = pick(random, tablets);
  const follower = of.part.partitionMeta.find((meta) => !meta.isLeader);
  switch (random.below(6)) {
    case 0:
      return { cmd: "offlineendpoint", endpoint };
    case 1:
      return { cmd: "recoverendpoint", endpoint, need_restore: random.chance(0.5) };
    case 2:
      return { cmd: "scaleout" };
    case 3:
      return { cmd: "scalein", endpoints: [endpoint] };
    case 4:
      if (follower === undefined) return { cmd: "scaleout" };
      return { cmd: "migrate", src: follower.endpoint, des: endpoint, ...names };
    default:
      return {
        cmd: "changeleader",
        ...names,
        candidate: random.chance(0.5) ? "auto" : (follower?.endpoint ?? "auto"),
      };
  }
}
