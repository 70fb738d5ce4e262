import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { readInvocation } from "../src/cli/invocation.js";
import type { Sandbox } from "../src/sandbox/start.js";
import { type RunResult, runBin } from "./helpers/run-bin.js";
import { sandboxForTest } from "./helpers/sandbox.js";
import { ledBy, replicasOn, unserved } from "./helpers/scaling.js";

const folder = mkdtempSync(join(tmpdir(), "openmldb-ops-scale-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

/** A path in the test's folder where nothing is yet. */
function newPath(): string {
  files += 1;
  return join(folder, `file-${files}`);
}

/** One table of each kind, since more would take long. */
function serving(more: { readonly tables?: number; readonly replicas?: number } = {}) {
  const shape = { tables: 2, singleReplicaTables: 1, partitions: 2, replicas: 2, rows: 20 };
  return sandboxForTest({ speed: 60, ...shape, ...more });
}

function run(sandbox: Sandbox, ...args: readonly string[]): Promise<RunResult> {
  const { zkCluster, zkRootPath } = sandbox;
  return runBin([
    ...args,
    `--zk_cluster=${zkCluster}`,
    `--zk_root_path=${zkRootPath}`,
    `--state_dir=${join(folder, "state")}`,
  ]);
}

const first = (sandbox: Sandbox) => sandbox.tablets[0] ?? "";

/** The state that a command could have changed. */
function everything({ model }: Sandbox) {
  return { rows: model.rows({}), healthy: model.healthy(), ops: model.leader?.ops.list().length };
}

describe("flags", () => {
  const flagsOf = (...argv: readonly string[]) => {
    const needed = ["--zk_cluster=127.0.0.1:2181", "--zk_root_path=/openmldb"];
    const invocation = readInvocation([...argv, ...needed]);
    if (invocation.kind !== "command") throw new Error(`no command but ${invocation.kind}`);
    return invocation.entry.prepare(invocation.line, {}).flags;
  };

  test("have the defaults that help shows, those of openmldb_ops.py among them", () => {
    expect(flagsOf("scaleout")).toMatchObject({
      concurrency: 4,
      keepsSurplus: false,
      dryRun: false,
    });
    expect(flagsOf("scalein", "--endpoints=a:1,b:2")).toMatchObject({ endpoints: ["a:1", "b:2"] });
    expect(flagsOf("--cmd=pre-upgrade", "--endpoints=a:1")).toMatchObject({
      endpoints: ["a:1"],
      statfile: ".stat",
      allowsSingle: false,
    });
    expect(flagsOf("post-upgrade", "--endpoints=a:1", "--statfile=x")).toMatchObject({
      statfile: "x",
    });
    expect(() => flagsOf("scalein")).toThrow("--endpoints is missing");
    expect(() => flagsOf("scalein", "--endpoints=a:1,a:1")).toThrow("names a:1 twice");
    expect(() => flagsOf("scaleout", "--concurrency=0")).toThrow("--concurrency=0");
  });
});

describe("scalein and scaleout", () => {
  test("a tablet is emptied by a shown and saved plan, and used again", async () => {
    const sandbox = await serving();
    const tablet = first(sandbox);
    const before = everything(sandbox);
    const dry = await run(
      sandbox,
      "scalein",
      `--endpoints=${tablet}`,
      "--dry_run",
      "--output=json",
    );
    expect(dry.code, dry.stderr).toBe(0);
    const { plan } = JSON.parse(dry.stdout);
    expect(plan.partitions.length).toBeGreaterThan(2);
    expect(everything(sandbox)).toEqual(before);

    const words = ["scalein", `--endpoints=${tablet}`];
    const path = newPath();
    expect((await run(sandbox, ...words, `--plan_out=${path}`)).code).toBe(0);
    const emptied = await run(sandbox, ...words, `--apply=${path}`);
    expect(emptied.code, emptied.stderr + emptied.stdout).toBe(0);
    expect(replicasOn(sandbox, tablet)).toEqual([]);
    expect(emptied.stdout).toContain(`${tablet} is empty: the tablet can be stopped`);
    expect(emptied.stdout).toMatch(/change-leader .* done/);
    expect(sandbox.model.healthy()).toEqual([]);

    expect((await run(sandbox, ...words, `--apply=${path}`)).code).toBe(6);

    const used = await run(sandbox, "scaleout", "--output=json");
    expect(used.code, used.stderr + used.stdout).toBe(0);
    const document = JSON.parse(used.stdout);
    expect(document).toMatchObject({ command: "scaleout", exitCode: 0, complaints: [] });
    expect(document.actions.map((one: { result: string }) => one.result)).not.toContain("failed");
    expect(replicasOn(sandbox, tablet)).toHaveLength(2);
    expect(unserved(sandbox.model)).toBe(0);
    const again = await run(sandbox, "scaleout");
    expect(again.code).toBe(0);
    expect(again.stdout).toMatch(/nothing to do\n$/);
  });

  test("refused with exit code 4, naming the table, if too few tablets would remain", async () => {
    const sandbox = await serving({ replicas: 3 });
    const before = everything(sandbox);
    const refused = await run(sandbox, "scalein", `--endpoints=${first(sandbox)}`);
    expect(refused.code).toBe(4);
    expect(refused.stdout).toBe("");
    expect(refused.stderr).toContain("db1.t0 has 3 replicas");
    expect(everything(sandbox)).toEqual(before);
  });
});

describe("pre-upgrade and post-upgrade", () => {
  test("move the leaders away and restore them, with the statfile", async () => {
    const sandbox = await serving();
    const tablet = first(sandbox);
    const path = newPath();
    const words = [`--endpoints=${tablet}`, `--statfile=${path}`];
    const led = ledBy(sandbox, tablet);
    expect(led).toBeGreaterThan(0);
    const dry = await run(sandbox, "pre-upgrade", ...words, "--dry_run");
    expect(dry.code, dry.stderr).toBe(0);
    expect(dry.stdout).toMatch(/\d+ actions? planned, nothing changed\n$/);
    expect(existsSync(path)).toBe(false);

    const taken = await run(sandbox, "--cmd=pre-upgrade", ...words);
    expect(taken.code, taken.stderr + taken.stdout).toBe(0);
    expect(ledBy(sandbox, tablet)).toBe(0);
    const [cluster, ...lines] = readFileSync(path, "utf8").trimEnd().split("\n");
    expect(cluster).toContain("#cluster,");
    expect(lines).toHaveLength(led);
    for (const line of lines) expect(line).toMatch(/^[^,]+,\w+,\w+,\d+,\d+,([^,]+)?$/);
    expect(taken.stdout).toContain(`post-upgrade --endpoints=${tablet} --statfile=${path}`);

    const back = await run(sandbox, "post-upgrade", ...words, "--output=json");
    expect(back.code, back.stderr + back.stdout).toBe(0);
    expect(JSON.parse(back.stdout)).toMatchObject({ command: "post-upgrade", complaints: [] });
    expect(ledBy(sandbox, tablet)).toBe(led);
    expect(existsSync(path)).toBe(false);
    expect(sandbox.model.healthy()).toEqual([]);
    expect(unserved(sandbox.model)).toBe(0);
    const over = await run(sandbox, "post-upgrade", ...words);
    expect(over.code).toBe(4);
    expect(over.stderr).toContain(`there is no statfile ${path}`);
  });

  test.each(["pre-upgrade", "post-upgrade"])(
    "%s without one endpoint is a usage error, and auto_failover stays on",
    async (command) => {
      const sandbox = await sandboxForTest({ speed: 40 });
      const missing = await run(sandbox, command);
      expect(missing.code).toBe(2);
      expect(missing.stderr).toContain("--endpoints");
      const several = await run(sandbox, command, "--endpoints=a:1,b:2");
      expect(several.code).toBe(2);
      expect(several.stderr).toContain("--endpoints names 2 tablets");
      expect(sandbox.model.leader?.autoFailover).toBe(true);
    },
  );

  test("a statfile in a missing folder ends the run before any change", async () => {
    const sandbox = await sandboxForTest({ speed: 40 });
    const before = everything(sandbox);
    const path = join(folder, "no", "stat");
    const run1 = await run(
      sandbox,
      "pre-upgrade",
      `--endpoints=${first(sandbox)}`,
      `--statfile=${path}`,
    );
    expect(run1.code).toBe(2);
    expect(run1.stderr).toContain(path);
    expect(everything(sandbox)).toEqual(before);
  });
});
