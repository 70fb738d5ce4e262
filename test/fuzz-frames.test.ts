import { writeFileSync } from "node:fs";
import { expect, test, vi } from "vitest";
import type { FrameSeedResult } from "./fuzz/frame-seed.js";

const { OPS_SEED, OPS_FUZZ_SEEDS, OPS_FUZZ_BASE, OPS_FUZZ_OUT } = process.env;
const BASE = Number(OPS_SEED ?? OPS_FUZZ_BASE ?? 1);
const COUNT = OPS_SEED === undefined ? Number(OPS_FUZZ_SEEDS ?? 8) : 1;

async function play(seed: number): Promise<FrameSeedResult> {
  const { playFrameSeed } = await import("./fuzz/frame-seed.js");
  return playFrameSeed(seed);
}

test(
  `${COUNT} seeds from ${BASE}: every call against broken frames and odd messages`,
  async () => {
    const results: FrameSeedResult[] = [];
    for (let seed = BASE; seed < BASE + COUNT; seed += 1) results.push(await play(seed));
    if (OPS_FUZZ_OUT !== undefined) writeFileSync(OPS_FUZZ_OUT, JSON.stringify(results));
    const failed = results.filter((one) => one.violations.length > 0);
    expect(failed.length, explain(failed)).toBe(0);
  },
  60_000 + COUNT * 20_000,
);

test("a planted bug in the parsing of errors is detected", async () => {
  vi.resetModules();
  vi.doMock("../src/cluster/grpc-status.js", async (importOriginal) => ({
    ...(await importOriginal<object>()),
    fromStatus: (_name: unknown, error: { details: string }) => {
      throw new Error(error.details.replaceAll("%", "").toLowerCase());
    },
  }));
  try {
    const found: string[] = [];
    for (let seed = 1; seed <= 5 && found.length === 0; seed += 1) {
      found.push(...(await play(seed)).violations);
    }
    expect(found.join("\n")).toMatch(/threw (Error|TypeError)/);
  } finally {
    vi.doUnmock("../src/cluster/grpc-status.js");
    vi.resetModules();
  }
});

function explain(failed: readonly FrameSeedResult[]): string {
  return failed
    .map(
      ({ seed, violations }) =>
        `OPS_SEED=${seed} npx vitest run test/fuzz-frames.test.ts\n  ${violations.join("\n  ")}`,
    )
    .join("\n");
}
