import { OPType, TaskStatus, TaskType } from "../../gen/openmldb/api_pb.js";
import { putZnode } from "../table-store.js";
import type { NameserverState } from "./nameserver-state.js";
import { buildTasks } from "./op-tasks.js";
import { newOp, type OpData, type OpTask, opBytes, opName, type QueuedOp, readOp } from "./ops.js";

/** Parent id of an op that has none (the largest unsigned 64-bit number). */
const NO_PARENT = 18_446_744_073_709_551_615n;
/** How often the end of an op is retried while a healthy tablet does not answer. */
const END_RETRY_MS = 500;
/** max_op_num: the number of ended ops that are kept. */
const ENDED_MAX = 10_000;

/**
 * The op queues of a leading nameserver. Queues run in parallel, each strictly one op at a time; a
 * child op runs directly after its parent in the same queue.
 *
 * @see OpenMLDB 0.9 nameserver: ProcessTask, UpdateTaskStatus, AddOPData, DeleteTask
 */
export class OpQueues {
  readonly #server: NameserverState;
  readonly #queues: QueuedOp[][];
  readonly #ended: QueuedOp[] = [];

  constructor(server: NameserverState) {
    this.#server = server;
    const { taskConcurrencyMax } = server.context.options;
    this.#queues = Array.from({ length: taskConcurrencyMax }, () => []);
  }

