import { writeFileSync } from "node:fs";
import type { SimulationResult } from "./simulate.js";
import { Stats } from "./stats.js";

const { OPS_SEEDS, OPS_SEED_BASE, OPS_SEED, OPS_SIM_OUT } = process.env;

/** The seeds of a search: those of the environment (see `scripts/sim.js`), else `count` from 1. */
export function seedsOf(count: number): { readonly count: number; readonly base: number } {
  return {
    count: Number(OPS_SEED === undefined ? (OPS_SEEDS ?? count) : 1),
    base: Number(OPS_SEED ?? OPS_SEED_BASE ?? 1),
  };
}

/**
 * Plays seeds one after another, prints the most frequent counts of `group`, and writes the figures that `scripts/sim.js` adds up.
 * A single seed (`OPS_SEED`) prints its event log.
 *
 * @returns One line for each seed with a violation: how to replay it, and its first violation.
 */
export async function playSeeds(
  { count, base }: ReturnType<typeof seedsOf>,
  group: string,
  play: (seed: number, stats: Stats) => Promise<SimulationResult>,
): Promise<string[]> {
  const stats = new Stats();
  const failed: SimulationResult[] = [];
  let losses = 0;
  for (let seed = base; seed < base + count; seed += 1) {
    const result = await play(seed, stats);
    losses += result.documentedLosses;
    if (result.violations.length > 0) failed.push(result);
    if (OPS_SEED !== undefined) process.stdout.write(`${result.eventLog().join("\n")}\n`);
  }
  process.stdout.write(`${stats.top(group, 40).join("\n")}\n`);
  const found = failed.map(({ seed, violations }) => ({ seed, violations }));
  if (OPS_SIM_OUT !== undefined) {
    writeFileSync(OPS_SIM_OUT, JSON.stringify({ stats: stats.toJson(), losses, failed: found }));
  }
  return found.map(
    ({ seed, violations: [first] }) => `OPS_SEED=${seed}: ${first?.checker}: ${first?.what}`,
  );
}
