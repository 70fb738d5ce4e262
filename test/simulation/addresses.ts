import { putZnode } from "../../src/sandbox/table-store.js";
import type { Anomaly } from "./anomalies.js";
import type { Outage } from "./outage.js";
import { partsOf } from "./partitions.js";
import { pick, type Shape, spread, streamOf } from "./shape.js";
import type { World } from "./world.js";

/** Changes of the address of a tablet that has a server name. */
const NAMED = [
  "renumbered",
  "renumbered",
  "entry-stale",
  "entry-stale-for-good",
  "entry-empty",
  "entry-of-another",
  "entry-of-another-for-good",
] as const;

/** Changes of a tablet whose endpoint is its address: it comes back under another endpoint. */
const MOVED = ["moved", "moved", "moved-twice"] as const;

/** The longest time between the first move of a tablet and the second, in milliseconds. */
const MOVES_AGAIN_MS = 60_000;

/** Adds `map/names` to three of four clusters. In most of them tablets have server names. */
export function withNaming(shape: Shape): Shape {
  const naming = pick(streamOf(shape.seed, "naming"), ["none", "empty", "names", "names"] as const);
  return naming === "none" ? shape : { ...shape, naming };
}

/**
 * A tablet returns under another address, before the first run or during one. Its entry in `map/names` is updated, stays as it
 * was, or leads to another tablet. The next start of the tablet corrects a temporary wrong entry, as the start of a real tablet
 * does.
 */
export function moveAddress(world: World, shape: Shape, outage: Outage): Anomaly {
  const random = streamOf(shape.seed, "addresses");
  const { model, clock } = world;
  const tablets = [...model.tablets.keys()];
  const holders = new Set(
    partsOf(model).flatMap(({ part }) => part.partitionMeta.map((meta) => meta.endpoint)),
  );
  const name = pick(random, [...holders]);
  const others = tablets.filter((one) => one !== name);
  const word = shape.naming === "names" ? pick(random, NAMED) : pick(random, MOVED);
  const delayMs = spread(random, 1, pick(random, [100, 2_000, 60_000]));
  const againMs = spread(random, 1, MOVES_AGAIN_MS);
  const other = others.length === 0 ? name : pick(random, others);
  const isOfAnother = word.startsWith("entry-of-another");
  // The tool reads a name that leads to another tablet only in an observation before the first change.
  const isLater = !isOfAnother && random.chance(0.5);
  const put = (address: string) => putZnode(model.tree, `${model.root}/map/names/${name}`, address);
  let isOver = false;

  const moveTo = (to: string, from: string) => {
    if (isOver) return;
    world.note(`${from} comes back at ${to}`);
    if (shape.naming === "names") {
      model.move(name, { endpoint: name, address: to }, { isStale: word !== "renumbered" });
      if (word === "entry-empty") put("");
      if (isOfAnother) put(model.tablet(other).address);
      return;
    }
    if (shape.naming === "empty") putZnode(model.tree, `${model.root}/map/names/${to}`, "");
    world.gone.add(from);
    outage.away.push(from);
    model.move(from, { endpoint: to, address: to });
  };
  const act = () => {
    moveTo("z:9527", name);
    if (word === "moved-twice") clock.setTimer(againMs, () => moveTo("y:9527", "z:9527"));
  };
  if (!isLater) act();
  return {
    word: `${word}${isLater ? "-later" : ""}`,
    begin: () => void (isLater && clock.setTimer(delayMs, act)),
    end: () => {
      isOver = true;
      if (shape.naming === "names" && !word.endsWith("for-good")) put(model.tablet(name).address);
    },
  };
}
