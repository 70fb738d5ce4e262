import { writeFileSync } from "node:fs";
import pLimit from "p-limit";
import { expect, test } from "vitest";
import { playTcpSeed, type TcpSeedResult } from "./fuzz/tcp-seed.js";

const { OPS_SEED, OPS_FUZZ_SEEDS, OPS_FUZZ_BASE, OPS_FUZZ_OUT } = process.env;
const BASE = Number(OPS_SEED ?? OPS_FUZZ_BASE ?? 1);
const COUNT = OPS_SEED === undefined ? Number(OPS_FUZZ_SEEDS ?? 3) : 1;
/** A seed waits most of its time, so several run at once. */
const AT_ONCE = 5;

test(
  `${COUNT} seeds from ${BASE}: recoveries through connections that corrupt, cut, stall, duplicate and delay`,
  async () => {
    const limit = pLimit(AT_ONCE);
    const results = await Promise.all(
      Array.from({ length: COUNT }, (_, index) => limit(() => playTcpSeed(BASE + index))),
    );
    if (OPS_FUZZ_OUT !== undefined) writeFileSync(OPS_FUZZ_OUT, JSON.stringify(results));
    if (OPS_SEED !== undefined) process.stdout.write(`${results[0]?.output}\n`);
    const failed = results.filter((one) => one.violations.length > 0);
    expect(failed.length, explain(failed)).toBe(0);
  },
  60_000 + COUNT * 60_000,
);

function explain(failed: readonly TcpSeedResult[]): string {
  return failed
    .map(
      ({ seed, violations }) =>
        `OPS_SEED=${seed} npx vitest run test/fuzz-tcp.test.ts\n  ${violations.join("\n  ")}`,
    )
    .join("\n");
}
