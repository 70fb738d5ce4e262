import { expect, test, vi } from "vitest";
import { RULES } from "../src/execution/rules.js";
import { playLongLife } from "./simulation/long-life.js";
import { playSeeds, seedsOf } from "./simulation/play-seeds.js";

// Long sequences of events under writes: commands of many kinds, kills, and disks that lose rows that others still hold. The
// commands are the real ones; only the cluster that they open is simulated, and there is no journal.
//   npm test                                                      4 seeds, always the same ones
//   npm run sim -- --life --seeds=1000                      many
//   OPS_SEED=4711 npx vitest run test/long-life-seeds.test.ts    one seed, with everything that was typed and printed
const seeds = seedsOf(4);

vi.mock("../src/cluster/open.js", async () => {
  const { openTyped } = await import("./simulation/typed-command.js");
  return { openCluster: openTyped };
});
vi.mock("../src/journal/journal.js", async () => {
  const { keepNoJournal } = await import("./simulation/typed-command.js");
  return { openJournal: keepNoJournal };
});
vi.mock("node:fs/promises", async () => {
  const { openSynchronously } = await import("./simulation/typed-command.js");
  return { open: openSynchronously };
});
vi.mock("../src/util/yielding.js", async () => {
  const { WITHOUT_YIELDS } = await import("./simulation/typed-command.js");
  return WITHOUT_YIELDS;
});

test(
  `${seeds.count} seeds from ${seeds.base}: a long sequence of events under writes loses no acknowledged row`,
  async () => {
    expect(await playSeeds(seeds, "life", (seed, stats) => playLongLife(seed, { stats }))).toEqual(
      [],
    );
  },
  Math.max(120_000, seeds.count * 10_000),
);

test("planted bug: the evidence of logs that diverged within a term is dropped", async () => {
  const { plannerOf: sound } = RULES;
  const plannerOf: typeof sound = (...args) => {
    const planner = sound(...args);
    return (view, attempts) => {
      if (view.known === undefined) return planner(view, attempts);
      const { bounds, replicas } = view.known;
      const known = { bounds: { ...bounds, parted: undefined }, replicas };
      return planner({ ...view, known }, attempts);
    };
  };
  expect((await playLongLife(8_046)).violations).toEqual([]);
  const { violations } = await playLongLife(8_046, { plant: { plannerOf } });
  expect(violations.map((one) => one.checker)).toContain("converges");
});
