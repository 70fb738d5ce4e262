import { describe, expect, onTestFinished, test } from "vitest";
import { realClock } from "../src/cluster/real-clock.js";
import { connectZooKeeper } from "../src/cluster/zookeeper-client.js";
import { OpsError } from "../src/errors.js";
import type { RecoverResult } from "../src/execution/recover.js";
import type { Clock } from "../src/model/clock.js";
import { takeLock } from "../src/run/lock.js";
import { encode, thisProcess } from "../src/run/owner.js";
import type { VirtualClock } from "../src/sandbox/model/virtual-clock.js";
import { startZkServer } from "../src/sandbox/zk-server.js";
import { ZnodeTree } from "../src/sandbox/znode-tree.js";
import {
  brokenCluster,
  errorOf,
  expectAllBack,
  HOUR,
  has,
  isOn,
  LOCK,
  MARKER,
  recover,
  settle,
  texts,
  untilWorking,
} from "./helpers/protected.js";
import { startTool, type ToolProcess } from "./helpers/tool-process.js";
import { startTurnClock } from "./helpers/turn-clock.js";
import type { VirtualCluster } from "./helpers/virtual-cluster.js";

function lockOptions({ parts }: ToolProcess): Parameters<typeof takeLock>[0] {
  const { zk, cluster, owner, sessionTimeoutMs, signal, onEvent } = parts;
  return {
    zk,
    clock: cluster.clock,
    path: LOCK,
    owner,
    sessionTimeoutMs,
    waitMs: 0,
    signal,
    onEvent,
    onRetaken: () => {},
    onLost: () => {},
  };
}

