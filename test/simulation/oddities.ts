import type { Outage } from "./outage.js";
import { isStranger, partsOf } from "./partitions.js";
import { pick, type Shape, spread, streamOf } from "./shape.js";
import type { World } from "./world.js";

/**
 * The conditions that a seed can have in addition to its outage, such as a tablet that does not come
 * back.
 */
const KINDS = [
  "stranger",
  "stranger-for-good",
  "stranger-unloaded",
  "moved",
  "lost-for-good",
  "nodes-left",
  "lock-left",
  "hung",
  "blips",
] as const;

/** Length of a blip, and how far apart they are at most. */
const BLIP_MS = 300;
const BETWEEN_BLIPS_MS = 4_000;

/** An oddity of one seed. */
export interface Oddity {
  /** The name of the kind, for the statistics. */
  readonly word: string;
  /** Called when a run under faults begins. */
  begin(): void;
  /** Ends the temporary oddities, once all faults have ended; permanent ones stay. */
  end(): void;
}

/**
 * Makes something odd of a cluster after its outage. Tablets that stay away for good are added to
 * `outage.away`.
 */
export function makeOdd(world: World, shape: Shape, outage: Outage): Oddity {
  const random = streamOf(shape.seed, "odd");
  const { model, clock } = world;
  const word = pick(random, KINDS);
  const holders = new Set(
    partsOf(model).flatMap(({ part }) => part.partitionMeta.map((meta) => meta.endpoint)),
  );
  const name = pick(random, [...holders]);
  const nothing = () => undefined;
  const leaveNodes = (victim: string): Oddity => {
    model.kill(victim, { leavesNodes: true });
    const end = () => {
      // A process that was started meanwhile has a session of its own, which it keeps up.
      if (!model.process(victim).isUp) model.endSession(victim);
    };
    return { word, begin: nothing, end };
  };
  // A tablet without anything of ours on its disk passes for one whose disk was wiped.
  const isProvable = [...model.tablet(name).disk.dirs()].length > 0;
  world.note(`oddity: ${word} ${name}`);
  switch (word) {
    case "stranger":
    case "stranger-for-good":
    case "stranger-unloaded":
      return isProvable
        ? stranger(world, shape, { word, name })
        : { word: "stranger-without-data", begin: nothing, end: nothing };
    case "moved":
      model.move(name, { endpoint: "z:9527", address: "z:9527" });
      outage.away.push(name);
      return { word, begin: nothing, end: nothing };
    case "lost-for-good":
      model.kill(name);
      outage.away.push(name);
      return { word, begin: nothing, end: nothing };
    case "nodes-left":
      return leaveNodes(name);
    case "lock-left":
      return leaveNodes(model.leader?.endpoint ?? "nameserver1");
    case "hung":
      model.hang(name);
      return { word, begin: nothing, end: nothing };
    case "blips": {
      let isOver = false;
      const blip = () => {
        if (isOver) return;
        model.blip(BLIP_MS);
        clock.setTimer(BLIP_MS + random.below(BETWEEN_BLIPS_MS), blip);
      };
      return {
        word,
        begin: blip,
        end: () => {
          isOver = true;
        },
      };
    }
  }
}

/** In some seeds it takes the address while a run works, after it may have asked the tablet itself. */
function stranger(
  { model, clock }: World,
  shape: Shape,
  { word, name }: { readonly word: Oddity["word"]; readonly name: string },
): Oddity {
  const random = streamOf(shape.seed, "oddLater");
  const options = { hasLoaded: word !== "stranger-unloaded" };
  const isLater = random.chance(0.4);
  const delayMs = spread(random, 1, pick(random, [100, 2_000, 60_000]));
  let isOver = false;
  const come = () => {
    if (!isOver && !isStranger(model, name)) model.putForeignTablet(name, options);
  };
  if (!isLater) come();
  return {
    word: isLater ? "stranger-later" : word,
    begin: () => void (isLater && clock.setTimer(delayMs, come)),
    end: () => {
      isOver = true;
      if (word !== "stranger-for-good" && isStranger(model, name)) model.removeForeignTablet(name);
    },
  };
}
