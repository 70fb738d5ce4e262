import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Sandbox, startSandbox } from "../src/sandbox/start.js";
import { type RunResult, runBin } from "./helpers/run-bin.js";
import { type MainResult, runHere } from "./helpers/run-main.js";
import { recovery, verify as verifyResult } from "./schemas/results.js";

let sandbox: Sandbox;
let scratch: string;

beforeAll(async () => {
  sandbox = await startSandbox({
    tables: 2,
    partitions: 2,
    rows: 200,
    hddTables: 1,
    seed: 1,
    speed: 20,
  });
  scratch = mkdtempSync(join(tmpdir(), "openmldb-ops-deep-"));
});
afterAll(async () => {
  await sandbox.stop();
  rmSync(scratch, { recursive: true, force: true });
});

function verify(...words: string[]): Promise<MainResult> {
  return ops("verify", ...words);
}

function ops(...words: string[]): Promise<MainResult> {
  const { zkCluster, zkRootPath } = sandbox;
  const where = [`--zk_cluster=${zkCluster}`, `--zk_root_path=${zkRootPath}`];
  return runHere([...words, `--state_dir=${scratch}`, ...where]);
}

/** The tablets of a partition of db1, the leader first. */
function holders(table: string, pid: number): readonly string[] {
  const parts = sandbox.model.tables.find(table, "db1")?.tablePartition ?? [];
  const metas = parts.find((one) => one.pid === pid)?.partitionMeta ?? [];
  return [...metas]
    .sort((a, b) => Number(b.isLeader) - Number(a.isLeader))
    .map((one) => one.endpoint);
}

test("equal rows: exit code 0, and no file is kept", async () => {
  const { code, stdout, stderr } = await verify("--deep");
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(
    /^verify: all healthy \(.*\)\nrows: no rows differ, \d+ compared equal \([\d,]+ rows of leaders compared, .*\)\n$/,
  );
  expect(readdirSync(join(scratch, "rows"))).toEqual([]);
});

test("a row that only one replica has: exit code 10, and the row that no other check detects is reported", async () => {
  const [, follower = ""] = holders("t0", 1);
  sandbox.model.plantRow({ db: "db1", table: "t0", pid: 1, tablet: follower }, 150n, "other");
  expect((await verify()).code).toBe(0);

  const hashed = await verify("--deep", `--report=${join(scratch, "report.json")}`);
  expect(hashed.code, hashed.stderr).toBe(10);
  expect(hashed.stdout).toContain(`1 row on ${follower} and not on `);
  expect(hashed.stdout).toMatch(/such as key #[0-9a-f]{16} at \d+\n/);
  expect(hashed.stdout).toContain("rebuild no replica before that");
  const report = JSON.parse(readFileSync(join(scratch, "report.json"), "utf8"));
  expect(report.verdict).toMatchObject({ result: "left", exitCode: 10 });
  expect(report.findings).toMatchObject([
    { level: "error", code: "rows-differ", subject: "db1.t0:1" },
  ]);

  const shown = await verify("--deep", "--table=t0", "--pid=1", "--show_keys", "--output=json");
  const { healthy, errors, rows } = verifyResult.parse(JSON.parse(shown.stdout));
  expect({ healthy, errors }).toEqual({ healthy: false, errors: ["rows-differ"] });
  expect(rows?.counts).toMatchObject({ partitions: 1, different: 1 });
  const differences = rows?.different[0]?.differences ?? [];
  expect(differences).toHaveLength(1);
  expect(differences[0]?.groups.map((one) => one.have)).toContainEqual([follower]);
  expect(differences[0]?.groups[0]?.keys[0]).toMatchObject({ key: "k6" });
});

test("--resume continues where a run was stopped, and accepts only its own file", async () => {
  const folder = join(scratch, "rows");
  const stopped = await runBinUntilKept();
  expect(stopped.stderr).toMatch(/ \d+ of \d+ partitions compared\n/);
  expect(stopped.stderr).toContain("to continue: openmldb-ops verify --deep --resume");
  const [name = ""] = readdirSync(folder);
  const lines = readFileSync(join(folder, name), "utf8").trimEnd().split("\n");
  expect(lines.length).toBeGreaterThan(1);
  writeFileSync(join(folder, name), `${lines.join("\n")}\n{"id":{"tid":"x"}}\n{"cut o`);
  const resumed = await verify("--deep", "--resume", "--output=json");
  const { rows } = JSON.parse(resumed.stdout);
  expect(rows.resumed).toBe(lines.length - 1);
  expect(rows.counts.partitions).toBe(JSON.parse(resumed.stdout).counts.partitions);
  expect(existsSync(join(folder, name))).toBe(false);

  const again = await verify("--deep", "--resume");
  expect(again.stderr).toContain("there is no run to continue");
  writeFileSync(join(folder, name), "no store\n");
  const refused = await verify("--deep", "--resume");
  expect({ code: refused.code, text: refused.stderr }).toMatchObject({
    code: 2,
    text: expect.stringContaining("the results of the previous run cannot be read: it is not JSON"),
  });
});

/** Runs slowly, and sends SIGTERM when the first partitions are compared. */
function runBinUntilKept(): Promise<RunResult> {
  const { zkCluster, zkRootPath } = sandbox;
  const folder = join(scratch, "rows");
  const words = ["verify", "--deep", "--rate=0.05", "--concurrency=1", `--state_dir=${scratch}`];
  return runBin([...words, `--zk_cluster=${zkCluster}`, `--zk_root_path=${zkRootPath}`], {
    onStart(child) {
      const timer = setInterval(() => {
        const [name] = existsSync(folder)
          ? readdirSync(folder).filter((one) => !one.endsWith(".tmp"))
          : [];
        if (name === undefined) return;
        if (readFileSync(join(folder, name), "utf8").split("\n").length < 4) return;
        clearInterval(timer);
        child.kill("SIGTERM");
      }, 20);
      child.on("exit", () => clearInterval(timer));
    },
  });
}

test("flags of deep verification require --deep", async () => {
  const results = await Promise.all([
    verify("--sample=10", "--resume"),
    verify("--deep", "--pid=1"),
    verify("--deep", "--rate=fast"),
    verify("--deep", "--sample=101%"),
  ]);
  expect(results.map((one) => one.code)).toEqual([2, 2, 2, 2]);
  expect(results[0]?.stderr).toContain("--sample, --resume belong to --deep");
});

test("recoverdata --deep compares the partitions that it has recovered", async () => {
  expect((await ops("confset", "auto_failover", "false")).code).toBe(0);
  await sandbox.outage({ withNameservers: false });
  const path = join(scratch, "recovered.json");
  const { code, stdout, stderr } = await ops(
    "recoverdata",
    "--yes",
    "--deep",
    `--report_file=${path}`,
  );
  expect(code, stderr).toBe(10);
  expect(stdout).toMatch(/^rows: rows of 1 of \d+ partitions DIFFER, \d+ compared equal/m);
  const { exitCode, healthy, rows } = recovery.parse(JSON.parse(readFileSync(path, "utf8")));
  expect({ exitCode, healthy }).toEqual({ exitCode: 10, healthy: true });
  expect(rows?.different).toMatchObject([{ db: "db1", table: "t0", pid: 1 }]);
  // No partition is recovered, so none is compared.
  const again = await ops("recoverdata", "--yes", "--deep");
  expect({ code: again.code, text: again.stdout }).toMatchObject({
    code: 0,
    text: expect.stringContaining("rows: no rows differ (0 rows"),
  });
});
