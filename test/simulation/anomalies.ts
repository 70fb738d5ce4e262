import type { Outage } from "./outage.js";
import { isForeignTablet, partsOf } from "./partitions.js";
import { pick, type Shape, spread, streamOf } from "./shape.js";
import type { World } from "./world.js";

/** The anomalies that a seed can have in addition to its outage. */
const KINDS = [
  "foreign-tablet",
  "foreign-tablet-for-good",
  "foreign-tablet-unloaded",
  "moved",
  "lost-for-good",
  "nodes-left",
  "lock-left",
  "hung",
  "blips",
] as const;

/** Duration of a network failure, and the longest time between two. */
const BLIP_MS = 300;
const BETWEEN_BLIPS_MS = 4_000;

/** The anomaly of one seed. */
export interface Anomaly {
  /** The name of the kind, for the statistics. */
  readonly word: string;
  /** Called before the first run under faults. */
  begin(): void;
  /** Called when all faults have ended: ends a temporary anomaly; a permanent one stays. */
  end(): void;
}

/** Applies one of the anomalies after the outage. Adds the tablets that never return to `outage.away`. */
export function applyAnomaly(world: World, shape: Shape, outage: Outage): Anomaly {
  const random = streamOf(shape.seed, "anomaly");
  const { model, clock } = world;
  const word = pick(random, KINDS);
  const holders = new Set(
    partsOf(model).flatMap(({ part }) => part.partitionMeta.map((meta) => meta.endpoint)),
  );
  const name = pick(random, [...holders]);
  const nothing = () => undefined;
  const leaveNodes = (killed: string): Anomaly => {
    model.kill(killed, { leavesNodes: true });
    const end = () => {
      // A process that was started meanwhile has its own session and renews it.
      if (!model.process(killed).isUp) model.endSession(killed);
    };
    return { word, begin: nothing, end };
  };
  // A tablet without any of our replicas on its disk cannot be distinguished from one whose disk was wiped.
  const isProvable = [...model.tablet(name).disk.dirs()].length > 0;
  world.note(`anomaly: ${word} ${name}`);
  switch (word) {
    case "foreign-tablet":
    case "foreign-tablet-for-good":
    case "foreign-tablet-unloaded":
      return isProvable
        ? foreignTablet(world, shape, { word, name })
        : { word: "foreign-tablet-without-data", begin: nothing, end: nothing };
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

/**
 * A tablet of another cluster answers at a tablet's address. In some seeds it takes the address during a run, possibly after
 * the run has identified the right tablet.
 */
function foreignTablet(
  { model, clock }: World,
  shape: Shape,
  { word, name }: { readonly word: Anomaly["word"]; readonly name: string },
): Anomaly {
  const random = streamOf(shape.seed, "anomalyDelay");
  const options = { hasLoaded: word !== "foreign-tablet-unloaded" };
  const isLater = random.chance(0.4);
  const delayMs = spread(random, 1, pick(random, [100, 2_000, 60_000]));
  let isOver = false;
  const appear = () => {
    if (!isOver && !isForeignTablet(model, name)) model.putForeignTablet(name, options);
  };
  if (!isLater) appear();
  return {
    word: isLater ? "foreign-tablet-later" : word,
    begin: () => void (isLater && clock.setTimer(delayMs, appear)),
    end: () => {
      isOver = true;
      if (word !== "foreign-tablet-for-good" && isForeignTablet(model, name))
        model.removeForeignTablet(name);
    },
  };
}
