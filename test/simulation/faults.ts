import { TaskType } from "../../src/gen/openmldb/api_pb.js";
import { encode, opsPath, type RunOwner } from "../../src/run/owner.js";
import type { Random } from "../../src/sandbox/model/random.js";
import type { QueuedOp } from "../../src/sandbox/nameserver/ops.js";
import { treeZooKeeper } from "../../src/sandbox/znode-tree.js";
import { write } from "./history.js";
import { isForeignTablet } from "./partitions.js";
import { pick, type Shape, spread, streamOf } from "./shape.js";
import { type Mutation, TOOL_SESSION_MS, type World } from "./world.js";

/** A failure during a recovery. */
interface Fault {
  readonly kind: string;
  /** When it happens: after so many milliseconds, or around the n-th mutation of the run. */
  readonly when: { readonly atMs: number } | { readonly atMutation: number };
  /** The duration, for faults that have one. */
  readonly forMs: number;
  /** A number from 0 to 1 that decides its details. */
  readonly choice: number;
}

/** The stop of a run by a signal or a kill. */
export interface Stop {
  readonly kind: "signal" | "kill";
  readonly when:
    | { readonly atMs: number }
    | { readonly atMutation: number; readonly late: boolean };
}

/** The faults of one run, and the stop that ends it early, if any. */
export interface FaultPlan {
  readonly faults: readonly Fault[];
  readonly stop: Stop | undefined;
  /** True if the run leaves auto_failover off at its end (`--keep_off`). */
  readonly keepsOff: boolean;
  /**
   * Another operator makes a leader right before the n-th step of the run that would make one; undefined:
   * never.
   */
  readonly leaderByHand: number | undefined;
}

const KINDS = [
  "kill-nameserver",
  "hang-nameserver",
  "kill-tablet",
  "kill-tablet",
  "hang-tablet",
  "power-loss",
  "kill-called-tablet",
  "kill-called-tablet",
  "lose-answer-reset",
  "lose-answer-silence",
  "fail-op",
  "stick-op",
  "fail-load",
  "slow-load",
  "zookeeper-down",
  "session-lost",
  "lock-stolen",
  "switched-on",
  "kill-sending-tablet",
  "client-writes",
  "client-writes",
] as const;

const OP_TASKS = [
  "kDelReplica",
  "kRecoverTable",
  "kSendSnapshot",
  "kPauseSnapshot",
  "kLoadTable",
  "kAddReplica",
  "kRecoverSnapshot",
  "kUpdatePartitionStatus",
  "kCheckBinlogSyncProgress",
] as const;

const METHODS = [
  "RecoverTable",
  "RecoverTable",
  "LoadTable",
  "UpdateTableAliveStatus",
  "ConfSet",
  "ChangeRole",
  "AddReplica",
  "SetTablePartition",
  "GetTableStatus",
  "ShowTable",
] as const;

/** The plans of the runs under faults; at least one for each seed. */
export function faultPlans(shape: Shape): FaultPlan[] {
  const random = streamOf(shape.seed, "faults");
  const runs = pick(random, [1, 1, 2, 3]);
  return Array.from({ length: runs }, () => ({
    faults: Array.from({ length: pick(random, [0, 1, 2, 3, 5]) }, () => fault(random)),
    stop: random.chance(0.4) ? stop(random) : undefined,
    keepsOff: random.chance(0.3),
    leaderByHand: random.chance(0.25) ? 1 + random.below(3) : undefined,
  }));
}

function fault(random: Random): Fault {
  return {
    kind: pick(random, KINDS),
    when: random.chance(0.6)
      ? { atMutation: spread(random, 1, 25) }
      : { atMs: spread(random, 1, pick(random, [100, 1_000, 60_000])) },
    forMs: spread(random, 10, 40_000),
    choice: random.next(),
  };
}

function stop(random: Random): Stop {
  const kind = random.chance(0.5) ? "signal" : "kill";
  if (random.chance(0.4)) {
    return { kind, when: { atMs: spread(random, 1, pick(random, [500, 60_000])) } };
  }
  return { kind, when: { atMutation: spread(random, 1, 25), late: random.chance(0.5) } };
}

/** Applies the faults of a run and ends them after their time. */
export interface FaultDriver {
  /** Called for each mutation, before it leaves the tool. */
  onMutation(mutation: Mutation): void;
  /** Prevents further faults. */
  end(): void;
}

/** The events of the fault driver. */
export interface FaultListener {
  /** Right before a fault that can remove rows from a disk. */
  beforeDamage(): void;
  /** Right after a fault that removed rows from a disk, or wrote new ones. */
  afterDamage(): void;
  /** Another operator switched auto_failover on. */
  onSwitchedOn(): void;
  /** For the statistics: the fault, and the call during which it happened. */
  onFault(kind: string, during: string): void;
}

