import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { NameServer } from "../src/gen/openmldb/nameserver_pb.js";
import type { Sandbox } from "../src/sandbox/start.js";
import { type RunOptions, type RunResult, runBin, when } from "./helpers/run-bin.js";
import { callSandbox, sandboxForTest } from "./helpers/sandbox.js";

/** A killed and restarted cluster with auto_failover on. */
async function brokenSandbox(speed: number, more: { nameservers?: number } = {}): Promise<Sandbox> {
  const sandbox = await sandboxForTest({ speed, tables: 1, partitions: 4, rows: 50, ...more });
  await sandbox.outage({ withNameservers: false });
  return sandbox;
}

function recoverdata(
  sandbox: Sandbox,
  args: readonly string[] = [],
  options: RunOptions = {},
): Promise<RunResult> {
  return runBin(
    [
      "recoverdata",
      `--zk_cluster=${sandbox.zkCluster}`,
      `--zk_root_path=${sandbox.zkRootPath}`,
      // The slow method, so that a signal or a time limit comes during the run.
      "--method=documented",
      ...args,
    ],
    options,
  );
}

async function autoFailover(sandbox: Sandbox): Promise<string | undefined> {
  const leader = sandbox.model.leader;
  const answer = await callSandbox(
    sandbox.addressOf(leader?.endpoint ?? ""),
    NameServer.method.confGet,
    {},
  );
  return answer.conf.find((one) => one.key === "auto_failover")?.value;
}