describe("two runs", () => {
  test("the first one was killed: the next run on the same machine reports its lock and waits for it", async () => {
    const virtual = await brokenCluster();
    const killedTool = await startTool(virtual, "killed");
    killedTool.dieAfter(7);
    await recover(virtual, killedTool);
    const nextTool = await startTool(virtual, "next");
    const taking = takeLock({
      ...lockOptions(nextTool),
      isGone: (owner) => owner.runId === "run-killed",
    });
    await virtual.pass(9_000);
    await killedTool.endSession();
    await virtual.clock.run(taking, 1_000);
    expect(texts(nextTool)).toMatch(/run-killed.*its process is gone; waiting for ZooKeeper/);
  });

  test("the extended deadline covers only the dead holder, not its successor", async () => {
    const virtual = await brokenCluster();
    const killedTool = await startTool(virtual, "killed");
    await virtual.clock.run(takeLock(lockOptions(killedTool)), 1_000);
    const nextTool = await startTool(virtual, "next");
    const isGone = (owner: { readonly runId: string }) => owner.runId === "run-killed";
    const taking = takeLock({ ...lockOptions(nextTool), isGone });
    taking.catch(() => undefined);
    await virtual.pass(600);
    await killedTool.endSession();
    const quicker = await startTool(virtual, "quicker");
    await virtual.clock.run(takeLock(lockOptions(quicker)), 1_000);
    const began = virtual.clock.now();
    await expect(virtual.clock.run(taking, HOUR)).rejects.toMatchObject({
      code: "lock-held",
      message: expect.stringContaining("run-quicker"),
    });
    expect(virtual.clock.now() - began).toBeLessThan(1_000);
  });

  test.each([
    ["a session timeout that ZooKeeper never gives", { sessionTimeoutMs: 1e15 }, 1_000],
    ["a session timeout that is no number", { sessionTimeoutMs: "long" }, 1_000],
    ["a process id that means every process", { pid: -1 }, 1_000],
    ["the longest session timeout that can be asked for", { sessionTimeoutMs: 3_600_000 }, 44_000],
    ["more data than a lock has", { command: 7, host: "x".repeat(900_000) }, 1_000],
  ])("a lock that claims %s does not extend the wait", async (_what, fields, limitMs) => {
    const virtual = await brokenCluster();
    const other = await startTool(virtual, "other");
    const data = JSON.parse(String(encode(other.parts.owner, {})));
    const lie = Buffer.from(JSON.stringify({ ...data, ...fields }));
    await other.parts.zk.create(LOCK, lie, "ephemeral");
    const nextTool = await startTool(virtual, "next");
    const began = virtual.clock.now();
    const taking = takeLock({ ...lockOptions(nextTool), isGone: () => true });
    await expect(virtual.clock.run(taking, HOUR)).rejects.toMatchObject({ code: "lock-held" });
    expect(virtual.clock.now() - began).toBeLessThan(limitMs);
    expect(has(virtual, LOCK)).toBe(true);
  });

  test("a lock without a session is not waited for, and a hint is printed", async () => {
    const virtual = await brokenCluster();
    const nextTool = await startTool(virtual, "next");
    await nextTool.parts.zk.create(LOCK, encode(nextTool.parts.owner, {}), "persistent");
    const other = await startTool(virtual, "other");
    const began = virtual.clock.now();
    const taking = takeLock({ ...lockOptions(other), isGone: () => true });
    await expect(virtual.clock.run(taking, HOUR)).rejects.toMatchObject({
      code: "lock-held",
      message: expect.stringContaining("no ZooKeeper session owns it"),
      hint: expect.stringContaining("remove the znode"),
    });
    expect(virtual.clock.now() - began).toBeLessThan(1_000);
  });

  test("with --wait_lock both are waited for, up to its limit", async () => {
    const virtual = await brokenCluster();
    const killedTool = await startTool(virtual, "killed");
    await virtual.clock.run(takeLock(lockOptions(killedTool)), 1_000);
    const nextTool = await startTool(virtual, "next");
    const isGone = (owner: { readonly runId: string }) => owner.runId === "run-killed";
    const began = virtual.clock.now();
    const taking = takeLock({ ...lockOptions(nextTool), waitMs: 20_000, isGone });
    taking.catch(() => undefined);
    await virtual.pass(600);
    await killedTool.endSession();
    const quicker = await startTool(virtual, "quicker");
    await virtual.clock.run(takeLock(lockOptions(quicker)), 1_000);
    await expect(virtual.clock.run(taking, HOUR)).rejects.toMatchObject({ code: "lock-held" });
    const waited = virtual.clock.now() - began;
    expect(waited).toBeGreaterThanOrEqual(20_000);
    expect(waited).toBeLessThan(21_000);
  });

  test("the second one is refused at once, naming the first; the marker of an active run stays", async () => {
    const virtual = await brokenCluster();
    const first = await startTool(virtual, "first");
    const run = first.recover();
    await untilWorking(virtual, first);
    const second = await startTool(virtual, "second");
    const began = virtual.clock.now();
    await expect(recover(virtual, second)).rejects.toMatchObject({
      code: "lock-held",
      message: expect.stringMatching(
        /run-first \(user user-first on host host-first, pid 4711, since .*: openmldb-ops first\)/,
      ),
    });
    expect(virtual.clock.now() - began).toBeLessThan(1_000);
    const left = await settle(virtual, second);
    expect(left.kind).toBe("busy");
    expect({ on: isOn(virtual), marker: has(virtual, MARKER) }).toEqual({
      on: false,
      marker: true,
    });
    expect(second.changes).toEqual([]);
    expect(await virtual.clock.run(run, HOUR)).toHaveProperty("report");
    expectAllBack(virtual);
  });

  test("the second one waits with --wait_lock until the first has ended, or until the limit", async () => {
    const virtual = await brokenCluster();
    const first = await startTool(virtual, "first");
    const firstRun = first.recover();
    await untilWorking(virtual, first);
    const hasty = await startTool(virtual, "hasty", { waitLockMs: 50 });
    await expect(recover(virtual, hasty)).rejects.toMatchObject({ code: "lock-held" });
    const patient = await startTool(virtual, "patient", { waitLockMs: HOUR });
    const both = Promise.all([firstRun, patient.recover()]);
    const [, waited] = await virtual.clock.run(both, HOUR);
    expect(waited).toHaveProperty("report.changes", 0);
    expect(texts(patient)).toMatch(/held by run run-first .* waiting for it to end/);
    expectAllBack(virtual);
  });

  test("of twenty that start together one proceeds", async () => {
    const virtual = await brokenCluster();
    const tools = await Promise.all(
      Array.from({ length: 20 }, (_, index) => startTool(virtual, `t${index}`)),
    );
    const ended = await virtual.clock.run(
      Promise.allSettled(tools.map((tool) => tool.recover())),
      HOUR,
    );
    expect(ended.filter((one) => one.status === "fulfilled")).toHaveLength(1);
    expect(tools.filter((tool) => tool.changes.length > 0)).toHaveLength(1);
    expectAllBack(virtual);
  });

  test("a signal ends the wait", async () => {
    const virtual = await brokenCluster();
    const first = await startTool(virtual, "first");
    await virtual.clock.run(takeLock(lockOptions(first)), 1_000);
    const stop = new AbortController();
    const second = await startTool(virtual, "second", { waitLockMs: HOUR, signal: stop.signal });
    const run = second.recover();
    run.catch(() => undefined);
    await virtual.pass(5_000);
    stop.abort(new OpsError({ code: "interrupted", message: "stopped" }));
    await expect(virtual.clock.run(run, 1_000)).rejects.toMatchObject({ code: "interrupted" });
  });
});

