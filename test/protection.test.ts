import { describe, expect, test } from "vitest";
import { OpsError } from "../src/errors.js";
import { encode, type RunOwner } from "../src/run/owner.js";
import { settleLeftover } from "../src/run/take-over.js";
import {
  brokenCluster,
  errorOf,
  expectAllBack,
  HOUR,
  has,
  healthyCluster,
  isOn,
  LOCK,
  MARKER,
  recover,
  settle,
  texts,
  untilWorking,
} from "./helpers/protected.js";
import { startTool } from "./helpers/tool-process.js";

const OWNER: RunOwner = {
  runId: "run-x",
  host: "elsewhere",
  pid: 1,
  user: "u",
  command: "c",
  time: "2026-01-01T00:00:00.000Z",
};

describe("a run", () => {
  test("keeps the value off while it runs, and leaves neither lock nor marker", async () => {
    const virtual = await brokenCluster();
    const tool = await startTool(virtual, "one");
    const run = tool.recover();
    await untilWorking(virtual, tool);
    expect(isOn(virtual)).toBe(false);
    expect(JSON.parse(String(virtual.model.tree.get(MARKER)?.data))).toMatchObject({
      version: 1,
      original: true,
      runId: "run-one",
      host: "host-one",
      pid: 4711,
      user: "user-one",
      command: "openmldb-ops one",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    });
    expect(await virtual.clock.run(run, HOUR)).toHaveProperty("report");
    expect(virtual.model.healthy()).toEqual([]);
    expectAllBack(virtual);
  });

  test("writes no marker if the value is off, and none on a healthy cluster", async () => {
    const virtual = await healthyCluster();
    const made: string[] = [];
    virtual.model.tree.onChange(({ path }) => {
      if (path.startsWith("/openmldb/ops_tool/")) made.push(path);
    });
    const tool = await startTool(virtual, "one");
    expect(await recover(virtual, tool)).toHaveProperty("report.changes", 0);
    expect(tool.changes).toEqual([]);
    expect(made).not.toContain(MARKER);

    await virtual.clock.run(tool.cluster.confSet("auto_failover", "false"), HOUR);
    virtual.model.outage();
    await virtual.pass(30_000);
    const second = await startTool(virtual, "two");
    expect(await recover(virtual, second)).toHaveProperty("report.autoFailover.before", false);
    expect(made).not.toContain(MARKER);
    expect(isOn(virtual)).toBe(false);
    expect(virtual.model.healthy()).toEqual([]);
  });
});

