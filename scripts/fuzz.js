// Runs many seeds of the fuzz tests and sums up their figures.
//   npm run fuzz -- --seeds=200 [--base=1] [--kind=tcp|frames]
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "200" },
    base: { type: "string", default: "1" },
    kind: { type: "string" },
  },
});
const folder = mkdtempSync(join(tmpdir(), "openmldb-ops-fuzz-"));

/** @param {string} kind */
function play(kind) {
  const out = join(folder, `${kind}.json`);
  const env = {
    ...process.env,
    OPS_FUZZ_SEEDS: values.seeds,
    OPS_FUZZ_BASE: values.base,
    OPS_FUZZ_OUT: out,
  };
  const vitest = join(import.meta.dirname, "..", "node_modules", "vitest", "vitest.mjs");
  const args = [vitest, "run", `test/fuzz-${kind}.test.ts`];
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { env, stdio: "inherit" });
    child.on("exit", (code) => resolve({ code: code ?? 1, out }));
  });
}

for (const kind of values.kind === undefined ? ["frames", "tcp"] : [values.kind]) {
  const { code, out } = await play(kind);
  if (code !== 0) process.exitCode = 1;
  if (!existsSync(out)) continue;
  const results = JSON.parse(readFileSync(out, "utf8"));
  const failed = results.filter((one) => one.violations.length > 0);
  console.log(`${kind}: ${results.length} seeds from ${values.base}, ${failed.length} failed`);
  const calls = results.reduce((sum, one) => sum + (one.calls ?? 0), 0);
  if (calls > 0) console.log(`  ${calls} calls`);
  const ends = new Map();
  for (const { exitCodes } of results) {
    if (exitCodes !== undefined)
      ends.set(exitCodes.join(", then "), (ends.get(exitCodes.join(", then ")) ?? 0) + 1);
  }
  for (const [codes, times] of ends) console.log(`  ${times} times exit code ${codes}`);
}
rmSync(folder, { recursive: true, force: true });