describe("a session that is lost during a run", () => {
  test("the lock is free: it is acquired again, and the cluster is observed again", async () => {
    const virtual = await brokenCluster(5_000);
    const tool = await startTool(virtual, "one");
    const run = tool.recover();
    await untilWorking(virtual, tool);
    virtual.model.tree.remove(LOCK);
    const before = tool.changes.length;
    await virtual.pass(1_000);
    expect(has(virtual, LOCK)).toBe(true);
    expect(isOn(virtual)).toBe(false);
    const result = await virtual.clock.run(run, HOUR);
    expect(texts(tool)).toMatch(/lock was lost[\s\S]*observing the cluster again/);
    expect(result).toHaveProperty("report.autoFailover.before", true);
    // The problems that the first attempt found, and its changes, are in the report of the last one.
    const { report } = result as Extract<RecoverResult, { report: unknown }>;
    expect(report.partitions.map((one) => one.status)).toEqual(["recovered", "recovered"]);
    expect(report.changes).toBeGreaterThan(0);
    expect(tool.changes.length).toBeGreaterThan(before);
    expect(virtual.model.healthy()).toEqual([]);
    // Each attempt switches it off, and the last one on. It is never on in between.
    expect(tool.changes.filter((one) => one.method === "ConfSet")).toHaveLength(3);
    expectAllBack(virtual);
  });

  test("and the new observation fails: the value is restored in any case", async () => {
    const virtual = await brokenCluster();
    const tool = await startTool(virtual, "unlucky");
    const run = tool.recover();
    run.catch(() => undefined);
    await untilWorking(virtual, tool);
    for (const name of virtual.model.nameservers.keys()) virtual.model.kill(name);
    await tool.endSession();
    await virtual.pass(45_000);
    virtual.model.restart("n1:6527");
    await expect(virtual.clock.run(run, HOUR)).rejects.toThrow();
    expectAllBack(virtual);
  });

  test("another run holds the lock: no further change, and the value is left to that run", async () => {
    const virtual = await brokenCluster(5_000);
    const tool = await startTool(virtual, "one");
    const run = tool.recover();
    await untilWorking(virtual, tool);
    virtual.model.tree.remove(LOCK);
    const other = await startTool(virtual, "other");
    const otherRun = other.recover();
    const lostAt = virtual.clock.now();
    const result = await virtual.clock.run(run, HOUR);
    expect(errorOf(result)).toMatchObject({
      code: "lock-lost",
      message: expect.stringContaining("run-other"),
    });
    expect(result).toHaveProperty("notRestored", undefined);
    const late = tool.changes.filter((one) => one.at > lostAt + 1_000);
    expect(late).toEqual([]);
    expect(tool.changes.filter((one) => one.method === "ConfSet")).toHaveLength(1);
    expect(await virtual.clock.run(otherRun, HOUR)).toHaveProperty(
      "report.autoFailover.before",
      true,
    );
    expect(virtual.model.healthy()).toEqual([]);
    expectAllBack(virtual);
  });

  test("another run acquires it right before the release, and keeps it", async () => {
    const virtual = await brokenCluster();
    const [one, other] = [await startTool(virtual, "one"), await startTool(virtual, "other")];
    const lock = await virtual.clock.run(takeLock(lockOptions(one)), HOUR);
    await one.endSession();
    const theirs = await virtual.clock.run(takeLock(lockOptions(other)), HOUR);
    // This holds even if the znode has the data of the first run.
    virtual.model.tree.setData(LOCK, encode(one.parts.owner, { sessionTimeoutMs: 4_000 }));
    await virtual.clock.run(lock.release(), HOUR);
    expect(has(virtual, LOCK)).toBe(true);
    await virtual.clock.run(theirs.release(), HOUR);
    expect(has(virtual, LOCK)).toBe(false);
  });

  test("its data is overwritten, but the session still owns it: the run continues", async () => {
    const virtual = await brokenCluster(5_000);
    const tool = await startTool(virtual, "one");
    const run = tool.recover();
    await untilWorking(virtual, tool);
    const theirs = encode({ ...tool.parts.owner, runId: "another" }, { sessionTimeoutMs: 4_000 });
    for (const data of [Buffer.from("{damaged"), theirs]) {
      virtual.model.tree.setData(LOCK, data);
      await virtual.pass(3_000);
    }
    expect(await virtual.clock.run(run, HOUR)).toHaveProperty("report.autoFailover.before", true);
    expect(texts(tool)).not.toContain("lost");
    expect(virtual.model.healthy()).toEqual([]);
    expectAllBack(virtual);
  });

  test("repeatedly: the run ends, with the value restored", async () => {
    const virtual = await brokenCluster(5_000);
    const tool = await startTool(virtual, "one");
    const stop = virtual.model.tree.onChange(({ type, path }) => {
      if (type !== "created" || path !== LOCK) return;
      virtual.clock.setTimer(300, () => {
        if (has(virtual, LOCK)) virtual.model.tree.remove(LOCK);
      });
    });
    const result = await recover(virtual, tool);
    stop();
    expect(errorOf(result)).toMatchObject({ code: "lock-lost" });
    expect({ on: isOn(virtual), marker: has(virtual, MARKER) }).toEqual({
      on: true,
      marker: false,
    });
  });
});