describe("a killed run", () => {
  /** Every write of its own znodes and every ConfSet has a boundary before and one after it. */
  const BOUNDARIES = 14;

  test(`passes ${BOUNDARIES} boundaries`, async () => {
    const virtual = await brokenCluster();
    const tool = await startTool(virtual, "one");
    await recover(virtual, tool);
    expect(tool.boundaries()).toBe(BOUNDARIES);
  });

  test.each(Array.from({ length: BOUNDARIES }, (_, index) => index))(
    "at boundary %i never leaves the value off without a marker, and the next command restores it",
    async (index) => {
      for (const next of ["settle", "recover"] as const) {
        const virtual = await brokenCluster();
        const killedTool = await startTool(virtual, "killed");
        killedTool.dieAfter(index);
        expect(await recover(virtual, killedTool)).toBe("died");
        if (isOn(virtual) === false) expect(has(virtual, MARKER)).toBe(true);
        const wasLeft = has(virtual, MARKER);
        await virtual.pass(10_000);
        await killedTool.endSession();

        const nextTool = await startTool(virtual, "next");
        if (next === "settle") {
          expect((await settle(virtual, nextTool)).kind).toBe(wasLeft ? "restored" : "none");
        } else {
          expect(await recover(virtual, nextTool)).toHaveProperty(
            "report.autoFailover.before",
            true,
          );
          expect(virtual.model.healthy()).toEqual([]);
        }
        if (wasLeft)
          expect(texts(nextTool)).toMatch(
            /run-killed \(user user-killed on host host-killed, pid 4711, since \d{4}-/,
          );
        expectAllBack(virtual);
      }
    },
  );

  test("and its successor is killed too: the original value survives both", async () => {
    const virtual = await brokenCluster();
    const first = await startTool(virtual, "first");
    first.dieAfter(7);
    await recover(virtual, first);
    await first.endSession();
    expect(isOn(virtual)).toBe(false);
    const second = await startTool(virtual, "second");
    // The second run takes the lock and the marker over, and is killed before it restores the value.
    second.dieAfter(8);
    expect(await recover(virtual, second)).toBe("died");
    await second.endSession();
    expect(isOn(virtual)).toBe(false);
    expect(JSON.parse(String(virtual.model.tree.get(MARKER)?.data))).toMatchObject({
      runId: "run-second",
      original: true,
    });
    const third = await startTool(virtual, "third");
    expect((await settle(virtual, third)).kind).toBe("restored");
    expectAllBack(virtual);
  });

  test("on a cluster that is healthy by now: recoverdata restores the value in any case", async () => {
    const virtual = await healthyCluster();
    const admin = await startTool(virtual, "admin");
    const { owner } = (await startTool(virtual, "killed")).parts;
    virtual.model.tree.create(MARKER, encode(owner, { original: true }), { parents: true });
    await virtual.clock.run(admin.cluster.confSet("auto_failover", "false"), HOUR);
    const tool = await startTool(virtual, "one");
    expect(await recover(virtual, tool)).toMatchObject({
      report: { changes: 0, autoFailover: { before: true, after: true, notRestored: undefined } },
    });
    expectAllBack(virtual);
  });
});

/** A marker as a run writes it, with some fields replaced. */
const markerWith = (fields: object) => String(encode(OWNER, { original: true, ...fields }));

describe("a marker that no run wrote", () => {
  test.each([
    "",
    "not json",
    '{"version":2,"original":true}',
    '{"version":1,"original":"true"}',
    markerWith({ pid: -1 }),
    markerWith({ pid: 1e15 }),
    markerWith({ host: "x".repeat(100_000) }),
    markerWith({ time: { $gt: "" } }),
    `{"x":${"[".repeat(20_000)}`,
  ])(
    "%#: the value is left as it is, with one warning that names the znode and the command",
    async (data) => {
      const virtual = await healthyCluster();
      const admin = await startTool(virtual, "admin");
      await virtual.clock.run(admin.cluster.confSet("auto_failover", "false"), HOUR);
      virtual.model.tree.create(MARKER, Buffer.from(data), { parents: true });
      const tool = await startTool(virtual, "one");
      expect(await settle(virtual, tool)).toEqual({ kind: "unreadable", path: MARKER });
      expect(tool.events.filter((event) => event.kind === "warning")).toHaveLength(1);
      expect(texts(tool)).toContain(MARKER);
      expect(texts(tool)).toContain("confget auto_failover");
      expect(await recover(virtual, tool)).toHaveProperty("report.autoFailover.before", false);
      expect(isOn(virtual)).toBe(false);
      expect(has(virtual, MARKER)).toBe(true);
      expect(tool.changes).toEqual([]);
    },
  );
});

describe("a marker that asks for auto_failover off", () => {
  test("never switches the value off, and is reported", async () => {
    const virtual = await healthyCluster();
    const data = encode(OWNER, { original: false });
    virtual.model.tree.create(MARKER, data, { parents: true });
    const tool = await startTool(virtual, "one");
    expect(await settle(virtual, tool)).toEqual({ kind: "unreadable", path: MARKER });
    expect(texts(tool)).toContain(MARKER);
    expect(await recover(virtual, tool)).toHaveProperty("report.autoFailover.after", true);
    expect(tool.changes).toEqual([]);
    expect(isOn(virtual)).toBe(true);
  });

  test("a run with changes restores the nameserver's value, not the marker's", async () => {
    const virtual = await brokenCluster();
    const data = encode(OWNER, { original: false });
    virtual.model.tree.create(MARKER, data, { parents: true });
    const tool = await startTool(virtual, "one");
    expect(await recover(virtual, tool)).toHaveProperty("report.autoFailover.after", true);
    expect(tool.changes.length).toBeGreaterThan(0);
    expect(isOn(virtual)).toBe(true);
  });
});

describe("another client switches auto_failover on during the run", () => {
  async function switchedOn(more: Parameters<typeof startTool>[2] = {}) {
    const virtual = await brokenCluster(5_000);
    const tool = await startTool(virtual, "one", more);
    const admin = await startTool(virtual, "admin");
    const run = tool.recover();
    await untilWorking(virtual, tool);
    const switchOn = () =>
      virtual.clock.run(admin.cluster.confSet("auto_failover", "true"), 10_000);
    return { virtual, tool, run, switchOn };
  }

  test("the run stops, and leaves it on", async () => {
    const { virtual, tool, run, switchOn } = await switchedOn();
    await switchOn();
    const result = await virtual.clock.run(run, HOUR);
    expect(errorOf(result)).toMatchObject({
      code: "auto-failover-on",
      hint: expect.stringContaining("--keep_off"),
    });
    expect(texts(tool)).toContain("another client switched auto_failover on");
    expect(tool.changes.filter((one) => one.method === "ConfSet")).toHaveLength(1);
    expectAllBack(virtual);
  });

  test("with --keep_off it is switched off again, and restored at the end", async () => {
    const { virtual, tool, run, switchOn } = await switchedOn({ keepsOff: true });
    await switchOn();
    expect(await virtual.clock.run(run, HOUR)).toHaveProperty("report");
    expect(virtual.model.healthy()).toEqual([]);
    expect(tool.changes.filter((one) => one.method === "ConfSet")).toHaveLength(3);
    expectAllBack(virtual);
  });

  test("with --keep_off this is repeated only a few times", async () => {
    const { virtual, tool, run } = await switchedOn({ keepsOff: true });
    const leader = virtual.model.leader;
    const stop = virtual.model.tree.onChange(() => {
      if (leader?.autoFailover === false) leader.autoFailover = true;
    });
    const timers = Array.from({ length: 2_000 }, (_, index) =>
      virtual.clock.setTimer(index * 10, () => {
        if (leader !== undefined) leader.autoFailover = true;
      }),
    );
    const result = await virtual.clock.run(run, HOUR);
    stop();
    for (const cancel of timers) cancel();
    expect(errorOf(result)).toMatchObject({ code: "auto-failover-on" });
    expect(tool.changes.filter((one) => one.method === "ConfSet").length).toBeLessThanOrEqual(4);
    expectAllBack(virtual);
  });
});

describe("restoring the value", () => {
  test("is retried while the nameserver fails over", async () => {
    const virtual = await brokenCluster();
    const tool = await startTool(virtual, "one");
    // The leading nameserver is killed as soon as it is requested to restore the value.
    const dead = virtual.model.leader?.endpoint ?? "";
    const confSet = tool.cluster.confSet.bind(tool.cluster);
    const parts = {
      ...tool.parts,
      cluster: {
        ...tool.cluster,
        async confSet(key: string, value: string) {
          if (value === "true" && virtual.model.leader?.endpoint === dead) virtual.model.kill(dead);
          await confSet(key, value);
        },
      },
    };
    const { owner } = (await startTool(virtual, "killed")).parts;
    virtual.model.tree.create(MARKER, encode(owner, { original: true }), { parents: true });
    const began = virtual.clock.now();
    expect((await virtual.clock.run(settleLeftover(parts), HOUR)).kind).toBe("restored");
    expect(virtual.clock.now() - began).toBeGreaterThan(4_000);
    expect(virtual.clock.now() - began).toBeLessThan(61_000);
    expect(virtual.model.leader?.endpoint).not.toBe(dead);
    expectAllBack(virtual);
  });

  test("gives up 3 s after a signal, and keeps the marker", async () => {
    const virtual = await brokenCluster();
    const stop = new AbortController();
    const tool = await startTool(virtual, "one", { signal: stop.signal, stopSignal: stop.signal });
    const run = tool.recover();
    await untilWorking(virtual, tool);
    for (const name of ["nameserver1", "nameserver2"]) virtual.model.hang(name);
    stop.abort(new OpsError({ code: "interrupted", message: "stopped" }));
    const began = virtual.clock.now();
    const result = await virtual.clock.run(run, HOUR);
    expect(virtual.clock.now() - began).toBeLessThan(4_000);
    expect(result).toHaveProperty("notRestored", expect.stringContaining("in time"));
    expect(has(virtual, MARKER)).toBe(true);
    expect(has(virtual, LOCK)).toBe(false);
  });
});
