import type { Action } from "../model/action.js";

/** Kinds of actions that must not run at the same time. */
export type Room = "leaders" | "copies";

/**
 * Changes of leaders on one side, everything that copies data on the other. While a leader is changed
 * its partition takes no writes, and its op waits in the nameserver's queues: behind a copy it would
 * wait for minutes. What brings the old leader back belongs to the change.
 */
export function roomOf(action: Action, before: Action | undefined): Room {
  if (action.verb === "change-leader") return "leaders";
  return action.verb === "recover-table" && before?.verb === "change-leader" ? "leaders" : "copies";
}

/** Lets any number in that want the same room, and nobody while the other one is in use. */
export interface Rooms {
  /** Waits until the room is free. Each entry is followed by one `leave`. */
  enter(room: Room): Promise<void>;
  leave(): void;
}

/** Makes a pair of rooms. Who waits for one room keeps others from entering the one in use. */
export function createRooms(): Rooms {
  let open: Room | undefined;
  let inside = 0;
  const waiting: { readonly room: Room; readonly start: () => void }[] = [];
  const admit = () => {
    open = waiting[0]?.room;
    for (const one of waiting.filter((each) => each.room === open)) {
      waiting.splice(waiting.indexOf(one), 1);
      inside += 1;
      one.start();
    }
  };
  return {
    enter: (room) =>
      new Promise((resolve) => {
        waiting.push({ room, start: resolve });
        if (inside === 0) admit();
        else if (open === room && waiting.every((one) => one.room === room)) admit();
      }),
    leave() {
      inside -= 1;
      if (inside === 0) admit();
    },
  };
}
