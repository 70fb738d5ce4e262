// Runs many seeds of the simulation, one vitest process per core, and sums up their figures.
//   npm run sim -- --seeds=10000 [--base=1] [--method=direct|documented] [--paste | --operations | --life] [--odd | --addresses] [--jobs=2]
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "10000" },
    base: { type: "string", default: "1" },
    method: { type: "string" },
    odd: { type: "boolean", default: false },
    addresses: { type: "boolean", default: false },
    paste: { type: "boolean", default: false },
    operations: { type: "boolean", default: false },
    life: { type: "boolean", default: false },
    jobs: { type: "string", default: String(availableParallelism()) },
  },
});
const seeds = Number(values.seeds);
const jobs = Math.max(1, Math.min(Number(values.jobs), seeds));
const odd = values.addresses ? "addresses" : values.odd ? "any" : undefined;
const FILES = {
  paste: "test/paste.test.ts",
  operations: "test/operations-seeds.test.ts",
  life: "test/long-life-seeds.test.ts",
};
const [FILE = "test/simulation.test.ts"] = Object.keys(FILES).flatMap((flag) =>
  values[flag] ? [FILES[flag]] : [],
);
const folder = mkdtempSync(join(tmpdir(), "openmldb-ops-sim-"));
const began = performance.now();

const shares = Array.from({ length: jobs }, (_, job) => {
  const first = Math.floor((seeds * job) / jobs);
  const count = Math.floor((seeds * (job + 1)) / jobs) - first;
  return { base: Number(values.base) + first, count, out: join(folder, `${job}.json`) };
});

/** @param {{ base: number, count: number, out: string }} share */
function play({ base, count, out }) {
  const env = {
    ...process.env,
    OPS_SEEDS: String(count),
    OPS_SEED_BASE: String(base),
    OPS_SIM_OUT: out,
    ...(odd === undefined ? {} : { OPS_ODD: odd }),
    ...(values.method === undefined ? {} : { OPS_METHOD: values.method }),
  };
  const vitest = join(import.meta.dirname, "..", "node_modules", "vitest", "vitest.mjs");
  const args = [vitest, "run", "--silent=passed-only", FILE];
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { env, stdio: "ignore" });
    child.on("exit", (code) => resolve(code ?? 1));
  });
}

/** Adds the counts of one share to the sum. */
function addTo(sum, stats) {
  for (const [group, counts] of Object.entries(stats)) {
    sum[group] ??= {};
    for (const [what, times] of Object.entries(counts)) {
      sum[group][what] = (sum[group][what] ?? 0) + times;
    }
  }
}

const codes = await Promise.all(shares.map(play));
const sum = {};
const failed = [];
let losses = 0;
for (const { out, base } of shares) {
  if (!existsSync(out)) throw new Error(`the share from seed ${base} crashed; run it alone`);
  const result = JSON.parse(readFileSync(out, "utf8"));
  addTo(sum, result.stats);
  failed.push(...result.failed);
  losses += result.losses;
}
rmSync(folder, { recursive: true, force: true });

console.log(
  `${seeds} seeds from ${values.base} in ${Math.round((performance.now() - began) / 1000)} s`,
);
for (const [group, counts] of Object.entries(sum)) {
  const total = Object.values(counts).reduce((all, times) => all + times, 0);
  console.log(`${group}: ${Object.keys(counts).length} distinct of ${total}`);
}
for (const [end, times] of Object.entries(sum.ends ?? {})) {
  // Recovered partitions are "healthy"; those with a cause that the tool named have a colon.
  if (end !== "healthy" && !end.includes(": ")) console.log(`  ${times} partitions: ${end}`);
}
console.log(`rows lost by OpenMLDB's RecoverTable itself (documented method): ${losses}`);
for (const { seed, violations } of failed.slice(0, 20)) {
  console.log(`seed ${seed}: ${violations.map(({ checker, what }) => `${checker}: ${what}`)[0]}`);
}
const [first] = failed;
const settings = [
  odd === undefined ? "" : `OPS_ODD=${odd} `,
  values.method === undefined ? "" : `OPS_METHOD=${values.method} `,
].join("");
if (first !== undefined) {
  console.log(`${failed.length} seeds failed; replay one with:`);
  console.log(`  ${settings}OPS_SEED=${first.seed} npx vitest run ${FILE}`);
}
process.exitCode = failed.length > 0 || codes.some((code) => code !== 0) ? 1 : 0;
