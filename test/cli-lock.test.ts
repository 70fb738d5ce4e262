import type { ChildProcess } from "node:child_process";
import { userInfo } from "node:os";
import { expect, onTestFinished, test } from "vitest";
import type { Sandbox } from "../src/sandbox/start.js";
import { type RunOptions, type RunResult, runBin, when } from "./helpers/run-bin.js";
import { sandboxForTest } from "./helpers/sandbox.js";
import { startTurnClock } from "./helpers/turn-clock.js";

const MARKER = "/openmldb/ops_tool/auto_failover";
const LOCK = "/openmldb/ops_tool/lock";

/** A killed and restarted cluster with auto_failover on; loading a replica takes so many real seconds. */
async function brokenSandbox(loadSeconds = 60): Promise<Sandbox> {
  const speed = 20;
  const sandbox = await sandboxForTest({ speed, tables: 1, partitions: 4, rows: 50 });
  await sandbox.outage({ withNameservers: false });
  for (const name of sandbox.model.tablets.keys()) {
    sandbox.model.slowLoad(name, loadSeconds * 1_000 * speed);
  }
  return sandbox;
}

function ops(
  sandbox: Sandbox,
  words: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const connection = [
    `--zk_cluster=${sandbox.zkCluster}`,
    `--zk_root_path=${sandbox.zkRootPath}`,
    // Sessions of killed runs are ended by the tests; see `endSession`.
    "--zk_session_timeout=40s",
  ];
  return runBin([...words, ...connection], options);
}

/** A recoverdata that has begun its changes. */
interface Working {
  readonly child: ChildProcess;
  readonly ended: Promise<RunResult>;
}

async function startWorking(sandbox: Sandbox, words: readonly string[] = []): Promise<Working> {
  let child: ChildProcess | undefined;
  const ended = ops(sandbox, ["recoverdata", ...words], {
    onStart(started) {
      child = started;
      onTestFinished(() => void started.kill("SIGKILL"));
    },
  });
  await expect.poll(() => isOn(sandbox)).toBe(false);
  return { child: child as ChildProcess, ended };
}

function isOn({ model }: Sandbox): boolean | undefined {
  return model.leader?.autoFailover;
}

function has({ model }: Sandbox, path: string): boolean {
  return model.tree.get(path) !== undefined;
}

/** Ends the session of the run that holds the lock, as ZooKeeper does some time after a death. */
function endSession({ model }: Sandbox): void {
  model.tree.closeSession(model.tree.get(LOCK)?.stat.ephemeralOwner ?? 0n);
}

/** Starts a run and kills it after its first change. */
async function killedRun(sandbox: Sandbox, { hasSession = false } = {}): Promise<void> {
  const { child, ended } = await startWorking(sandbox);
  child.kill("SIGKILL");
  await ended;
  if (!hasSession) endSession(sandbox);
  expect({ on: isOn(sandbox), marker: has(sandbox, MARKER) }).toEqual({ on: false, marker: true });
}

test("a second run exits with 5 at once and names the first run, whose marker stays", async () => {
  const sandbox = await brokenSandbox();
  const { child, ended } = await startWorking(sandbox);
  const began = startTurnClock();
  const second = await ops(sandbox, ["recoverdata"]);
  // It does not wait for the session of the first run, also on a busy machine.
  expect(began()).toBeLessThan(30_000);
  expect(second.code, second.stderr).toBe(5);
  const { username } = userInfo();
  expect(second.stderr).toContain(`user ${username} on host `);
  expect(second.stderr).toMatch(
    new RegExp(`pid ${child.pid}, since \\d{4}-[^:]+:\\d\\d:[^:]+: openmldb-ops --cmd=recoverdata`),
  );
  for (const words of [["restore"], ["confset", "auto_failover", "true"]]) {
    const refused = await ops(sandbox, words);
    expect(refused.code, refused.stderr).toBe(5);
  }
  const looked = await ops(sandbox, ["confget", "auto_failover", "--output=json"]);
  expect(looked.code, looked.stderr).toBe(0);
  expect(JSON.parse(looked.stdout)).toMatchObject({ conf: { auto_failover: "false" } });
  expect(looked.stderr).toContain("auto_failover is left as it is");
  expect({ on: isOn(sandbox), marker: has(sandbox, MARKER) }).toEqual({ on: false, marker: true });
  child.kill("SIGINT");
  expect((await ended).code).toBe(130);
  expect({ on: isOn(sandbox), marker: has(sandbox, MARKER), lock: has(sandbox, LOCK) }).toEqual({
    on: true,
    marker: false,
    lock: false,
  });
});

