import { commandWords, TOOL } from "../../src/cli/printed-command.js";
import { EXIT } from "../../src/exit-codes.js";
import type { ToolCommand } from "../../src/model/tool-command.js";
import type { Random } from "../../src/sandbox/model/random.js";
import { rowCount } from "../../src/sandbox/model/runs.js";
import { Checks } from "./checkers.js";
import { faultPlans, heal } from "./faults.js";
import { live, write } from "./history.js";
import { Losses } from "./named-loss.js";
import type { Outage } from "./outage.js";
import { partsOf } from "./partitions.js";
import { Operator } from "./paste.js";
import { CLUSTER_FLAGS } from "./printed.js";
import { type TrueRefusal, trueRefusal } from "./refusals.js";
import { pick, type Shape, shapeOf, streamOf } from "./shape.js";
import type { SimulationResult } from "./simulate.js";
import type { Stats } from "./stats.js";
import type { Typed } from "./typed.js";
import { diaryOf, startWorld, type World } from "./world.js";

/** A tablet that is started for the operations, with an empty disk. */
const NEW_TABLET = "y:9527";
/** Longer than the flush of binlogs, the refresh of offsets and the wait for a follower. */
const QUIET_MS = 60_000;
/** The number of repetitions of the last command once everything works. */
const AGAIN_MAX = 4;

/**
 * Plays one seed: a healthy cluster, then operations other than a recovery (a change of leader, a
 * tablet taken out of service and brought back, scaling, a move of a follower), each under faults. The
 * operator continues with the commands of the output. Once the faults have ended, the operation is
 * typed again until nothing is left to do: then it is done, or refused for a reason that is true in
 * the model. In the end the operator types the commands that `inspect` advises.
 */
export async function playOperations(
  seed: number,
  { stats }: { readonly stats?: Stats } = {},
): Promise<SimulationResult> {
  const shape = shapeOf(seed);
  const world = await startWorld({ ...shape, tablets: Math.max(3, shape.tablets) });
  const checks = new Checks(world, false);
  try {
    await live(world, shape);
    await heal(world, []);
    await play(world, shape, checks, stats);
  } catch (thrown) {
    const trace = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    checks.complain("bounded", trace);
  }
  return { seed, violations: checks.violations, documentedLosses: 0, diary: () => diaryOf(world) };
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
  checks.value();
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
    // Under faults it may be done all the same: a tablet can be out of service by then.
    if (refusal !== undefined) {
      judgeEnd(checks, { command, line, refusal, ...(await operator.types(line)) }, undefined);
    }
    await operator.worksUnder(plan, outage, shape.seed, line);
    await heal(world, outage.away);
    const last = await again(world, operator, line);
    const end = { command, line, refusal: trueRefusal(world, command), ...last };
    const isDone = judgeEnd(checks, end, stats);
    for (const [name, { rows }] of losses.since(({ name }) => !checks.unknowable.has(name))) {
      checks.complain("no-row-lost", `${name}: ${rowCount(rows)} rows are gone after ${line}`);
    }
    // A refused operation can advise another number of replicas: such commands name addreplica or delreplica.
    const isChosen = operator.lines.splice(0).some((one) => / (?:add|del)replica /.test(one));
    if (isDone && !isChosen) checkNumbers(world, checks, numbers, line);
    numbers = numbersOf(world);
  }
  await operator.finishes();
}

/** A command that was typed while everything works, and its screen. */
interface Ended extends Typed {
  readonly command: ToolCommand;
  readonly line: string;
  /** Why it cannot be done, by the model; undefined if it can, or is done. */
  readonly refusal: TrueRefusal | undefined;
}

/**
 * Whatever could be done is done, and whatever is not is refused for a reason that is true in the model, and said.
 *
 * @returns Whether it is done.
 */
function judgeEnd(
  checks: Checks,
  { command, line, refusal, exitCode, text }: Ended,
  stats: Stats | undefined,
): boolean {
  const isDone = exitCode === EXIT.ok;
  const end = isDone ? "done in the end" : `refused: ${refusal?.reason ?? "for no true reason"}`;
  stats?.add("operations", `${command.cmd} ${end}`);
  const isRefused = exitCode === EXIT.refused && refusal !== undefined;
  if (isDone ? refusal !== undefined : !isRefused) {
    checks.complain("done-or-refused", `${line}: ${end}, exit code ${exitCode}: ${text}`);
  }
  for (const said of refusal?.said ?? []) {
    if (!text.includes(said))
      checks.complain("done-or-refused", `${line}: not said: ${said}: ${text}`);
  }
  return isDone;
}

/** Every partition has as many replicas as before, or as its table asks for: scaling makes it so. */
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
    checks.complain("converges", `${name} has ${now} replicas instead of ${number} after ${line}`);
  }
}

/** Types a command until it has nothing left to do. @returns The last screen. */
async function again(world: World, operator: Operator, line: string): Promise<Typed> {
  for (let left = AGAIN_MAX; ; left -= 1) {
    const typed = await operator.types(line);
    if (typed.exitCode === EXIT.ok || left === 1) return typed;
    await operator.types(`${TOOL} recoverdata ${CLUSTER_FLAGS}`);
    await world.clock.advance(QUIET_MS);
  }
}

/** The number of replicas of each partition on record. */
function numbersOf({ model }: World): Map<string, number> {
  return new Map(partsOf(model).map((of) => [of.name, of.part.partitionMeta.length]));
}

function lineOf(command: ToolCommand): string {
  // Names of this story need no quotes.
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
