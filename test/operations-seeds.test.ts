import { expect, test, vi } from "vitest";
import { playOperations } from "./simulation/operations.js";
import { playSeeds, seedsOf } from "./simulation/play-seeds.js";

// Changes of leader, tablets taken out of service and brought back, scaling and moves of followers under faults. The
// commands are the real ones; only the cluster that they open is simulated, and there is no journal.
//   npm test                                                      6 seeds, always the same ones
//   npm run sim -- --operations --seeds=1000                      many
//   OPS_SEED=4711 npx vitest run test/operations-seeds.test.ts    one seed, with everything that was typed and printed
const seeds = seedsOf(6);

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
  `${seeds.count} seeds from ${seeds.base}: operations under faults lose no row, and end as intended`,
  async () => {
    expect(
      await playSeeds(seeds, "operations", (seed, stats) => playOperations(seed, { stats })),
    ).toEqual([]);
  },
  Math.max(120_000, seeds.count * 10_000),
);
