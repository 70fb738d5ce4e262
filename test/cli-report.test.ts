import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { Sandbox } from "../src/sandbox/start.js";
import { documentsIn } from "./helpers/check-output.js";
import { runHere } from "./helpers/run-main.js";
import { sandboxForTest } from "./helpers/sandbox.js";

function folderForTest(): string {
  const folder = mkdtempSync(join(tmpdir(), "openmldb-ops-report-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function ops(sandbox: Sandbox, words: readonly string[]) {
  const where = [`--zk_cluster=${sandbox.zkCluster}`, `--zk_root_path=${sandbox.zkRootPath}`];
  return runHere([...words, ...where]);
}

test("inspect writes one report in three formats", async () => {
  const sandbox = await sandboxForTest({ speed: 40, autoFailover: false });
  await sandbox.outage({ withNameservers: false });
  const folder = folderForTest();
  const faces = ["html", "md", "json"];
  const ended = await Promise.all(
    faces.map((face) => ops(sandbox, ["inspect", `--report=${join(folder, `r.${face}`)}`])),
  );
  expect(ended.map(({ code }) => code)).toEqual([10, 10, 10]);
  // Nothing is left beside them.
  expect(readdirSync(folder).sort()).toEqual(["r.html", "r.json", "r.md"]);
  const [page, markdown, json] = faces.map((face) =>
    readFileSync(join(folder, `r.${face}`), "utf8"),
  );
  const report = JSON.parse(json ?? "");
  expect(report).toMatchObject({
    schemaVersion: 1,
    kind: "report",
    command: "inspect",
    verdict: { result: "failed", exitCode: 10, word: "unhealthy" },
    run: { id: null, cluster: `${sandbox.zkCluster}${sandbox.zkRootPath}`, changes: null },
    counts: { partitions: 7, unhealthy: 7, serving: 0 },
    autoFailover: { before: false, after: false },
  });
  expect(report.left[0].ways[0]).toEqual({
    what: "run",
    command: `openmldb-ops --cmd=recoverdata --zk_cluster=${sandbox.zkCluster} --zk_root_path=${sandbox.zkRootPath}`,
    partitions: 7,
  });
  expect(report.tablets.map((one: { after: { loaded: number } }) => one.after.loaded)).toEqual([
    0, 0, 0,
  ]);
  expect(page).toMatch(/^<!doctype html>/);
  expect(markdown).toMatch(/^# ❌ inspect: 7 partitions NOT healthy/);
});

test("verify writes metrics with the last success, and runs its hook", async () => {
  const sandbox = await sandboxForTest({ speed: 40, autoFailover: false });
  const folder = folderForTest();
  const [metrics, hookInput] = [join(folder, "ops.prom"), join(folder, "hookInput")];
  const hook = `cat > '${hookInput}'; echo "$OPENMLDB_OPS_RUN_COMMAND $OPENMLDB_OPS_RUN_EXIT_CODE"; exit 3`;
  const flags = ["verify", `--textfile=${metrics}`, `--post_hook=${hook}`];
  const good = await ops(sandbox, flags);
  expect(good.code, good.stderr).toBe(0);
  const metric = (name: string) =>
    new RegExp(`^openmldb_ops_${name}\\{command="verify",[^ ]+ (\\S+)$`, "m").exec(
      readFileSync(metrics, "utf8"),
    )?.[1];
  expect(metric("run_exit_code")).toBe("0");
  const last = metric("last_success_timestamp_seconds");
  expect(Number(last)).toBeGreaterThan(1_700_000_000);
  // The hook's output goes to stderr. Its failure is reported there and has no other effect.
  expect(good.stdout).toMatch(/^verify: all healthy[^\n]*\n$/);
  expect(good.stderr).toContain("verify 0\n");
  expect(good.stderr).toContain("--post_hook: it ended with exit code 3");
  expect(JSON.parse(readFileSync(hookInput, "utf8"))).toMatchObject({
    kind: "run-ended",
    command: "verify",
    verdict: { exitCode: 0 },
    counts: { partitions: 7, unhealthy: 0 },
  });
  await sandbox.outage({ withNameservers: false });
  const bad = await ops(sandbox, flags);
  expect(bad.code, bad.stderr).toBe(10);
  expect(metric("run_exit_code")).toBe("10");
  expect(metric("last_success_timestamp_seconds")).toBe(last);
});

test("a failed run also writes its report and metrics and runs its hook", async () => {
  const folder = folderForTest();
  const report = join(folder, "r.json");
  const { code, stderr } = await runHere([
    "verify",
    "--zk_cluster=127.0.0.1:1",
    "--zk_root_path=/openmldb",
    "--zk_timeout=300ms",
    `--report=${report}`,
    "--post_hook=echo hooked",
  ]);
  expect(code).toBe(4);
  expect(stderr).toContain("hooked");
  expect(JSON.parse(readFileSync(report, "utf8"))).toMatchObject({
    verdict: { result: "failed", exitCode: 4, headline: expect.stringContaining("ended early") },
    counts: null,
  });
});

test("a change of the leading nameserver during a run is in its events, log and timeline", async () => {
  const sandbox = await sandboxForTest({ speed: 40 });
  await sandbox.outage({ withNameservers: false });
  const [first = "", second = ""] = sandbox.nameservers;
  // The marker of auto_failover: the run has begun to change the cluster.
  sandbox.model.tree.onChange(({ path }) => {
    if (path.endsWith("/ops_tool/auto_failover")) sandbox.model.kill(first);
  });
  const path = join(folderForTest(), "r.json");
  const run = await ops(sandbox, ["recoverdata", "--output=ndjson", `--report=${path}`]);
  expect(run.code, run.stderr).toBe(0);
  const text = `nameserver ${second} leads now, in place of ${first}`;
  const changes = documentsIn(run.stdout).filter((one) => "nameserver" in one && "text" in one);
  expect(changes).toMatchObject([{ kind: "note", text, nameserver: { from: first, to: second } }]);
  const report = JSON.parse(readFileSync(path, "utf8"));
  const marks = report.timeline.marks.filter((one: { kind: string }) => one.kind === "nameserver");
  expect(marks).toMatchObject([{ lane: "nameserver", text }]);
  expect(report.log).toContainEqual(expect.objectContaining({ level: "note", text }));
});

test("a run that a time limit ended prints how to continue, and what it has done", async () => {
  const sandbox = await sandboxForTest({ speed: 20, autoFailover: false });
  await sandbox.outage({ withNameservers: false });
  sandbox.model.slowLoad("tablet1", 60_000_000);
  const path = join(folderForTest(), "r.json");
  const stoppedAfter = async (limit: string) => {
    const stopped = await ops(sandbox, ["recoverdata", `--timeout=${limit}`, `--report=${path}`]);
    expect(stopped.code, stopped.stderr).toBe(7);
    return JSON.parse(readFileSync(path, "utf8"));
  };
  let report = await stoppedAfter("2s");
  // On a busy machine that may be before its first change.
  if (report.run.changes === 0) report = await stoppedAfter("60s");
  expect(report.verdict).toMatchObject({
    exitCode: 7,
    detail: expect.stringContaining("--timeout"),
  });
  expect(report.left).toMatchObject([
    {
      ways: [
        { what: "to continue", command: expect.stringMatching(/^openmldb-ops --cmd=recoverdata/) },
      ],
    },
  ]);
  expect(report.run.changes).toBeGreaterThan(0);
});

test("recoverdata reports the replicas of tablets before and after, and writes metrics", async () => {
  const sandbox = await sandboxForTest({ speed: 40 });
  await sandbox.outage({ withNameservers: false });
  const folder = folderForTest();
  const [report, metrics] = [join(folder, "r.json"), join(folder, "m.prom")];
  const done = await ops(sandbox, ["recoverdata", `--report=${report}`, `--textfile=${metrics}`]);
  expect(done.code, done.stderr).toBe(0);
  const document = JSON.parse(readFileSync(report, "utf8"));
  expect(document).toMatchObject({
    command: "recoverdata",
    verdict: {
      result: "ok",
      headline: "all 7 partitions are healthy, 7 recovered",
      exitCode: 0,
    },
    counts: { partitions: 7, recovered: 7, unhealthy: 0 },
    autoFailover: { before: true, after: true, notRestored: null },
    left: [],
  });
  const { tablets } = document as {
    tablets: { before: { loaded: number }; after: { loaded: number; replicas: number } }[];
  };
  expect(tablets).toHaveLength(3);
  for (const { before, after } of tablets) {
    expect(before.loaded).toBe(0);
    expect(after.loaded).toBe(after.replicas);
  }
  // auto_failover may already load some of them, and those are waited for.
  expect(document.partitions).toContainEqual(
    expect.objectContaining({
      status: "recovered",
      was: [expect.stringContaining("not-loaded")],
    }),
  );
  expect(readFileSync(metrics, "utf8")).toMatch(
    /^openmldb_ops_partitions\{command="recoverdata",[^}]*state="recovered"\} 7$/m,
  );
});

test("a planned operation reports each of its partitions", async () => {
  const sandbox = await sandboxForTest({ speed: 40, autoFailover: false });
  const folder = folderForTest();
  const path = join(folder, "r.json");
  const words = ["changeleader", "--table=t0", "--pid=0", "--candidate=auto"];
  const metrics = join(folder, "ops.prom");
  // One follower is not healthy, which does not concern the command.
  const { leader } = sandbox.model.rows().find(({ pid }) => pid === 1) ?? {};
  const follower = sandbox.tablets.find((endpoint) => endpoint !== leader) ?? "";
  await ops(sandbox, ["updatetablealive", "t0", "1", follower, "no"]);
  const done = await ops(sandbox, [...words, `--report=${path}`, `--textfile=${metrics}`]);
  expect(done.code, done.stderr).toBe(0);
  const document = JSON.parse(readFileSync(path, "utf8"));
  expect(document.verdict).toMatchObject({ result: "ok", exitCode: 0 });
  const tables = { tablets: 3, tables: 6, partitions: 7 };
  const health = { healthy: 6, recovered: 0, unhealthy: 1, needsDecision: 0, serving: 7 };
  expect(document.counts).toMatchObject({ ...tables, ...health });
  expect(document.autoFailover).toMatchObject({ before: false, after: false });
  expect(document.run.calls).toBeGreaterThan(5);
  const text = readFileSync(metrics, "utf8");
  expect(text).toMatch(/^openmldb_ops_partitions\{[^}]*state="healthy"\} 6$/m);
  expect(text).toMatch(/^openmldb_ops_partitions_not_serving\{[^}]*\} 0$/m);
  expect(text).toMatch(/^openmldb_ops_auto_failover\{[^}]*\} 0$/m);
  const led = sandbox.model.rows().find(({ pid }) => pid === 0)?.leader;
  expect(document.partitions).toMatchObject([
    { partition: "db1.t0:0", status: "done", leader: led, serving: true },
  ]);
  const leaders = (when: "before" | "after") =>
    document.tablets.map((one: Record<string, { leaders: number }>) => one[when]?.leaders);
  expect(leaders("after")).not.toEqual(leaders("before"));
});

