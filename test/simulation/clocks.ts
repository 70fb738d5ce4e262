import { pick, spread, streamOf } from "./shape.js";
import type { World } from "./world.js";

const HOUR_MS = 3_600_000;
/** Longer than a run in most seeds, so that most clocks are set during one. */
const WITHIN_MS = 30_000;

/**
 * Sets clocks during a run, forward or back by up to an hour: that of the tool's machine, of a nameserver or of a tablet. No
 * answer of a tablet contains a time, so its clock changes nothing that the tool can observe.
 *
 * @param onStep Called with the machine whose clock was set.
 */
export function armClockSteps(world: World, seed: number, onStep: (machine: string) => void): void {
  const random = streamOf(seed, "clocks");
  if (!random.chance(0.4)) return;
  const { clock, model } = world;
  for (let left = pick(random, [1, 1, 2, 4]); left > 0; left -= 1) {
    const ms = spread(random, 1_000, HOUR_MS) * (random.chance(0.5) ? 1 : -1);
    const machine = pick(random, ["tool", "nameserver", "tablet"] as const);
    clock.setTimer(spread(random, 1, WITHIN_MS), () => {
      world.note(`fault: the clock of the ${machine} is set by ${ms} ms`);
      onStep(`the ${machine}`);
      if (machine === "tool") world.toolClockMs += ms;
      if (machine !== "nameserver") return;
      world.hasSetNameserverClock = true;
      model.leader?.stepClock(ms);
    });
  }
}
