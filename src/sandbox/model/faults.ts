import type { TaskType } from "../../gen/openmldb/api_pb.js";
import type { QueuedOp } from "../nameserver/ops.js";
import type { Random } from "./random.js";

/** Faults of ops, by request or at random. */
export class Faults {
  readonly #random: Random;
  readonly #recoverFailure: number;
  readonly #failures = new Map<TaskType, number>();
  readonly #sticking = new Map<TaskType, number>();
  readonly #stuck = new Set<QueuedOp>();

  /** @param recoverFailure Probability that the first step of a kRecoverTableOP fails. */
  constructor(random: Random, recoverFailure: number) {
    this.#random = random;
    this.#recoverFailure = recoverFailure;
  }

  /** The next `count` steps of that type fail without any effect. */
  failNext(type: TaskType, count: number): void {
    this.#failures.set(type, count);
  }

  /** The next `count` steps of that type start and never end. */
  stickNext(type: TaskType, count: number): void {
    this.#sticking.set(type, count);
  }

  /** True if a step of that type fails now. */
  fails(type: TaskType): boolean {
    return take(this.#failures, type);
  }

  /** True if the race at kDelReplica happens now: the step has its effect, and the op fails. */
  recoverFails(): boolean {
    return this.#recoverFailure > 0 && this.#random.chance(this.#recoverFailure);
  }

  /** True if a step of that type gets stuck now. */
  stick(op: QueuedOp, type: TaskType): boolean {
    if (take(this.#sticking, type)) this.#stuck.add(op);
    return this.#stuck.has(op);
  }

  isStuck(op: QueuedOp): boolean {
    return this.#stuck.has(op);
  }

  /** @returns Whether it was stuck. */
  release(op: QueuedOp): boolean {
    return this.#stuck.delete(op);
  }
}

function take(counts: Map<TaskType, number>, type: TaskType): boolean {
  const left = counts.get(type) ?? 0;
  if (left > 0) counts.set(type, left - 1);
  return left > 0;
}
