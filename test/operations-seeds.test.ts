import { writeFileSync } from "node:fs";
import { expect, test, vi } from "vitest";
import { playOperations } from "./simulation/operations.js";
import type { SimulationResult } from "./simulation/simulate.js";
import { Stats } from "./simulation/stats.js";

// Changes of leader, tablets taken out of service and brought back, scaling and moves of followers under faults. The
// commands are the real ones; only the cluster that they open is simulated, and there is no journal.
//   npm test                                                      6 seeds, always the same ones
//   npm run sim -- --operations --seeds=1000                      many
//   OPS_SEED=4711 npx vitest run test/operations-seeds.test.ts    one seed, with everything that was typed and printed
const { OPS_SEEDS, OPS_SEED_BASE, OPS_SEED, OPS_SIM_OUT } = process.env;
const COUNT = Number(OPS_SEED === undefined ? (OPS_SEEDS ?? 6) : 1);
const BASE = Number(OPS_SEED ?? OPS_SEED_BASE ?? 1);

vi.mock("../src/cluster/open.js", async () => {
  const { openTyped } = await import("./simulation/typed.js");
  return { openCluster: openTyped };
});
vi.mock("../src/commands/keep-journal.js", async () => {
  const { keepNoJournal } = await import("./simulation/typed.js");
  return { keepJournal: keepNoJournal };
});

test(
  `${COUNT} seeds from ${BASE}: operations under faults lose no row, and end as intended`,
  async () => {
    const stats = new Stats();
    const failed: SimulationResult[] = [];
    for (let seed = BASE; seed < BASE + COUNT; seed += 1) {
      const result = await playOperations(seed, { stats });
      if (result.violations.length > 0) failed.push(result);
      if (OPS_SEED !== undefined) process.stdout.write(`${result.diary().join("\n")}\n`);
    }
    process.stdout.write(`${stats.top("operations", 20).join("\n")}\n`);
    const found = failed.map(({ seed, violations }) => ({ seed, violations }));
    if (OPS_SIM_OUT !== undefined) {
      const all = { stats: stats.toJson(), losses: 0, failed: found };
      writeFileSync(OPS_SIM_OUT, JSON.stringify(all));
    }
    const words = found.map(
      ({ seed, violations: [first] }) => `OPS_SEED=${seed}: ${first?.checker}: ${first?.what}`,
    );
    expect(words).toEqual([]);
  },
  Math.max(120_000, COUNT * 10_000),
);