describe("on the wire", () => {
  /** A lock that is held over the network. */
  async function heldLock(sessionTimeoutMs: number) {
    const tree = new ZnodeTree(() => Date.now());
    const server = await startZkServer({ tree });
    onTestFinished(() => server.close());
    const zk = await connectZooKeeper({
      hosts: `127.0.0.1:${server.port}`,
      timeoutMs: 30_000,
      sessionTimeoutMs,
    });
    onTestFinished(() => zk.close());
    let retaken = 0;
    const lock = await takeLock({
      zk,
      clock: realClock,
      path: LOCK,
      owner: thisProcess("openmldb-ops test"),
      sessionTimeoutMs,
      waitMs: 0,
      signal: new AbortController().signal,
      onEvent: () => {},
      onRetaken: () => {
        retaken += 1;
      },
      onLost: () => {},
    });
    onTestFinished(() => lock.release());
    return { tree, server, lock, retaken: () => retaken };
  }

  test("an expired session is detected within a second, and the lock is acquired again", async () => {
    const { tree, server, lock, retaken } = await heldLock(1_000);
    await lock.check(0);
    server.expireSessions();
    expect(tree.get(LOCK)).toBeUndefined();
    const since = startTurnClock();
    await expect.poll(retaken).toBe(1);
    expect(since()).toBeLessThan(2_000);
    await lock.check(0);
    expect(tree.get(LOCK)?.stat.ephemeralOwner).not.toBe(0n);
    await lock.release();
    expect(tree.get(LOCK)).toBeUndefined();
    await expect(lock.check()).rejects.toMatchObject({ code: "interrupted" });
  });

  test("a dropped connection has no effect, a silent server is distinguished from a held lock", async () => {
    const { server, lock, retaken } = await heldLock(2_000);
    server.dropConnections();
    await lock.check(0);
    expect(retaken()).toBe(0);
    server.pause();
    const began = startTurnClock();
    await expect(lock.check(0)).rejects.toMatchObject({ code: "zookeeper-failed" });
    expect(began()).toBeLessThan(3_000);
    server.resume();
    await lock.check();
  });
});

