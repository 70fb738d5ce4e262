import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Rules } from "../src/execution/rules.js";
import { anomalyNamed } from "./simulation/anomaly-kinds.js";
import type { Checker } from "./simulation/checkers.js";
import { paste } from "./simulation/paste.js";
import { CLUSTER_FLAGS, commandsIn, faultsOfText } from "./simulation/printed-commands.js";
import type { SimulationResult } from "./simulation/simulate.js";
import { lossStatedBefore } from "./simulation/stated-loss.js";
import { Stats } from "./simulation/stats.js";

// The operator types exactly what `inspect` and `recoverdata` print, and nothing else. The commands are the real
// ones; only the cluster that they open is simulated, and there is no journal.
//   npm test                                             12 seeds, always the same ones
//   npm run sim -- --paste --seeds=1000                  many
//   OPS_SEED=4711 npx vitest run test/paste.test.ts      one seed, with everything that was typed and printed
const { OPS_SEEDS, OPS_SEED_BASE, OPS_SEED, OPS_SIM_OUT, OPS_ODD } = process.env;
const anomaly = OPS_ODD === undefined ? undefined : anomalyNamed(OPS_ODD);
const COUNT = Number(OPS_SEEDS ?? 12);
const BASE = Number(OPS_SEED_BASE ?? 1);

vi.mock("../src/cluster/open.js", async () => {
  const { openTyped } = await import("./simulation/typed-command.js");
  return { openCluster: openTyped };
});
vi.mock("../src/journal/journal.js", async () => {
  const { keepNoJournal } = await import("./simulation/typed-command.js");
  return { openJournal: keepNoJournal };
});
vi.mock("../src/util/yielding.js", async () => {
  const { WITHOUT_YIELDS } = await import("./simulation/typed-command.js");
  return WITHOUT_YIELDS;
});
vi.mock("node:fs/promises", async () => {
  const { openSynchronously } = await import("./simulation/typed-command.js");
  return { open: openSynchronously };
});

const folder = mkdtempSync(join(tmpdir(), "openmldb-ops-paste-"));
const home = process.cwd();
// Files of decisions are named without a folder.
beforeAll(() => process.chdir(folder));
afterAll(() => {
  process.chdir(home);
  rmSync(folder, { recursive: true, force: true });
});

test(
  `printed commands can be run, end healthy or at a true decision, and lose no row that they do not name (${COUNT} seeds)`,
  async () => {
    const stats = new Stats();
    const failed: SimulationResult[] = [];
    for (let seed = BASE; seed < BASE + COUNT; seed += 1) {
      const result = await paste(seed, { stats, anomaly });
      if (result.violations.length > 0) failed.push(result);
    }
    process.stdout.write(
      `${[`seeds ${BASE} to ${BASE + COUNT - 1}`, ...stats.lines()].join("\n")}\n`,
    );
    if (OPS_SIM_OUT !== undefined) {
      const found = failed.map(({ seed, violations }) => ({ seed, violations }));
      writeFileSync(
        OPS_SIM_OUT,
        JSON.stringify({ stats: stats.toJson(), losses: 0, failed: found }),
      );
    }
    expect(failed.length, explain(failed)).toBe(0);
  },
  Math.max(120_000, COUNT * 10_000),
);

/**
 * Bugs in the advice to operators, each with a seed that shows it and that passes without the bug.
 */
const PLANTED: readonly (readonly [string, number, Checker, Partial<Rules>])[] = [
  [
    "advice by another policy than recovery's: inspect goes by the flags alone",
    3,
    "advice-leads-on",
    {
      checkLeaderChange: (view) => ({
        from: undefined,
        to: view.replicas.find((one) => !one.claim.isLeader)?.endpoint ?? "",
        offset: 0n,
        givesUp: { atLeast: 0n, atMost: 0n, why: "" },
        dropped: [],
        lastSeen: undefined,
      }),
    },
  ],
  [
    "--lost is accepted for a tablet that is registered",
    48,
    "loss-named",
    { checkLost: () => undefined },
  ],
];

test.each(PLANTED)("caught: %s", async (_name, seed, checker, plant) => {
  const found = (await paste(seed, { plant })).violations.map((one) => one.checker);
  expect(found).toContain(checker);
  expect((await paste(seed)).violations).toEqual([]);
});

(OPS_SEED === undefined ? () => undefined : test)(`seed ${OPS_SEED}`, async () => {
  const result = await paste(Number(OPS_SEED), { anomaly });
  process.stdout.write(`${result.eventLog().join("\n")}\n`);
  expect(result.violations, explain([result])).toEqual([]);
});

function explain(failed: readonly SimulationResult[]): string {
  const [first] = failed;
  if (first === undefined) return "";
  const what = first.violations.map((one) => `${one.checker}: ${one.what}`).join("\n");
  return `${failed.length} seeds failed; replay one with: OPS_SEED=${first.seed} npx vitest run test/paste.test.ts\n${what}`;
}

describe("the checkers of printed commands detect", () => {
  const run = `openmldb-ops --cmd=recoverdata ${CLUSTER_FLAGS}`;
  const give = `openmldb-ops --cmd=recoverdata --accept_data_loss=t:0 --leader=a ${CLUSTER_FLAGS}`;

  test.each([980_015, 30_042])(
    "seed %i: rows that a leader acknowledged in its last 2 s are named before they are given up",
    async (seed) => {
      expect((await paste(seed)).violations).toEqual([]);
    },
  );

  test("complete commands, each once", () => {
    expect(commandsIn(`next: run: ${run}; or, decide: ${give}\n${run}`)).toEqual([run, give]);
    expect(commandsIn("run openmldb-ops inspect")).toEqual([]);
  });

  test("a command without its cluster, and one with a hole", () => {
    expect(faultsOfText(`next: ${run}\nopenmldb-ops: it failed`)).toEqual([]);
    expect(faultsOfText("run openmldb-ops inspect first")).toHaveLength(1);
    expect(faultsOfText(`openmldb-ops addreplica --endpoint=TABLET ${CLUSTER_FLAGS}`)).toHaveLength(
      1,
    );
  });

  test("the loss printed with a command, and not that of another one", () => {
    expect(lossStatedBefore(`giving up 12 entries: ${give}; or, run: ${run}`, give)).toMatchObject({
      atMost: 12n,
    });
    expect(lossStatedBefore(`giving up 12 entries: ${give}; or, run: ${run}`, run)).toMatchObject({
      atMost: 0n,
    });
    expect(lossStatedBefore(`9 entries\ngiving up 3 to 7 entries: ${give}`, give)).toMatchObject({
      atMost: 7n,
    });
    const unknown = `giving up at least 3 entries (how many at most is not known): ${give}`;
    const tail = `giving up what c:9527 acknowledged in its last 2 s: ${give}`;
    expect(lossStatedBefore(tail, give)).toEqual({ atMost: 0n, isTailUnknown: true });
    expect(lossStatedBefore(unknown, give)).toMatchObject({ atMost: undefined });
  });
});
