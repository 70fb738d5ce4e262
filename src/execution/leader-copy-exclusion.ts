import type { Step } from "../model/step.js";

/** The two classes of steps, of which only one runs at a time. */
type Side = "leaders" | "copies";

/**
 * Mutual exclusion between leader changes and steps that copy data; steps of one class run concurrently.
 * During a leader change the partition takes no writes, and behind a copy the op would wait in the
 * nameserver's queue for minutes. A step that recovers the old leader counts as part of the change.
 */
export interface LeaderCopyExclusion {
  /** Creates the part of one lane. */
  forLane(): LaneExclusion;
}

/** What one lane holds of the exclusion: at most one class at a time, until the lane ends. */
export interface LaneExclusion {
  /**
   * Waits until the class of a step may run, and holds it.
   *
   * @param before The step before it in the same lane.
   */
  acquire(step: Step, before: Step | undefined): Promise<void>;
  release(): void;
}

/** Creates the exclusion. While a lane waits for the other class, no further lane of the running class starts. */
export function createLeaderCopyExclusion(): LeaderCopyExclusion {
  let open: Side | undefined;
  let inside = 0;
  const waiting: { readonly side: Side; readonly start: () => void }[] = [];
  const admit = () => {
    open = waiting[0]?.side;
    for (const one of waiting.filter((each) => each.side === open)) {
      waiting.splice(waiting.indexOf(one), 1);
      inside += 1;
      one.start();
    }
  };
  const enter = (side: Side) =>
    new Promise<void>((resolve) => {
      waiting.push({ side, start: resolve });
      if (inside === 0) admit();
      else if (open === side && waiting.every((one) => one.side === side)) admit();
    });
  const leave = () => {
    inside -= 1;
    if (inside === 0) admit();
  };
  return {
    forLane() {
      let held: Side | undefined;
      const release = () => {
        if (held !== undefined) leave();
        held = undefined;
      };
      return {
        async acquire(step, before) {
          const side = sideOf(step, before);
          if (side === held) return;
          release();
          await enter(side);
          held = side;
        },
        release,
      };
    },
  };
}

function sideOf(step: Step, before: Step | undefined): Side {
  if (step.kind === "change-leader") return "leaders";
  const recoversFollower = step.kind === "recover-table" || step.kind === "rejoin";
  return recoversFollower && before?.kind === "change-leader" ? "leaders" : "copies";
}
