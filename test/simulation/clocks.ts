import { pick, spread, streamOf } from "./shape.js";
import type { World } from "./world.js";

const HOUR_MS = 3_600_000;
/** A run is shorter than this in most seeds, so that most steps come in the middle of one. */
const WITHIN_MS = 30_000;

/**
 * Sets clocks during a run, by up to an hour, forward and back: that of the tool's machine, of a
 * nameserver or of a tablet. No answer of a tablet contains a time, so that its clock changes nothing
 * that the tool could observe.
 *
 * @param onStep Called with the machine whose clock was set.
 */
export function armClockSteps(world: World, seed: number, onStep: (who: string) => void): void {
  const random = streamOf(seed, "clocks");
  if (!random.chance(0.4)) return;
  const { clock, model } = world;
  for (let left = pick(random, [1, 1, 2, 4]); left > 0; left -= 1) {
    const ms = spread(random, 1_000, HOUR_MS) * (random.chance(0.5) ? 1 : -1);
    const who = pick(random, ["tool", "nameserver", "tablet"] as const);
    clock.setTimer(spread(random, 1, WITHIN_MS), () => {
      world.note(`fault: the clock of the ${who} is set by ${ms} ms`);
      onStep(`the ${who}`);
      if (who === "tool") world.toolClockMs += ms;
      if (who !== "nameserver") return;
      world.hasSetNameserverClock = true;
      model.leader?.stepClock(ms);
    });
  }
}
