import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import type { Sandbox } from "../src/sandbox/start.js";
import { BIN } from "./helpers/run-bin.js";
import { sandboxForTest } from "./helpers/sandbox.js";

const examples = fileURLToPath(new URL("../examples/", import.meta.url));
const base = mkdtempSync(join(tmpdir(), "openmldb-ops-examples-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));
mkdirSync(join(base, "bin"));
symlinkSync(BIN, join(base, "bin", "openmldb-ops"));

const read = (name: string) => readFileSync(join(examples, name), "utf8");

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program with openmldb-ops in its PATH and the sandbox in its environment. */
async function runIn(sandbox: Sandbox, file: string, args: readonly string[]): Promise<Ended> {
  const env = {
    PATH: `${base}/bin:${process.env["PATH"]}`,
    HOME: base,
    OPENMLDB_OPS_ZK_CLUSTER: sandbox.zkCluster,
    OPENMLDB_OPS_ZK_ROOT_PATH: sandbox.zkRootPath,
    REPORT_DIR: base,
  };
  try {
    return { code: 0, ...(await promisify(execFile)(file, args, { env, timeout: 200_000 })) };
  } catch (error) {
    const { code, stdout, stderr } = error as Ended;
    return { code, stdout, stderr };
  }
}

/** The same for a command line, with the folders of the example in a folder of the test. */
function runLine(sandbox: Sandbox, line: string): Promise<Ended> {
  const here = line
    .replaceAll(/\/var\/\w+\/(?:[\w-]+\/)?/g, `${base}/`)
    .replace("/usr/local/bin/openmldb-ops", "openmldb-ops");
  return runIn(sandbox, "sh", ["-c", here]);
}

async function brokenSandbox(): Promise<Sandbox> {
  const sandbox = await sandboxForTest({ speed: 40 });
  await sandbox.outage({ withNameservers: false });
  return sandbox;
}

describe("openmldb_ops.py", () => {
  test("accepts the command line of start-all.sh, and returns the exit code", async () => {
    const sandbox = await brokenSandbox();
    const tool = ["python3", `${examples}openmldb_ops.py`, "--openmldb_bin_path=./bin/openmldb"];
    const run = (cmd: string) => runLine(sandbox, [...tool, `--cmd=${cmd}`].join(" "));
    expect((await run("verify")).code).toBe(10);
    const recovered = await run("recoverdata");
    expect(recovered.code, recovered.stderr).toBe(0);
    expect(recovered.stderr).toContain("--openmldb_bin_path is not needed");
    expect((await run("verify")).code).toBe(0);
    expect((await run("nonsense")).code).toBe(2);
  });

  test("a missing program is reported in one line", async () => {
    const sandbox = await sandboxForTest();
    const line = `OPENMLDB_OPS=/nowhere python3 ${examples}openmldb_ops.py --cmd=verify`;
    const { code, stderr } = await runLine(sandbox, line);
    expect([code, stderr]).toEqual([
      1,
      "openmldb_ops.py: /nowhere cannot be started: No such file or directory\n",
    ]);
  });
});

test("post-outage.sh recovers, writes the report and sends the verdict; then there is nothing to do", async () => {
  const sandbox = await brokenSandbox();
  const script = `${examples}post-outage.sh`;
  const first = await runIn(sandbox, script, []);
  expect(first.code, first.stderr).toBe(0);
  expect(first.stdout).toMatch(/^OpenMLDB: verify: all healthy .*exit code 0; report: .*\.html\n$/);
  const report = readdirSync(base).find((name) => /^recovery-.*\.html$/.test(name)) ?? "";
  expect(readFileSync(join(base, report), "utf8")).toContain("<!doctype html>");
  const second = await runIn(sandbox, script, []);
  expect([second.code, second.stdout]).toEqual([0, "OpenMLDB: all healthy, nothing to recover\n"]);
});

test("cron: the line verifies the cluster, and writes log and metrics", async () => {
  const sandbox = await sandboxForTest({ speed: 20 });
  const line = read("cron")
    .split("\n")
    .find((one) => one.startsWith("*/5"));
  const { code, stderr } = await runLine(sandbox, (line ?? "").replace(/^(\S+ ){6}/, ""));
  expect(code, stderr).toBe(0);
  expect(readFileSync(join(base, "verify.log"), "utf8")).toContain("verify: all healthy");
  expect(readFileSync(join(base, "openmldb-verify.prom"), "utf8")).toContain("openmldb_ops_");
});

test("systemd: the command of the service recovers the cluster", async () => {
  const sandbox = await brokenSandbox();
  const line = /^ExecStart=(.*)$/m.exec(read("systemd/openmldb-recover.service"))?.[1] ?? "";
  const { code, stderr } = await runLine(sandbox, line);
  expect(code, stderr).toBe(0);
  expect(readFileSync(join(base, "openmldb-recover.prom"), "utf8")).toContain("openmldb_ops_");
});

test("Kubernetes: the containers' arguments recover and verify; the password comes from a secret", async () => {
  const sandbox = await brokenSandbox();
  for (const name of ["recover-job", "verify-cronjob"]) {
    const text = read(`kubernetes/${name}.yaml`);
    const args = [...text.matchAll(/^ +- "(.*)"$/gm)].map((match) => match[1] ?? "");
    expect(args.length).toBeGreaterThan(1);
    const { code, stderr } = await runIn(sandbox, "openmldb-ops", args);
    expect(code, stderr).toBe(0);
    expect(text).toMatch(/OPENMLDB_OPS_PASSWORD\n +valueFrom:\n +secretKeyRef:/);
  }
});