/** Arms the faults of one run. */
export function armFaults(
  world: World,
  plan: FaultPlan,
  { away, listener }: { readonly away: readonly string[]; readonly listener: FaultListener },
): FaultDriver {
  let isOver = false;
  const beginFault = (one: Fault, mutation: Mutation | undefined) => {
    if (isOver) return;
    const what = apply(world, one, { away, mutation, listener, isOver: () => isOver });
    if (what === undefined) return;
    world.note(`fault: ${what}`);
    listener.onFault(one.kind, mutation?.method ?? "any moment");
  };
  for (const one of plan.faults) {
    const { when } = one;
    if ("atMs" in when) world.clock.setTimer(when.atMs, () => beginFault(one, undefined));
  }
  return {
    onMutation(mutation) {
      for (const one of plan.faults) {
        if (!("atMutation" in one.when) || one.when.atMutation !== mutation.number) continue;
        // Before the call arrives, during it, or some time after.
        const delay = [0, 2, 10, spread({ ...fixed(one.choice) }, 20, 12_000)][
          Math.floor(one.choice * 4)
        ];
        if (delay === 0) beginFault(one, mutation);
        else world.clock.setTimer(delay ?? 0, () => beginFault(one, mutation));
      }
    },
    end: () => {
      isOver = true;
    },
  };
}

/** A generator that always gives the same number. */
function fixed(value: number): Random {
  return {
    next: () => value,
    below: (bound) => Math.floor(value * bound),
    chance: (probability) => value < probability,
  };
}

interface FaultContext {
  readonly away: readonly string[];
  readonly mutation: Mutation | undefined;
  readonly listener: FaultListener;
  readonly isOver: () => boolean;
}

/** @returns A description for the event log; undefined if the fault is impossible now. */
function apply(world: World, one: Fault, context: FaultContext): string | undefined {
  const { model, clock } = world;
  const choice = fixed(one.choice);
  switch (one.kind) {
    case "kill-nameserver":
    case "hang-nameserver":
      return killOrHang(world, model.leader?.address, one);
    case "kill-called-tablet":
    case "kill-tablet":
    case "hang-tablet":
      return killOrHang(world, tabletFor(world, one, context), one);
    case "power-loss": {
      const name = tabletFor(world, one, context);
      if (name === undefined) return undefined;
      context.listener.beforeDamage();
      model.powerLoss(name);
      context.listener.afterDamage();
      clock.setTimer(one.forMs, () => startIfDown(world, name));
      return `power loss of ${name}, back after ${one.forMs} ms`;
    }
    case "lose-answer-reset":
    case "lose-answer-silence": {
      const how = one.kind === "lose-answer-reset" ? "reset" : "silence";
      const method = pick(choice, METHODS);
      model.loseAnswers(method, 1 + (one.forMs % 3), how);
      return `answers of ${method} get lost (${how})`;
    }
    case "fail-op":
      model.failOp(pick(choice, OP_TASKS), 1 + (one.forMs % 4));
      return `steps ${pick(choice, OP_TASKS)} fail`;
    case "stick-op":
      model.stickOp(pick(choice, OP_TASKS), 1);
      clock.setTimer(one.forMs * 20, () => model.unstickOps());
      return `a step ${pick(choice, OP_TASKS)} gets stuck for ${one.forMs * 20} ms`;
    case "fail-load":
    case "slow-load":
      return disturbLoads(world, one, context);
    case "zookeeper-down":
      world.isZooKeeperDown = true;
      clock.setTimer(one.forMs, () => {
        world.isZooKeeperDown = false;
      });
      return `ZooKeeper is down for ${one.forMs} ms`;
    case "session-lost":
    case "lock-stolen":
    case "switched-on":
    case "kill-sending-tablet":
      return actAsOtherClient(world, one, context);
    default:
      write(world, choice, 30);
      context.listener.afterDamage();
      return "clients write";
  }
}

/** Actions of other clients that affect the tool, or the op that it waits for. */
function actAsOtherClient(world: World, one: Fault, context: FaultContext): string | undefined {
  const { model, tool } = world;
  if (one.kind === "kill-sending-tablet") {
    killSender(world, one, context, SEND_WAIT_MS);
    return undefined;
  }
  if (one.kind === "switched-on") {
    if (model.leader === undefined || model.leader.autoFailover) return undefined;
    model.leader.setAutoFailover(true);
    context.listener.onSwitchedOn();
    return "another client switches auto_failover on";
  }
  if (tool === undefined || world.isZooKeeperDown) return undefined;
  tool.loseSession();
  if (one.kind === "session-lost") return "the tool's session expires";
  return takeLock(world, one.forMs) ? "another run takes the lock" : "the tool's session expires";
}

