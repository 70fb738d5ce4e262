import { describe, expect, test } from "vitest";
import type { Sandbox } from "../src/sandbox/start.js";
import { type RunOptions, type RunResult, runBin } from "./helpers/run-bin.js";
import { sandboxForTest } from "./helpers/sandbox.js";

function ops(
  sandbox: Sandbox,
  words: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const where = [`--zk_cluster=${sandbox.zkCluster}`, `--zk_root_path=${sandbox.zkRootPath}`];
  return runBin([...words, ...where], options);
}

/** Called with the whole stdout so far, each time the process writes to it. */
function reading(
  onText: (text: string, send: (signal: NodeJS.Signals) => void) => void,
): RunOptions {
  let shown = "";
  return {
    onStart(child) {
      child.stdout?.on("data", (text: string) => {
        shown += text;
        onText(shown, (signal) => child.kill(signal));
      });
    },
  };
}

describe("inspect and verify over gRPC", () => {
  test("a healthy cluster: exit 0 without findings", async () => {
    const sandbox = await sandboxForTest({ speed: 10 });
    const inspect = await ops(sandbox, ["inspect"]);
    expect(inspect.code, inspect.stderr).toBe(0);
    expect(inspect.stdout).toMatch(
      /\ninspect: all healthy \(\d+ partitions, \d+ replicas; .*\)\n$/,
    );
    expect(inspect.stdout).not.toMatch(/^(error|warning|next)/m);
    const verify = await ops(sandbox, ["verify"]);
    expect(verify.code, verify.stderr).toBe(0);
    expect(verify.stdout).toMatch(/^verify: all healthy \(\d+ partitions, \d+ replicas\)\n$/);
  });

  test("after an outage: exit 10, the same result by both, as text and as JSON", async () => {
    const sandbox = await sandboxForTest({ speed: 40, autoFailover: false });
    await sandbox.outage({ withNameservers: false });
    const [inspect, verify] = await Promise.all([
      ops(sandbox, ["inspect", "--output=json"]),
      ops(sandbox, ["verify", "--output=json"]),
    ]);
    expect([inspect.code, verify.code]).toEqual([10, 10]);
    const [full, short] = [JSON.parse(inspect.stdout), JSON.parse(verify.stdout)];
    expect(short).toMatchObject({
      schemaVersion: 1,
      command: "verify",
      exitCode: 10,
      healthy: false,
      errors: [],
    });
    expect(short.counts).toEqual(full.counts);
    expect(full.partitions.length).toBe(full.counts.unhealthy);
    expect(full.partitions[0]).toMatchObject({ grade: "down", serving: false });
    expect(verify.stdout.trimEnd()).not.toContain("\n");
    const line = await ops(sandbox, ["verify", "--db=db1"]);
    expect(line.stdout).toMatch(
      /^verify: 2 partitions NOT healthy, 2 of them not serving, .*\(2 partitions, 6 replicas\)\n$/,
    );
  });

  test("--db and --table narrow the scope; unknown names are refused", async () => {
    const sandbox = await sandboxForTest({ speed: 10, tables: 2 });
    const one = await ops(sandbox, ["inspect", "--db=db1", "--table=t1", "--output=json"]);
    expect(one.code, one.stderr).toBe(0);
    expect(JSON.parse(one.stdout)).toMatchObject({
      scope: { db: "db1", table: "t1" },
      counts: { tables: 1, partitions: 2 },
    });
    for (const command of ["inspect", "verify"]) {
      const typo = await ops(sandbox, [command, "--table=nope"]);
      expect(typo.code).toBe(4);
      expect(typo.stderr).toContain('has no table named "nope"');
    }
  });

  test("a standby that does not answer is an error, although every partition is healthy", async () => {
    const sandbox = await sandboxForTest({ speed: 1 });
    sandbox.model.hang("nameserver2");
    const result = await ops(sandbox, ["inspect", "--rpc_timeout=4"]);
    expect(result.code, result.stderr).toBe(10);
    expect(result.stdout).toContain("[nameserver-silent]");
    expect(result.stdout).toMatch(/partitions are healthy, but servers are NOT, 1 error/);
  });
});

describe("--watch", () => {
  test("prints one JSON document a line until a signal comes", async () => {
    const sandbox = await sandboxForTest({ speed: 10 });
    const result = await ops(
      sandbox,
      ["inspect", "--watch=200ms", "--output=json"],
      reading((shown, send) => {
        if (shown.split("\n").length > 3) send("SIGINT");
      }),
    );
    expect(result.code).toBe(130);
    const documents = result.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(documents.length).toBeGreaterThanOrEqual(3);
    expect(documents.map((one) => one.healthy)).not.toContain(false);
    const times = documents.map((one) => Date.parse(one.time));
    expect(times).toEqual([...times].sort((a, b) => a - b));
  });

  test("reports a failed observation, and continues", async () => {
    const sandbox = await sandboxForTest({ speed: 40 });
    let phase = 0;
    const result = await ops(
      sandbox,
      ["inspect", "--watch=200ms", "--rpc_timeout=2"],
      reading((shown, send) => {
        if (phase === 0 && shown.includes("inspect: all healthy")) {
          phase = 1;
          for (const name of ["nameserver1", "nameserver2"]) sandbox.model.kill(name);
        }
        if (phase === 1 && shown.includes("inspect: this observation failed")) {
          phase = 2;
          for (const name of ["nameserver1", "nameserver2"]) sandbox.model.restart(name);
        }
        const after = shown.slice(shown.lastIndexOf("this observation failed"));
        if (phase === 2 && after.includes("inspect: all healthy")) send("SIGTERM");
      }),
    );
    expect(result.code, result.stderr).toBe(143);
    expect(phase).toBe(2);
    const stamps = result.stdout.match(/^== \d{4}-\d\d-\d\dT[\d:.]+Z, every 200 ms$/gm) ?? [];
    expect(stamps.length).toBeGreaterThanOrEqual(3);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are the subject.
    expect(result.stdout).not.toMatch(/\x1b/);
  });

  test("ends when its output is closed", async () => {
    const sandbox = await sandboxForTest({ speed: 10 });
    const result = await ops(sandbox, ["inspect", "--watch=100ms", "--output=json"], {
      onStart: (child) => child.stdout?.once("data", () => child.stdout?.destroy()),
    });
    expect(result.code, result.stderr).toBe(0);
  });
});
