import { describe, expect, it } from "vitest";
import { runBin } from "./helpers/run-bin.js";
import { sandboxForTest } from "./helpers/sandbox.js";

/** Runs the binary against a new sandbox, whose auto_failover is off at first. */
async function withSandbox() {
  const sandbox = await sandboxForTest({ autoFailover: false });
  const env = {
    OPENMLDB_OPS_ZK_CLUSTER: sandbox.zkCluster,
    OPENMLDB_OPS_ZK_ROOT_PATH: sandbox.zkRootPath,
  };
  return (...args: string[]) => runBin(args, { env });
}

describe("confget and confset", () => {
  it("show and change the nameserver's configuration, and change nothing twice", async () => {
    const run = await withSandbox();
    const before = await run("confget", "auto_failover");
    expect(before).toMatchObject({
      code: 0,
      stdout: "key            value\nauto_failover  false\n",
    });

    const set = await run("--cmd=confset", "auto_failover", "true", "--output=json");
    expect(set.code).toBe(0);
    const change = { schemaVersion: 1, key: "auto_failover", before: "false", after: "true" };
    expect(JSON.parse(set.stdout)).toEqual({ ...change, changed: true, exitCode: 0 });

    const again = await run("confset", "auto_failover", "true");
    expect(again).toMatchObject({
      code: 0,
      stdout: "key            before  now\nauto_failover  true    true\n",
    });
    expect(again.stderr).toContain("auto_failover is true already");

    const after = await run("confget", "--output=json");
    expect(after.code).toBe(0);
    expect(JSON.parse(after.stdout)).toMatchObject({
      schemaVersion: 1,
      conf: { auto_failover: "true" },
    });
  });

  it("with --dry_run, like restore, print the planned change and change nothing", async () => {
    const run = await withSandbox();
    const dry = await run("confset", "auto_failover", "true", "--dry_run");
    expect(dry).toMatchObject({
      code: 0,
      stdout: "key            now    would be\nauto_failover  false  true\n",
    });
    const restore = await run("restore", "--dry_run", "--output=json");
    expect(restore.code).toBe(0);
    expect(JSON.parse(restore.stdout)).toMatchObject({ dryRun: true, wanted: null, leftBy: null });
    const after = await run("confget", "auto_failover");
    expect(after.stdout).toBe("key            value\nauto_failover  false\n");
  });

  it("list the keys, and report a missing cluster", async () => {
    const run = await withSandbox();
    const unknown = await run("confget", "auto_failovr");
    expect(unknown).toMatchObject({ code: 2, stdout: "" });
    expect(unknown.stderr).toMatch(/has no "auto_failovr" \(it has: [^\n]*auto_failover/);

    const elsewhere = await run("confget", "--zk_root_path=/nowhere");
    expect(elsewhere).toMatchObject({ code: 4, stdout: "" });
    expect(elsewhere.stderr).toContain("/nowhere");
  });
});