test("a report can be written for an earlier run", async () => {
  const sandbox = await sandboxForTest({ speed: 40, autoFailover: false });
  await sandbox.outage({ withNameservers: false });
  const folder = folderForTest();
  const state = `--state_dir=${folder}`;
  const own = join(folder, "own.json");
  const done = await ops(sandbox, ["recoverdata", state, `--report=${own}`]);
  expect(done.code, done.stderr).toBe(0);
  const [id = ""] = readdirSync(join(folder, "runs")).map((name) => name.replace(/\.jsonl$/, ""));
  const path = join(folder, "past.json");
  const past = await runHere(["history", `--id=${id}`, state, `--report=${path}`]);
  expect(past.code, past.stderr).toBe(0);
  const report = JSON.parse(readFileSync(path, "utf8"));
  expect(report).toMatchObject({
    command: "recoverdata",
    verdict: { result: "ok", exitCode: 0 },
    run: { id, cluster: `${sandbox.zkCluster}${sandbox.zkRootPath}` },
  });
  // The same number as in the report that the run wrote itself.
  expect(report.run.changes).toBe(JSON.parse(readFileSync(own, "utf8")).run.changes);
  expect(report.partitions).toHaveLength(7);
  expect(report.partitions[0].done).toContain("promote");
  expect(new Set(report.timeline.marks.map((one: { lane: string }) => one.lane))).toEqual(
    new Set(["nameserver", ...sandbox.tablets]),
  );
});

