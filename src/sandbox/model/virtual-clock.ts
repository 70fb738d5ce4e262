import { sleepOn } from "../../cluster/real-clock.js";
import type { Clock } from "../../model/clock.js";

/** A clock with timers; the model has no other source of time. */
export interface SandboxClock extends Clock {
  /**
   * Calls `fn` once, after `ms` milliseconds of this clock.
   *
   * @returns A function that cancels the timer; harmless after the timer has fired.
   */
  setTimer(ms: number, fn: () => void): () => void;
}

interface Timer {
  readonly at: number;
  readonly sequence: number;
  fn: (() => void) | undefined;
}

function earlier(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.sequence < b.sequence);
}

/** Runs all pending promise callbacks. */
function drainMicrotasks(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** With fewer cancelled timers than this, removing them is not worth it. */
const COMPACT_MIN = 1_000;

/**
 * A clock that only moves when driven, so that hours pass in milliseconds and runs with equal seeds are
 * equal. Timers fire in the order (time, order of creation).
 */
export class VirtualClock implements SandboxClock {
  #now: number;
  /** Offset of the wall clock from {@link VirtualClock.now}. */
  #stepped = 0;
  #sequence = 0;
  /** Binary heap, the earliest timer first. Cancelled timers stay until they are due or outnumber the others. */
  #heap: Timer[] = [];
  /** Number of timers in the heap that are cancelled. */
  #cancelled = 0;

  /** @param startMs Milliseconds since the epoch at which the clock starts; `now` starts there, too. */
  constructor(startMs = 1_700_000_000_000) {
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  wallTime(): number {
    return this.#now + this.#stepped;
  }

  /** Sets the wall clock forward, or back with a negative number; timers are not affected. */
  stepWallTime(ms: number): void {
    this.#stepped += ms;
  }

  /** The number of timers: active ones, and at most as many (or 1,000) cancelled ones. */
  get timerCount(): number {
    return this.#heap.length;
  }

  setTimer(ms: number, fn: () => void): () => void {
    const timer: Timer = { at: this.#now + Math.max(0, ms), sequence: this.#sequence++, fn };
    this.#push(timer);
    return () => {
      if (timer.fn === undefined) return;
      timer.fn = undefined;
      this.#cancelled += 1;
      this.#compact();
    };
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleepOn((after, fn) => this.setTimer(after, fn), ms, signal);
  }

  /**
   * Advances time until `work` settles: runs all promise callbacks, fires the next timer, and so on.
   *
   * @param work The work, or a function that starts it.
   * @param limitMs The limit in virtual milliseconds.
   * @returns The result of `work`; its rejection is passed on.
   * @throws Error when the limit has passed, or when no timer is left and `work` still waits.
   */
  async run<T>(work: Promise<T> | (() => Promise<T>), limitMs: number): Promise<T> {
    const deadline = this.#now + limitMs;
    const promise = typeof work === "function" ? work() : work;
    let settled = false;
    const mark = () => {
      settled = true;
    };
    promise.then(mark, mark);
    for (;;) {
      await drainMicrotasks();
      if (settled) {
        return promise;
      }
      const timer = this.#pop();
      if (timer === undefined) {
        throw new Error("virtual clock: the work waits, but no timer is left");
      }
      if (timer.at > deadline) {
        this.#push(timer);
        this.#now = deadline;
        throw new Error(`virtual clock: the work has not ended within ${limitMs} ms`);
      }
      this.#fire(timer);
    }
  }

  /** Advances `ms` milliseconds, with everything that happens in them. */
  async advance(ms: number): Promise<void> {
    await this.run(() => this.sleep(ms), ms);
  }

  /** Fires one timer. Others of the same time fire after the promise callbacks that it triggers. */
  #fire(timer: Timer): void {
    const { at, fn } = timer;
    this.#now = at;
    // From now on cancelling it has no effect.
    timer.fn = undefined;
    fn?.();
  }

  /** Removes the cancelled timers when they are most of the heap: each call leaves its deadline there. */
  #compact(): void {
    if (this.#cancelled < COMPACT_MIN || this.#cancelled * 2 < this.#heap.length) return;
    // A sorted array is a valid heap.
    this.#heap = this.#heap
      .filter((timer) => timer.fn !== undefined)
      .sort((a, b) => (earlier(a, b) ? -1 : 1));
    this.#cancelled = 0;
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(timer);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent] as Timer;
      if (!earlier(timer, above)) {
        break;
      }
      heap[index] = above;
      index = parent;
    }
    heap[index] = timer;
  }

  /** Takes the earliest timer that was not cancelled. */
  #pop(): Timer | undefined {
    for (;;) {
      const top = this.#popAny();
      if (top === undefined || top.fn !== undefined) {
        return top;
      }
      this.#cancelled -= 1;
    }
  }

  #popAny(): Timer | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (last === undefined || top === undefined || heap.length === 0) {
      return top;
    }
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) {
        break;
      }
      const right = heap[child + 1];
      if (right !== undefined && earlier(right, heap[child] as Timer)) {
        child += 1;
      }
      if (!earlier(heap[child] as Timer, last)) {
        break;
      }
      heap[index] = heap[child] as Timer;
      index = child;
    }
    heap[index] = last;
    return top;
  }
}

/**
 * A real clock with a factor: one real second is `speed` seconds of this clock. Its timers do not keep
 * the process alive.
 *
 * @param speed Greater than 0; 1 is real time.
 */
export function scaledClock(speed: number): SandboxClock {
  const startMs = Date.now();
  const startTick = performance.now();
  const elapsed = () => (performance.now() - startTick) * speed;
  const clock: SandboxClock = {
    now: elapsed,
    wallTime: () => startMs + elapsed(),
    setTimer(ms, fn) {
      const timer = setTimeout(fn, Math.max(0, ms) / speed);
      timer.unref();
      return () => clearTimeout(timer);
    },
    sleep: (ms, signal) => sleepOn(clock.setTimer, ms, signal),
  };
  return clock;
}
