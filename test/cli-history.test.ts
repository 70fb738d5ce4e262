import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { Sandbox } from "../src/sandbox/start.js";
import { type RunOptions, type RunResult, runBin } from "./helpers/run-bin.js";
import { sandboxForTest } from "./helpers/sandbox.js";
import { closedPort } from "./helpers/tcp.js";

const base = mkdtempSync(join(tmpdir(), "openmldb-ops-history-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));

/** A killed and restarted cluster with auto_failover on. */
async function brokenSandbox(): Promise<Sandbox> {
  const sandbox = await sandboxForTest({ speed: 40, tables: 2, partitions: 8, rows: 50 });
  await sandbox.outage({ withNameservers: false });
  return sandbox;
}

const connection = (sandbox: Sandbox) => [
  `--zk_cluster=${sandbox.zkCluster}`,
  `--zk_root_path=${sandbox.zkRootPath}`,
];

/** A new home for journals; `run` starts the binary with it. */
function newHome() {
  const home = mkdtempSync(join(base, "home-"));
  const folder = join(home, "openmldb-ops");
  const run = (args: readonly string[], options: RunOptions = {}): Promise<RunResult> =>
    runBin(args, { ...options, env: { XDG_STATE_HOME: home, ...options.env } });
  const journals = () => {
    try {
      return readdirSync(join(folder, "runs")).map((name) => join(folder, "runs", name));
    } catch {
      return [];
    }
  };
  return { folder, run, journals };
}

/** The first record of a journal; id and time differ for each run. */
const STARTED = {
  kind: "run",
  journalVersion: 1,
  host: "h",
  pid: 1,
  user: "u",
  version: "0.1.0",
  command: "restore",
  commandLine: ["restore"],
  flags: {},
  cluster: { zkCluster: ["127.0.0.1:1"], zkRootPath: "/openmldb" },
};

interface RunJson {
  readonly id: string;
  readonly command: string;
  readonly result: string;
  readonly exitCode: number | null;
  readonly source: string;
  readonly resumes?: string | null;
  readonly counts: { readonly intents: number; readonly done: number } | null;
  readonly notes: readonly string[];
  readonly plan?: readonly { readonly partition: string }[];
  readonly steps?: readonly { readonly step: string }[];
  readonly calls?: readonly { readonly intent: { readonly method: string } }[];
}

const runsIn = (result: RunResult) =>
  (JSON.parse(result.stdout) as { readonly runs: readonly RunJson[] }).runs;
const runIn = (result: RunResult) => (JSON.parse(result.stdout) as { readonly run: RunJson }).run;

/** Kills the process (kill -9) as soon as a journal of the home contains `text`. */
function killedAt(text: string, journals: () => string[]): RunOptions {
  return {
    onStart(child) {
      const timer = setInterval(() => {
        if (!journals().some((path) => readFileSync(path, "utf8").includes(text))) return;
        child.kill("SIGKILL");
        clearInterval(timer);
      }, 2);
      child.on("exit", () => clearInterval(timer));
    },
  };
}

describe("history", () => {
  test("a killed run is listed with its intents; the next one continues it", async () => {
    const sandbox = await brokenSandbox();
    const { run, journals } = newHome();
    // A short session timeout: the lock of a killed run is free when its session has ended.
    const recover = ["recoverdata", ...connection(sandbox), "--zk_session_timeout=2s"];
    const tablets = [...sandbox.model.tablets.keys()];
    for (const name of tablets) sandbox.model.slowLoad(name, 60_000_000);
    const killed = await run(recover, killedAt('"method":"loadTable"', journals));
    expect(killed.code).toBeUndefined();
    for (const name of tablets) sandbox.model.slowLoad(name, 0);
    // The restart of the tablets ends the loads that the killed run began.
    await sandbox.outage({ withNameservers: false });

    const [unfinished] = runsIn(await run(["history", "--output=json"]));
    expect(unfinished).toMatchObject({
      command: "recoverdata",
      result: "unfinished",
      exitCode: null,
      source: "journal",
    });
    const id = unfinished?.id ?? "";
    const shown = await run(["--cmd=history", `--id=${id}`]);
    expect(shown.code, shown.stderr).toBe(0);
    expect(shown.stdout).toMatch(/^result +unfinished$/m);
    expect(shown.stdout).toMatch(new RegExp(`^command +openmldb-ops ${recover.join(" ")}`, "m"));
    expect(shown.stdout).toMatch(
      /^\S+Z +loadTable +\S+:\d on 127\.0\.0\.1:\d+ +(done|not known)$/m,
    );
    expect(shown.stdout).toMatch(/^flag +value$/m);
    const first = runIn(await run(["history", `--id=${id}`, "--output=json"]));
    expect(first.calls?.map(({ intent }) => intent.method)).toContain("loadTable");
    expect(first.counts?.intents).toBe(first.calls?.length);
    expect(first.plan?.map((one) => one.partition)).toContain("db1.t0:0");

    const second = await run([...recover, "--resume"]);
    expect(second.code, second.stderr).toBe(0);
    expect(second.stderr).toContain(`continues run ${id} of `);
    expect(sandbox.model.healthy()).toEqual([]);
    const runs = runsIn(await run(["history", "--output=json"]));
    expect(runs.map((one) => one.result)).toEqual(["ok", "unfinished"]);
    const last = runIn(await run(["history", `--id=${runs[0]?.id}`, "--output=json"]));
    expect(last).toMatchObject({ resumes: id, exitCode: 0 });
    expect(last.counts?.done).toBeGreaterThan(0);
    expect(last.steps?.length).toBeGreaterThan(0);

    const third = await run([...recover, "--resume"]);
    expect(third.code, third.stderr).toBe(0);
    expect(third.stderr).toContain("no unfinished run of this cluster");
  });

  test("on another machine the runs stored in ZooKeeper are shown, and marked", async () => {
    const sandbox = await brokenSandbox();
    const there = newHome();
    const recovered = await there.run(["recoverdata", ...connection(sandbox)]);
    expect(recovered.code, recovered.stderr).toBe(0);
    const here = newHome();
    expect((await here.run(["history"])).stdout).toBe("no runs yet\n");
    const list = await here.run(["history", ...connection(sandbox)]);
    expect(list.code, list.stderr).toBe(0);
    expect(list.stdout).toMatch(/ recoverdata +ok .* ZooKeeper only \(/);
    const [run] = runsIn(await here.run(["history", ...connection(sandbox), "--output=json"]));
    expect(run).toMatchObject({ source: "zookeeper", result: "ok", exitCode: 0 });
    const one = await here.run(["history", `--id=${run?.id}`, ...connection(sandbox)]);
    expect(one.stdout).toContain("Only ZooKeeper has a record of this run");
    const both = runsIn(await there.run(["history", ...connection(sandbox), "--output=json"]));
    expect(both.map((known) => known.source)).toEqual(["journal"]);
  });

  test("no secret gets into journals and ZooKeeper", async () => {
    const sandbox = await brokenSandbox();
    const { run, journals, folder } = newHome();
    const secretFile = join(base, "password");
    writeFileSync(secretFile, "hush-password\n");
    const recovered = await run(
      [
        "recoverdata",
        ...connection(sandbox),
        "--zk_cert=admin:hush-cert",
        "--user=root",
        `--password_file=${secretFile}`,
      ],
      { env: { OPENMLDB_OPS_PASSWORD: "hush-variable" } },
    );
    expect(recovered.code, recovered.stderr).toBe(0);
    expect(journals()).toHaveLength(1);
    const text = journals().map((path) => readFileSync(path, "utf8"));
    const [{ id = "" } = {}] = runsIn(await run(["history", "--output=json"]));
    const shown = await run(["history", `--id=${id}`]);
    expect(shown.stdout).toContain("--zk_cert=***");
    const list = await newHome().run(["history", ...connection(sandbox), "--output=json"], {
      env: { OPENMLDB_OPS_ZK_CERT: "admin:hush-cert" },
    });
    expect(runsIn(list)).toHaveLength(1);
    expect([...text, shown.stdout, list.stdout].join()).not.toMatch(/hush/);
    for (const path of journals()) expect(statSync(path).mode & 0o077).toBe(0);
    expect(statSync(folder).mode & 0o077).toBe(0);
  });

  test("a recovery that cannot write its journal warns once and continues", async () => {
    const sandbox = await brokenSandbox();
    const file = join(base, "file");
    writeFileSync(file, "");
    const { code, stderr } = await newHome().run([
      "recoverdata",
      ...connection(sandbox),
      `--state_dir=${file}`,
    ]);
    expect(code, stderr).toBe(0);
    expect(stderr.match(/no journal is kept of this run/g)).toHaveLength(1);
    expect(sandbox.model.healthy()).toEqual([]);
  });

  test("a half-written last line is tolerated and reported; an id may be shortened", async () => {
    const sandbox = await sandboxForTest({ tables: 1, partitions: 1, rows: 1 });
    const { run, journals, folder } = newHome();
    expect((await run(["recoverdata", ...connection(sandbox)])).code).toBe(0);
    appendFileSync(journals()[0] ?? "", 'garbage\n{"kind":"int');
    const { stdout, code } = await newHome().run(["history", "--id=2", `--state_dir=${folder}`]);
    expect(code).toBe(0);
    expect(stdout).toContain("note: the last line is incomplete");
    expect(stdout).toContain("note: 1 damaged or unknown line is left out");
    expect(stdout).toMatch(/^result +ok$/m);
  });

  test("runs of the same second are listed newest first", async () => {
    const { run, folder } = newHome();
    mkdirSync(join(folder, "runs"), { recursive: true });
    const begun = (id: string, time: string) =>
      writeFileSync(
        join(folder, "runs", `${id}.jsonl`),
        `${JSON.stringify({ ...STARTED, id, time })}\n`,
      );
    begun("20260102T030405Z-0000000a", "2026-01-02T03:04:05.900Z");
    begun("20260102T030405Z-0000000b", "2026-01-02T03:04:05.100Z");
    begun("20260102T030404Z-0000000c", "2026-01-02T03:04:04.999Z");
    const { stdout, stderr } = await run(["history", "--output=json"]);
    const { runs } = JSON.parse(stdout) as { readonly runs: readonly RunJson[] };
    expect(
      runs.map((one) => one.id.slice(-1)),
      stderr,
    ).toEqual(["a", "b", "c"]);
  });

  test("errors are reported in one line", async () => {
    const { run } = newHome();
    const unknown = await run(["history", "--id=nope"]);
    expect(unknown).toMatchObject({ code: 2, stdout: "" });
    expect(unknown.stderr).toContain("there is no run nope");
    const noRoot = await run(["history", "--zk_cluster=127.0.0.1:1"]);
    expect(noRoot.code).toBe(2);
    expect(noRoot.stderr).toContain("no --zk_root_path");
    const away = await run([
      "history",
      `--zk_cluster=127.0.0.1:${await closedPort()}`,
      "--zk_root_path=/openmldb",
      "--zk_timeout=300ms",
    ]);
    expect(away).toMatchObject({ code: 4, stdout: "no runs yet\n" });
    expect(away.stderr).toContain("the runs recorded in ZooKeeper are not shown");
  });
});

test("confset and restore are in the history, with their changes", async () => {
  const { run } = newHome();
  const sandbox = await sandboxForTest({ autoFailover: true });
  const set = await run(["confset", "auto_failover", "false", ...connection(sandbox)]);
  expect(set.code, set.stderr).toBe(0);
  const restored = await run(["restore", ...connection(sandbox)]);
  expect(restored.code, restored.stderr).toBe(0);
  const runs = runsIn(await run(["history", "--output=json"]));
  expect(runs.map((one) => [one.command, one.exitCode])).toEqual(
    expect.arrayContaining([
      ["confset", 0],
      ["restore", 0],
    ]),
  );
  const changed = runs.find((one) => one.command === "confset");
  const shown = runIn(await run(["history", `--id=${changed?.id}`, "--output=json"]));
  expect(shown.calls?.map((call) => call.intent.method)).toEqual(["confSet"]);
  const refused = await run(["recovertable", "nowhere", "--yes", ...connection(sandbox)]);
  expect(refused.code).toBe(4);
  const [last] = runsIn(await run(["history", "--output=json"]));
  const ended = runIn(await run(["history", `--id=${last?.id}`, "--output=json"]));
  expect(ended, "a run that an error ended says which").toMatchObject({
    command: "recovertable",
    exitCode: 4,
    detail: expect.stringContaining("nowhere"),
  });
});