  /** All known ops, oldest first. */
  list(): QueuedOp[] {
    const all = [...this.#ended, ...this.#queues.flat()];
    return all.sort((a, b) => (a.info.opId < b.info.opId ? -1 : 1));
  }

  /**
   * Creates an op and queues it.
   *
   * @returns False if it cannot be created; OpenMLDB's callers mostly do not report it.
   */
  create(
    type: OPType,
    of: { readonly name: string; readonly db: string; readonly pid: number },
    data: OpData,
    place: { readonly concurrency?: number; readonly parentId?: bigint } = {},
  ): boolean {
    const { concurrency = this.#server.context.options.taskConcurrency } = place;
    const { parentId = NO_PARENT } = place;
    // The counter grows even if the op cannot be created.
    const id = this.#server.nextOpId();
    const op = newOp({ ...of, id, type, parentId }, data);
    const tasks = buildTasks(this.#server, op);
    if (tasks === undefined) {
      this.#server.log(`${opName(op)} not created`);
      return false;
    }
    for (const task of tasks) op.tasks.push(task);
    const size = this.#queues.length;
    const index = concurrency > 0 && concurrency < size ? of.pid % concurrency : of.pid % size;
    op.info.vecIdx = index;
    this.#write(op);
    this.#insert(index, op, parentId);
    this.#server.log(`${opName(op)} queued`);
    this.#advance(index);
    return true;
  }

  #insert(index: number, op: QueuedOp, parentId: bigint): void {
    const queue = this.#queues[index] as QueuedOp[];
    const parent = queue.findIndex((other) => other.info.opId === parentId);
    if (parent >= 0) queue.splice(parent + 1, 0, op);
    else queue.push(op);
  }

  /** Rebuilds the queues from the znodes of the ops, as a new leader does. */
  recover(): void {
    const { tree, root, endpoints } = this.#server.context;
    const parent = `${root}/op/op_data`;
    const names = [...(tree.children(parent) ?? [])].sort((a, b) =>
      BigInt(a) < BigInt(b) ? -1 : 1,
    );
    for (const name of names) {
      const bytes = tree.get(`${parent}/${name}`)?.data;
      if (bytes !== undefined) this.#restore(readOp(bytes, endpoints()));
    }
    for (const queue of this.#queues) {
      queue.sort((a, b) => compareOps(a, b));
    }
    for (const index of this.#queues.keys()) this.#advance(index);
  }

  #restore(op: QueuedOp): void {
    const { taskStatus, taskIndex, pid, vecIdx } = op.info;
    if (taskStatus === TaskStatus.kDone || taskStatus === TaskStatus.kCanceled) return;
    const tasks = buildTasks(this.#server, op);
    if (tasks === undefined || taskIndex >= tasks.length) return;
    const from = taskStatus === TaskStatus.kInited ? 0 : taskIndex;
    for (const task of tasks.slice(from)) op.tasks.push(task);
    if (taskStatus === TaskStatus.kFailed) {
      this.#ended.push(op);
      return;
    }
    const current = op.tasks[0];
    // A tablet's step is polled, a step of the nameserver is run again. kChangeLeader is neither: no tablet
    // is polled, and it stays in progress forever (SkipDoneTask, Task::SetState).
    const isAwaited =
      current !== undefined && ("endpoint" in current || current.type === TaskType.kChangeLeader);
    op.step = taskStatus === TaskStatus.kDoing && isAwaited ? "doing" : "inited";
    const size = this.#queues.length;
    this.#queues[vecIdx < size ? vecIdx : pid % size]?.push(op);
  }

  /** Polls the tablets about their steps (every 2 s). */
  poll(): void {
    for (const [index, queue] of this.#queues.entries()) {
      const op = queue[0];
      const task = op?.tasks[0];
      if (op === undefined || task === undefined || op.step !== "doing" || !("endpoint" in task))
        continue;
      if (this.#server.faults.isStuck(op)) continue;
      const status = this.#statusOf(op, task.endpoint, task.type);
      if (status === "done") this.#next(index, op);
      if (status === "failed") this.#failStep(index, op);
    }
  }

  #statusOf(op: QueuedOp, endpoint: string, type: TaskType): "doing" | "done" | "failed" {
    const { context, tablets } = this.#server;
    const tablet = context.reachable(endpoint);
    if (tablet !== undefined) return tablet.opTasks.get(taskKey(op, type)) ?? "failed";
    const state = tablets.get(endpoint);
    const isGone =
      state !== undefined &&
      !state.isHealthy &&
      this.#server.wallTime() - state.since >= context.options.heartbeatTimeoutMs;
    return isGone ? "failed" : "doing";
  }

  /** Advances the first op of a queue as far as possible without waiting. */
  #advance(index: number): void {
    const op = this.#queues[index]?.[0];
    if (op === undefined || op.step === "due" || op.step === "doing") return;
    const { info } = op;
    if (info.taskStatus === TaskStatus.kCanceled || op.tasks.length === 0 || op.step === "failed") {
      this.#end(index, op);
      return;
    }
    if (info.taskStatus === TaskStatus.kInited) {
      info.taskStatus = TaskStatus.kDoing;
      info.startTime = this.#server.seconds();
      this.#write(op);
    }
    op.step = "due";
    this.#server.after(this.#server.context.options.opStepMs, () => this.#run(index, op));
  }

  #run(index: number, op: QueuedOp): void {
    // It may have been deleted meanwhile.
    if (this.#queues[index]?.[0] !== op) return;
    const task = op.tasks[0];
    if (task === undefined || op.info.taskStatus === TaskStatus.kCanceled) {
      op.step = "inited";
      this.#advance(index);
      return;
    }
    op.step = "doing";
    const { faults } = this.#server;
    if (faults.stick(op, task.type)) return;
    if (faults.fails(task.type)) this.#failStep(index, op);
    else if ("endpoint" in task) this.#start(index, op, task);
    else this.#runLocal(index, op, task);
  }

  #runLocal(index: number, op: QueuedOp, task: Extract<OpTask, { run: unknown }>): void {
    const result = task.run();
    if (result === "done") this.#next(index, op);
    else if (result === "failed") this.#failStep(index, op);
    else {
      const { tableStatusMs } = this.#server.context.options;
      this.#server.after(tableStatusMs, () => this.#run(index, op));
    }
  }

  #start(index: number, op: QueuedOp, task: Extract<OpTask, { start: unknown }>): void {
    const tablet = this.#server.context.reachable(task.endpoint);
    if (tablet === undefined) {
      this.#failStep(index, op);
      return;
    }
    const key = taskKey(op, task.type);
    tablet.opTasks.set(key, "doing");
    const answer = task.start(tablet, (isDone) =>
      tablet.opTasks.set(key, isDone ? "done" : "failed"),
    );
    const isRace = op.info.opType === OPType.kRecoverTableOP && this.#server.faults.recoverFails();
    if (answer.code !== 0 || isRace) this.#failStep(index, op);
  }