describe("recoverdata over gRPC", () => {
  test("writes one JSON document to stdout and progress to stderr", async () => {
    const sandbox = await brokenSandbox(40);
    const { code, stdout, stderr } = await recoverdata(sandbox, ["--output=json"]);
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      schemaVersion: 1,
      command: "recoverdata",
      exitCode: 0,
      healthy: true,
      autoFailover: { before: true, after: true, notRestored: null },
    });
    expect(stderr).toContain("db1.t0:0: load-leader");
    expect(sandbox.model.healthy()).toEqual([]);
    expect(await autoFailover(sandbox)).toBe("true");
  });

  test("on a healthy cluster: exit 0, one line that says so, and no call that changes anything", async () => {
    const sandbox = await sandboxForTest({ tables: 1, partitions: 2, rows: 10 });
    const { code, stdout } = await recoverdata(sandbox);
    expect(code).toBe(0);
    expect(stdout.trim().split("\n").at(-1)).toMatch(/^recoverdata: all healthy \(.*nothing to do/);
    expect(sandbox.model.leader?.ops.list()).toEqual([]);
    expect(await autoFailover(sandbox)).toBe("true");
  });

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)(
    "%s during a run: auto_failover is restored within 5 s, exit %i",
    async (signal, exit) => {
      const sandbox = await brokenSandbox(1);
      const { code, stderr } = await recoverdata(
        sandbox,
        [],
        when(["mark-alive", (child) => void child.kill(signal)]),
      );
      // A run that needs more than 5 s to restore it ends with exit 9.
      expect(code, stderr).toBe(exit);
      expect(sandbox.model.healthy(), "the run was stopped before it was done").not.toEqual([]);
      expect(stderr).toContain("switching auto_failover off");
      expect(stderr).toContain("auto_failover is on again");
      expect(await autoFailover(sandbox)).toBe("true");
    },
  );

  test("a second signal exits at once and prints how to restore auto_failover", async () => {
    const sandbox = await brokenSandbox(1);
    const { code, stderr } = await recoverdata(
      sandbox,
      [],
      when(
        [
          "mark-alive",
          (child) => {
            for (const one of sandbox.nameservers) sandbox.model.hang(one);
            child.kill("SIGINT");
          },
        ],
        ["again to exit at once", (child) => void child.kill("SIGINT")],
      ),
    );
    expect(code, stderr).toBe(130);
    expect(stderr).toContain(
      `restore it with: openmldb-ops restore --zk_cluster=${sandbox.zkCluster} --zk_root_path=/openmldb`,
    );
  });

  test("auto_failover that cannot be restored: exit 9, and the last line is the command that does it", async () => {
    const sandbox = await brokenSandbox(1);
    const { code, stderr } = await recoverdata(
      sandbox,
      [],
      when([
        "mark-alive",
        (child) => {
          for (const one of sandbox.nameservers) sandbox.model.hang(one);
          child.kill("SIGINT");
        },
      ]),
    );
    expect(code, stderr).toBe(9);
    expect(stderr.trim().split("\n").at(-1)).toMatch(
      /could not be restored .*do it by hand: openmldb-ops restore --zk_cluster=/,
    );
    for (const one of sandbox.nameservers) sandbox.model.resume(one);
    const put = await runBin([
      "restore",
      `--zk_cluster=${sandbox.zkCluster}`,
      "--zk_root_path=/openmldb",
    ]);
    expect(put.code, put.stderr).toBe(0);
    expect(await autoFailover(sandbox)).toBe("true");
  });

  test("a time limit ends the run with exit 7, and auto_failover is restored", async () => {
    const sandbox = await brokenSandbox(1);
    const { code, stderr } = await recoverdata(sandbox, ["--timeout=2s"]);
    expect(code, stderr).toBe(7);
    expect(stderr).toContain("time limit of 2 s");
    expect(await autoFailover(sandbox)).toBe("true");
  });

  test("the leading nameserver dies during the run, which continues with the standby", async () => {
    const sandbox = await brokenSandbox(40, { nameservers: 2 });
    const { code, stderr } = await recoverdata(
      sandbox,
      [],
      when(["recover-table", () => sandbox.model.kill(sandbox.model.leader?.endpoint ?? "")]),
    );
    expect(code, stderr).toBe(0);
    expect(sandbox.model.healthy()).toEqual(["nameserver1 does not answer"]);
    expect(sandbox.model.rows().map((one) => one.served)).toEqual([50, 50, 50, 50]);
    expect(await autoFailover(sandbox)).toBe("true");
  });

  test("--report_file contains the whole report as JSON, whatever the screen shows", async () => {
    const sandbox = await brokenSandbox(40);
    const folder = mkdtempSync(join(tmpdir(), "openmldb-ops-report-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const [file, other] = [join(folder, "report.json"), join(folder, "other")];
    writeFileSync(other, "precious");
    symlinkSync(other, file);
    const { code, stdout } = await recoverdata(sandbox, [`--report_file=${file}`]);
    expect(code).toBe(0);
    expect(readFileSync(other, "utf8")).toBe("precious");
    expect(readdirSync(folder).sort()).toEqual(["other", "report.json"]);
    const report = JSON.parse(readFileSync(file, "utf8"));
    expect(report).toMatchObject({ schemaVersion: 1, command: "recoverdata", healthy: true });
    expect(stdout).toContain(`${report.counts.partitions} partitions`);
  });

  test("only one database with --db; a database that does not exist is refused", async () => {
    const sandbox = await brokenSandbox(40);
    const typo = await recoverdata(sandbox, ["--db=db9"]);
    expect(typo.code).toBe(4);
    expect(typo.stderr).toContain('has no table in a database named "db9"');
    expect((await recoverdata(sandbox, ["--db=__INTERNAL_DB"])).code).toBe(0);
    expect(sandbox.model.rows({ db: "db1" }).map((one) => one.served)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    expect(
      sandbox.model.rows({ db: "__INTERNAL_DB" }).every((one) => one.served !== undefined),
    ).toBe(true);
  });

  test("a wrong root path: the right one is suggested; a cluster without nameserver is distinguished", async () => {
    const sandbox = await sandboxForTest({ nameservers: 1 });
    const wrong = await runBin([
      "recoverdata",
      `--zk_cluster=${sandbox.zkCluster}`,
      "--zk_root_path=/nope",
    ]);
    expect(wrong.code).toBe(4);
    expect(wrong.stderr).toMatch(/no OpenMLDB cluster at \/nope; .*\/openmldb/);
    const gone = await sandboxForTest({ nameservers: 1, speed: 40 });
    gone.model.kill("nameserver1");
    // A run that still sees the znode waits for the next leader.
    await expect.poll(() => gone.model.tree.children("/openmldb/leader")).toEqual([]);
    const none = await recoverdata(gone);
    expect(none.code, none.stderr).toBe(4);
    expect(none.stderr).toMatch(/nameserver/);
    expect(none.stderr).not.toMatch(/\n\s+at /);
  });

  test("inspect reports the problems and changes nothing: exit 10, then 0", async () => {
    const sandbox = await brokenSandbox(40);
    const connection = [`--zk_cluster=${sandbox.zkCluster}`, "--zk_root_path=/openmldb"];
    const unhealthy = await runBin(["inspect", ...connection]);
    expect(unhealthy.code).toBe(10);
    expect(unhealthy.stdout).toContain("NOT SERVING");
    expect(unhealthy.stdout).toContain(
      `run: openmldb-ops --cmd=recoverdata --zk_cluster=${sandbox.zkCluster}`,
    );
    expect(sandbox.model.rows().map((one) => one.served)).toEqual(Array(4).fill(undefined));
    expect(await autoFailover(sandbox)).toBe("true");
    expect((await recoverdata(sandbox)).code).toBe(0);
    expect((await runBin(["inspect", ...connection])).code).toBe(0);
  });
});