/** Another run takes the lock while it is free, and ends some time later. */
function takeLock(world: World, forMs: number): boolean {
  const other = treeZooKeeper(world.tree);
  const path = opsPath(world.model.root, "lock");
  if (world.tree.get(path) !== undefined) return false;
  const owner: RunOwner = {
    runId: "run-other",
    host: "machine-0.invalid",
    pid: 4711,
    user: "other",
    command: "openmldb-ops --cmd=recoverdata",
    time: "2023-11-14T22:13:20.000Z",
  };
  void other.create(path, encode(owner, { sessionTimeoutMs: TOOL_SESSION_MS }), "ephemeral");
  world.clock.setTimer(forMs, () => void other.close());
  return true;
}

/** The longest time to wait for an op that sends a snapshot, in order to kill its sender or receiver. */
const SEND_WAIT_MS = 60_000;
const SEND_POLL_MS = 20;

/** Kills the sender or the receiver of a snapshot as soon as an op sends one. */
function killSender(world: World, one: Fault, context: FaultContext, leftMs: number): void {
  const { model, clock } = world;
  if (context.isOver()) return;
  const isSending = ({ tasks: [task], step }: QueuedOp) =>
    task?.type === TaskType.kSendSnapshot && step !== "failed";
  const op = model.leader?.ops.list().find(isSending);
  if (op === undefined) {
    const again = () => killSender(world, one, context, leftMs - SEND_POLL_MS);
    if (leftMs > 0) clock.setTimer(SEND_POLL_MS, again);
    return;
  }
  const [task] = op.tasks;
  const sender = task !== undefined && "endpoint" in task ? task.endpoint : undefined;
  const name = one.choice < 0.5 ? sender : op.data.endpoint;
  const what = killOrHang(world, name, { ...one, kind: "kill-tablet" });
  if (what === undefined) return;
  world.note(`fault: while a snapshot is sent, ${what}`);
  context.listener.onFault(one.kind, "kSendSnapshot");
}

function killOrHang(world: World, name: string | undefined, one: Fault): string | undefined {
  const { model, clock } = world;
  // A restarted tablet of another cluster has nothing loaded, so no answer shows that it is of another cluster.
  if (name === undefined || !model.process(name).isAnswering || isForeignTablet(model, name)) {
    return undefined;
  }
  if (one.kind.startsWith("kill")) {
    model.kill(name);
    clock.setTimer(one.forMs, () => startIfDown(world, name));
    return `${name} is killed, back after ${one.forMs} ms`;
  }
  model.hang(name);
  clock.setTimer(one.forMs, () => model.resume(name));
  return `${name} hangs for ${one.forMs} ms`;
}

/** Starts a process that is down, unless it was started meanwhile or moved to another address. */
export function startIfDown(world: World, name: string): void {
  const process = world.model.process(name);
  if (!process.isUp && !world.gone.has(process.endpoint)) process.start();
}

/** The tablet that the current call concerns, or any tablet that answers. */
function tabletFor(world: World, one: Fault, { mutation, away }: FaultContext): string | undefined {
  const { model } = world;
  const named = [mutation?.request["endpoint"], mutation?.called];
  const called = named.find((name) => typeof name === "string" && model.tablets.has(name));
  if (one.kind === "kill-called-tablet" && typeof called === "string") return called;
  const up = [...model.tablets.keys()].filter(
    (name) =>
      model.process(name).isAnswering && !away.includes(name) && !isForeignTablet(model, name),
  );
  return up.length === 0 ? undefined : pick(fixed(one.choice), up);
}

function disturbLoads(world: World, one: Fault, context: FaultContext): string | undefined {
  const name = tabletFor(world, one, context);
  if (name === undefined) return undefined;
  if (one.kind === "fail-load") {
    world.model.failLoad(name, 1 + (one.forMs % 3));
    return `loads fail on ${name}`;
  }
  world.model.slowLoad(name, one.forMs);
  return `loads on ${name} take ${one.forMs} ms more`;
}

/** Ends all faults: every process that is not away for good runs and answers. */
export async function endFaults(world: World, away: readonly string[]): Promise<void> {
  const { model, clock } = world;
  world.isZooKeeperDown = false;
  for (const task of OP_TASKS) {
    model.failOp(task, 0);
    model.stickOp(task, 0);
  }
  for (const method of METHODS) model.loseAnswers(method, 0);
  for (const name of model.tablets.keys()) {
    model.failLoad(name, 0);
    model.slowLoad(name, 0);
  }
  for (const process of model.processes) {
    process.resume();
    if (!process.isUp && !away.includes(process.endpoint)) process.start();
  }
  await clock.advance(60_000);
  model.unstickOps();
  await clock.advance(5_000);
}
