import { writeFileSync } from "node:fs";
import { expect, test, vi } from "vitest";
import { RULES } from "../src/execution/rules.js";
import { playLongLife } from "./simulation/long-life.js";
import type { SimulationResult } from "./simulation/simulate.js";
import { Stats } from "./simulation/stats.js";

// Long lives of a cluster under writes: commands of many kinds, kills, and disks that lose what others still hold. The
// commands are the real ones; only the cluster that they open is simulated, and there is no journal.
//   npm test                                                      4 seeds, always the same ones
//   npm run sim -- --life --seeds=1000                      many
//   OPS_SEED=4711 npx vitest run test/long-life-seeds.test.ts    one seed, with everything that was typed and printed
const { OPS_SEEDS, OPS_SEED_BASE, OPS_SEED, OPS_SIM_OUT } = process.env;
const COUNT = Number(OPS_SEED === undefined ? (OPS_SEEDS ?? 4) : 1);
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
  `${COUNT} seeds from ${BASE}: a long life under writes loses no acknowledged row`,
  async () => {
    const stats = new Stats();
    let losses = 0;
    const failed: SimulationResult[] = [];
    for (let seed = BASE; seed < BASE + COUNT; seed += 1) {
      const result = await playLongLife(seed, { stats });
      losses += result.documentedLosses;
      if (result.violations.length > 0) failed.push(result);
      if (OPS_SEED !== undefined) process.stdout.write(`${result.diary().join("\n")}\n`);
    }
    process.stdout.write(`${stats.top("life", 40).join("\n")}\n`);
    const found = failed.map(({ seed, violations }) => ({ seed, violations }));
    if (OPS_SIM_OUT !== undefined) {
      const all = { stats: stats.toJson(), losses, failed: found };
      writeFileSync(OPS_SIM_OUT, JSON.stringify(all));
    }
    const words = found.map(
      ({ seed, violations: [first] }) => `OPS_SEED=${seed}: ${first?.checker}: ${first?.what}`,
    );
    expect(words).toEqual([]);
  },
  Math.max(120_000, COUNT * 10_000),
);

test("planted: logs that have parted within a term are forgotten", async () => {
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
  expect((await playLongLife(2_566)).violations).toEqual([]);
  const { violations } = await playLongLife(2_566, { plant: { plannerOf } });
  expect(violations.map((one) => one.checker)).toContain("converges");
}, 60_000);
