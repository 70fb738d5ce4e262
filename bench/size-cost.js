// The cost of this process. A block is the time between two turns of a timer of 2 ms. The processor time of the main thread in a
// block distinguishes one that the tool causes from one of a busy machine.
import { openSync, readSync } from "node:fs";

const TICK_MS = 2;
const stat = openSync("/proc/thread-self/schedstat", "r");
const text = Buffer.alloc(64);

/** Milliseconds for which the main thread has had a processor (Linux). */
function computedMs() {
  const length = readSync(stat, text, 0, text.length, 0);
  return Number.parseInt(text.toString("latin1", 0, length), 10) / 1e6;
}

/** Starts the measurement. @returns A function that returns the costs so far. */
export function watchCost() {
  const cpu = process.cpuUsage();
  let last = { wall: performance.now(), computed: computedMs() };
  let blockMs = 0;
  let mostComputedMs = 0;
  const tick = () => {
    const now = { wall: performance.now(), computed: computedMs() };
    blockMs = Math.max(blockMs, now.wall - last.wall - TICK_MS);
    mostComputedMs = Math.max(mostComputedMs, now.computed - last.computed);
    last = now;
  };
  setInterval(tick, TICK_MS).unref();
  return () => {
    tick();
    const { user, system } = process.cpuUsage(cpu);
    const rssMiB = process.resourceUsage().maxRSS / 1024;
    return { blockMs, computedMs: mostComputedMs, cpuMs: (user + system) / 1000, rssMiB };
  };
}
