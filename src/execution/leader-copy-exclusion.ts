import type { Step } from "../model/step.js";

/** Sides of which only one is at work at a time. */
type Side = "leaders" | "copies";

/**
 * Keeps changes of leaders and everything that copies data apart. While a leader is changed its
 * partition takes no writes, and its op waits in the nameserver's queues: behind a copy it would wait
 * for minutes. What brings the old leader back belongs to the change.
 */
export interface LeaderCopyExclusion {
  /** What one lane holds; the lane leaves at its end. */
  newPass(): Pass;
}

/** The place of one lane on one of the sides. */
export interface Pass {
  /**
   * Waits until the side of a step is free.
   *
   * @param before The step before it in the same lane.
   */
  enter(step: Step, before: Step | undefined): Promise<void>;
  leave(): void;
}

/** Lets any number of lanes in on one side; a lane that waits for the other keeps more from entering. */
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
    newPass() {
      let held: Side | undefined;
      const giveUp = () => {
        if (held !== undefined) leave();
        held = undefined;
      };
      return {
        async enter(step, before) {
          const side = sideOf(step, before);
          if (side === held) return;
          giveUp();
          await enter(side);
          held = side;
        },
        leave: giveUp,
      };
    },
  };
}

function sideOf(step: Step, before: Step | undefined): Side {
  if (step.kind === "change-leader") return "leaders";
  const bringsBack = step.kind === "recover-table" || step.kind === "rejoin";
  return bringsBack && before?.kind === "change-leader" ? "leaders" : "copies";
}