test("--wait_lock waits until the first run has ended", async () => {
  const sandbox = await brokenSandbox();
  const { child, ended } = await startWorking(sandbox);
  const short = await ops(sandbox, ["restore", "--wait_lock=500ms"]);
  expect(short.code, short.stderr).toBe(5);
  const long = ops(sandbox, ["confset", "auto_failover", "false", "--wait_lock=20"], {
    onStderr: (text) => text.includes("waiting for it to end") && child.kill("SIGTERM"),
  });
  expect((await ended).code).toBe(143);
  const waited = await long;
  expect(waited.code, waited.stderr).toBe(0);
  expect(isOn(sandbox)).toBe(false);
});

test.each([
  [["restore"], 0, "auto_failover is true again\n"],
  [["inspect"], 10, "auto_failover is on\n"],
  [["confget", "auto_failover"], 0, "auto_failover  true\n"],
] as const)(
  "after kill -9 during a run, %j names the run and restores the value",
  async (words, code, text) => {
    const sandbox = await brokenSandbox();
    await killedRun(sandbox, { hasSession: true });
    const waits = "waiting for ZooKeeper to end its session";
    const next = await ops(sandbox, words, when([waits, () => endSession(sandbox)]));
    expect(next.code, next.stderr).toBe(code);
    expect(next.stdout).toContain(text);
    expect(next.stderr).toMatch(/its process is gone; waiting for ZooKeeper to end its session/);
    expect(next.stderr).toMatch(
      /run \S+ \(user .* since .*\) ended without restoring auto_failover/,
    );
    expect({ on: isOn(sandbox), marker: has(sandbox, MARKER), lock: has(sandbox, LOCK) }).toEqual({
      on: true,
      marker: false,
      lock: false,
    });
    const again = await ops(sandbox, ["restore", "--output=json"]);
    expect(again.code).toBe(0);
    expect(JSON.parse(again.stdout)).toMatchObject({
      schemaVersion: 1,
      result: "none",
      leftBy: null,
    });
  },
);

test("after kill -9 during a run, recoverdata continues and restores the original value", async () => {
  const sandbox = await brokenSandbox();
  await killedRun(sandbox);
  for (const name of sandbox.model.tablets.keys()) sandbox.model.slowLoad(name, 0);
  // A load that the killed run began would continue for a minute: the tablets are restarted, which ends it.
  await sandbox.outage({ withNameservers: false });
  const next = await ops(sandbox, ["recoverdata", "--output=json"]);
  expect(next.code, next.stderr).toBe(0);
  expect(JSON.parse(next.stdout)).toMatchObject({
    healthy: true,
    autoFailover: { before: true, after: true, notRestored: null },
  });
  expect({ on: isOn(sandbox), marker: has(sandbox, MARKER) }).toEqual({ on: true, marker: false });
  expect(sandbox.model.healthy()).toEqual([]);
});

test("after kill -9 a dry run changes nothing, and names the run and the command that restores the value", async () => {
  const sandbox = await brokenSandbox();
  await killedRun(sandbox);
  const dry = await ops(sandbox, ["recoverdata", "--dry_run"]);
  expect(dry.code, dry.stderr).toBe(0);
  expect(dry.stderr).toMatch(
    /run \S+ \(user .*\) ended without restoring auto_failover to true; a dry run changes nothing; .*: openmldb-ops restore --zk_cluster=/,
  );
  expect({ on: isOn(sandbox), marker: has(sandbox, MARKER) }).toEqual({ on: false, marker: true });
});