  #next(index: number, op: QueuedOp): void {
    op.tasks.shift();
    op.info.taskIndex += 1;
    op.step = "inited";
    this.#write(op);
    this.#advance(index);
  }

  #failStep(index: number, op: QueuedOp): void {
    op.step = "failed";
    this.#advance(index);
  }

  /** All healthy tablets must first delete the op's steps; one that does not answer blocks the queue. */
  #end(index: number, op: QueuedOp): void {
    const { context } = this.#server;
    const healthy = [...this.#server.tablets].filter(([, state]) => state.isHealthy);
    const tablets = healthy.map(([endpoint]) => context.reachable(endpoint));
    if (tablets.some((tablet) => tablet === undefined)) {
      this.#server.after(END_RETRY_MS, () => this.#advance(index));
      return;
    }
    for (const tablet of tablets) {
      for (const key of [...(tablet?.opTasks.keys() ?? [])]) {
        if (key.startsWith(`${op.info.opId}/`)) tablet?.opTasks.delete(key);
      }
    }
    this.#settle(op);
    const queue = this.#queues[index] as QueuedOp[];
    queue.splice(queue.indexOf(op), 1);
    this.#ended.push(op);
    if (this.#ended.length > ENDED_MAX) this.#forget(this.#ended.shift());
    this.#advance(index);
  }

  #settle(op: QueuedOp): void {
    const { info } = op;
    info.endTime = this.#server.seconds();
    if (op.step === "failed") {
      info.taskStatus = TaskStatus.kFailed;
      this.#write(op);
    } else {
      if (info.taskStatus === TaskStatus.kDoing) info.taskStatus = TaskStatus.kDone;
      this.#removeZnode(op);
    }
    this.#server.log(`${opName(op)} ended ${TaskStatus[info.taskStatus]} at ${currentTask(op)}`);
  }

  /** Runs the stuck steps. */
  unstick(): void {
    for (const [index, queue] of this.#queues.entries()) {
      const op = queue[0];
      if (op !== undefined && this.#server.faults.release(op)) this.#run(index, op);
    }
  }

  /** @returns False if there is no such op waiting or in progress. */
  cancel(id: bigint): boolean {
    for (const [index, queue] of this.#queues.entries()) {
      const op = queue.find((other) => other.info.opId === id);
      if (op === undefined) continue;
      op.info.taskStatus = TaskStatus.kCanceled;
      this.#server.faults.release(op);
      if (queue[0] === op) {
        op.step = "inited";
        this.#advance(index);
      }
      return true;
    }
    return false;
  }

  /** Deletes the matching ops, ended or not, and their znodes. @returns How many. */
  delete(matches: (op: QueuedOp) => boolean): number {
    let count = 0;
    for (const list of [this.#ended, ...this.#queues]) {
      for (const op of list.filter(matches)) {
        list.splice(list.indexOf(op), 1);
        this.#forget(op);
        count += 1;
      }
    }
    for (const index of this.#queues.keys()) this.#advance(index);
    return count;
  }

  /** Adds given ops, ended ones to the list, others to their queues (for recordings). */
  install(ops: readonly QueuedOp[]): void {
    for (const op of ops) {
      const { taskStatus } = op.info;
      if (taskStatus === TaskStatus.kInited || taskStatus === TaskStatus.kDoing) {
        this.#write(op);
        this.#restore(op);
      } else {
        this.#ended.push(op);
      }
    }
    for (const index of this.#queues.keys()) this.#advance(index);
  }

  #forget(op: QueuedOp | undefined): void {
    if (op !== undefined) this.#removeZnode(op);
  }

  #write(op: QueuedOp): void {
    const { tree, root } = this.#server.context;
    putZnode(tree, `${root}/op/op_data/${op.info.opId}`, opBytes(op));
  }

  #removeZnode(op: QueuedOp): void {
    const { tree, root } = this.#server.context;
    const path = `${root}/op/op_data/${op.info.opId}`;
    if (tree.get(path) !== undefined) tree.remove(path);
  }
}

function taskKey(op: QueuedOp, type: TaskType): string {
  return `${op.info.opId}/${type}`;
}

/** The name of an op's current step, `-` if none, as in ShowOPStatus. */
export function currentTask(op: QueuedOp): string {
  const task = op.tasks[0];
  return task === undefined || op.info.taskStatus === TaskStatus.kInited
    ? "-"
    : (TaskType[task.type] ?? "-");
}

/** Ops without a parent sort last, as their parent id is the largest number. */
function compareOps(a: QueuedOp, b: QueuedOp): number {
  if (a.info.parentId !== b.info.parentId) return a.info.parentId < b.info.parentId ? -1 : 1;
  return a.info.opId < b.info.opId ? -1 : 1;
}