/** Changes that a run made after another one took the lock, while its ZooKeeper was silent. */
async function changesAfterLoss(virtual: VirtualCluster, clock: Clock): Promise<unknown[]> {
  const tool = await startTool({ ...virtual, clock: clock as VirtualClock }, "one");
  const run = tool.recover();
  await untilWorking(virtual, tool);
  tool.silence();
  virtual.clock.stepWallTime(-60_000);
  await virtual.pass(1_500);
  await tool.endSession();
  const nextTool = await startTool(virtual, "next");
  await virtual.clock.run(takeLock(lockOptions(nextTool)), 1_000);
  const takenAt = clock.now();
  await virtual.clock.run(run, HOUR);
  return tool.changes.filter(({ at }) => at > takenAt);
}

describe("a clock that is set back while ZooKeeper is silent", () => {
  test("has no effect: without a confirmation no call is made after another run holds the lock", async () => {
    const virtual = await brokenCluster(5_000);
    expect(await changesAfterLoss(virtual, virtual.clock)).toEqual([]);
  });

  test("would permit calls if time were measured by it", async () => {
    const virtual = await brokenCluster(5_000);
    const { clock } = virtual;
    const wrong: Clock = {
      now: () => clock.wallTime(),
      wallTime: () => clock.wallTime(),
      sleep: (ms, signal) => clock.sleep(ms, signal),
    };
    expect((await changesAfterLoss(virtual, wrong)).length).toBeGreaterThan(0);
  });
});

describe("a ZooKeeper that is silent", () => {
  test("for a while: no change after the first second, and the run continues afterwards", async () => {
    const virtual = await brokenCluster(5_000);
    const tool = await startTool(virtual, "one");
    const run = tool.recover();
    await untilWorking(virtual, tool);
    const silentAt = virtual.clock.now();
    tool.silence();
    await virtual.pass(6_000);
    tool.resume();
    const resumedAt = virtual.clock.now();
    expect(await virtual.clock.run(run, HOUR)).toHaveProperty("report");
    const between = tool.changes.filter(({ at }) => at > silentAt + 1_000 && at < resumedAt);
    expect(between).toEqual([]);
    expect(texts(tool)).toMatch(/ZooKeeper does not answer[\s\S]*ZooKeeper answers again/);
    expect(virtual.model.healthy()).toEqual([]);
    expectAllBack(virtual);
  });

  test("permanently: the run ends, reports that the value is not restored, and the next run does it", async () => {
    const virtual = await brokenCluster(5_000);
    const tool = await startTool(virtual, "one");
    const run = tool.recover();
    await untilWorking(virtual, tool);
    tool.silence();
    const began = virtual.clock.now();
    const result = await virtual.clock.run(run, HOUR);
    expect(virtual.clock.now() - began).toBeLessThan(120_000);
    expect(
      JSON.stringify(result, (_key, value) => (typeof value === "bigint" ? String(value) : value)),
    ).toMatch(/"notRestored":"[^"]+"/);
    expect({ on: isOn(virtual), marker: has(virtual, MARKER) }).toEqual({
      on: false,
      marker: true,
    });
    await tool.endSession();
    const nextTool = await startTool(virtual, "next");
    expect(await recover(virtual, nextTool)).toHaveProperty("report");
    expect(virtual.model.healthy()).toEqual([]);
    expectAllBack(virtual);
  });
});