test("a dry run during another run reports that this run has switched the value off", async () => {
  const sandbox = await brokenSandbox();
  const { child, ended } = await startWorking(sandbox);
  const dry = await ops(sandbox, ["recoverdata", "--dry_run"]);
  child.kill("SIGTERM");
  await ended;
  expect(dry.code, dry.stderr).toBe(0);
  expect(dry.stderr).toMatch(/auto_failover is switched off by run \S+ .*, which is in progress/);
});

test("after kill -9, confset overrides: the value stays, the marker is removed", async () => {
  const sandbox = await brokenSandbox();
  await killedRun(sandbox);
  const set = await ops(sandbox, ["confset", "auto_failover", "false"]);
  expect(set.code, set.stderr).toBe(0);
  expect(set.stderr).toContain("this value replaces the one that was to be restored");
  expect({ on: isOn(sandbox), marker: has(sandbox, MARKER) }).toEqual({ on: false, marker: false });
});

test("an invalid marker: restore exits with 4, changes nothing and prints what to do", async () => {
  const sandbox = await sandboxForTest({ autoFailover: false });
  sandbox.model.tree.create(MARKER, Buffer.from("{"), { parents: true });
  const { code, stdout, stderr } = await ops(sandbox, ["restore"]);
  expect(code, stderr).toBe(4);
  expect(stdout).toContain(MARKER);
  expect(stderr).toContain("show the value with: openmldb-ops confget auto_failover --zk_cluster=");
  expect({ on: isOn(sandbox), marker: has(sandbox, MARKER) }).toEqual({ on: false, marker: true });
  const set = await ops(sandbox, ["confset", "auto_failover", "false"]);
  expect(set.code, set.stderr).toBe(0);
  expect(has(sandbox, MARKER)).toBe(false);
});

test("restore reports a wrong root path and writes nothing there", async () => {
  const sandbox = await sandboxForTest({});
  for (const words of [["restore"], ["recoverdata"], ["confset", "auto_failover", "true"]]) {
    const wrong = await runBin([
      ...words,
      `--zk_cluster=${sandbox.zkCluster}`,
      "--zk_root_path=/nope",
    ]);
    expect(wrong.code, wrong.stderr).toBe(4);
    expect(wrong.stderr).toContain("no OpenMLDB cluster at /nope");
  }
  expect(has(sandbox, "/nope")).toBe(false);
});

test("restore that cannot restore the value exits with 9, and the last line is the command to try again", async () => {
  const sandbox = await brokenSandbox();
  await killedRun(sandbox);
  for (const name of sandbox.nameservers) sandbox.model.hang(name);
  let isSent = false;
  const failed = await ops(sandbox, ["restore"], {
    onStderr(text, child) {
      if (isSent || !text.includes("ended without restoring")) return;
      isSent = true;
      child.kill("SIGINT");
    },
  });
  expect(failed.code, failed.stderr).toBe(9);
  expect(failed.stderr.trim().split("\n").at(-1)).toMatch(
    /could not be restored .*: openmldb-ops restore --zk_cluster=/,
  );
  expect(has(sandbox, MARKER)).toBe(true);
});

test("another client switches auto_failover on during the run: exit 3, and it stays on", async () => {
  const sandbox = await brokenSandbox(2);
  // The nameserver refuses the change that follows each load. The direct method may need no change of the record.
  const working = await startWorking(sandbox, ["--output=json", "--method=documented"]);
  const leader = sandbox.model.leader;
  if (leader !== undefined) leader.autoFailover = true;
  const ended = await working.ended;
  expect(ended.code, ended.stderr).toBe(3);
  expect(JSON.parse(ended.stdout)).toMatchObject({
    error: { code: "auto-failover-on" },
    exitCode: 3,
  });
  expect(ended.stderr).toContain("--keep_off");
  expect({ on: isOn(sandbox), marker: has(sandbox, MARKER), lock: has(sandbox, LOCK) }).toEqual({
    on: true,
    marker: false,
    lock: false,
  });
});
