import { expect, test } from "vitest";
import { type OldRecordResult, playOldRecord } from "./simulation/old-record.js";

const { OPS_SEED, OPS_SEEDS, OPS_SEED_BASE } = process.env;
/** Seeds of one `npm test`, always the same ones. */
const COUNT = Number(OPS_SEED === undefined ? (OPS_SEEDS ?? 40) : 1);
const BASE = Number(OPS_SEED ?? OPS_SEED_BASE ?? 1);

test(
  `${COUNT} seeds from ${BASE}: no partition is changed by a record that a disk proves to be old`,
  async () => {
    const failed: OldRecordResult[] = [];
    const sum = { same: 0, "proven-old": 0, changed: 0 };
    for (let seed = BASE; seed < BASE + COUNT; seed += 1) {
      const result = await playOldRecord(seed);
      for (const [state, count] of Object.entries(result.counts)) {
        sum[state as keyof typeof sum] += count;
      }
      if (result.violations.length > 0) failed.push(result);
    }
    process.stdout.write(
      `partitions by the state of their restored record: ${JSON.stringify(sum)}\n`,
    );
    if (OPS_SEED !== undefined) process.stdout.write(`${failed[0]?.eventLog().join("\n")}\n`);
    const words = failed.map(({ seed, violations }) => `OPS_SEED=${seed}: ${violations[0]}`);
    expect(words).toEqual([]);
    if (OPS_SEED === undefined) expect(sum["proven-old"]).toBeGreaterThan(COUNT / 10);
  },
  Math.max(60_000, COUNT * 2_000),
);

test.each([
  [69, "an ex-leader's log looks like a prefix of the chosen one, and is not"],
  [172, "the run is killed between the decision and the copies"],
  [
    640_395,
    "the run is killed while the leader of the old record serves: nothing is copied from it",
  ],
])("seed %i: %s", async (seed) => {
  const { violations, counts } = await playOldRecord(seed);
  expect(violations).toEqual([]);
  expect(counts["proven-old"]).toBeGreaterThan(0);
});