test("no secret is in a report", async () => {
  const folder = folderForTest();
  const path = join(folder, "r.json");
  await runHere([
    "verify",
    "--zk_cluster=127.0.0.1:1",
    "--zk_root_path=/openmldb",
    "--zk_timeout=200ms",
    "--zk_cert=ops:verysecret",
    `--report=${path}`,
    "--post_hook=true # token-1234",
  ]);
  const text = readFileSync(path, "utf8");
  expect(text).not.toMatch(/verysecret|token-1234/);
  expect(text).toContain('"name": "zkCert"');
});

test("an unwritable file is refused before any change", async () => {
  const folder = folderForTest();
  writeFileSync(join(folder, "file"), "");
  const where = ["--zk_cluster=127.0.0.1:1", "--zk_root_path=/openmldb"];
  for (const [flag, words] of [
    [`--report=${folder}/r.pdf`, "the name does not end with .html or .md or .json"],
    [`--report=${folder}/none/r.md`, "there is no such file or folder"],
    [`--textfile=${folder}/file/m.prom`, "permission denied"],
  ] as const) {
    const { code, stderr } = await runHere(["verify", ...where, flag]);
    expect(code).toBe(2);
    expect(stderr).toContain(words);
  }
  const { code, stderr } = await runHere(["history", `--report=${folder}/r.md`]);
  expect([code, stderr.trim().split("\n").at(-1)]).toEqual([
    2,
    expect.stringContaining("--report is about one run"),
  ]);
});
