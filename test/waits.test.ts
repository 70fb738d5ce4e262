import { beforeEach, describe, expect, test } from "vitest";
import { StorageMode } from "../src/gen/openmldb/common_pb.js";
import { opsOfPartition } from "../src/model/ops.js";
import type { RunEvent } from "../src/model/outcome.js";
import { sharedPoll, sharedRead } from "../src/observe/coalesced-calls.js";
import { VirtualClock } from "../src/sandbox/model/virtual-clock.js";
import { adaptiveLoadLimit } from "../src/steps/adaptive-load-limit.js";
import { LIMITS, startVirtualCluster, type VirtualCluster } from "./helpers/virtual-cluster.js";

const STALL_MS = 5_000;

/** The outcomes of steps of a kind, as `endpoint result detail`. */
function ended(events: readonly RunEvent[], kind: string): string[] {
  return events.flatMap((event) =>
    event.kind === "step-ended" && event.step.kind === kind
      ? [
          [
            event.step.endpoint,
            event.outcome.result,
            "detail" in event.outcome ? event.outcome.detail : "",
          ].join(" "),
        ]
      : [],
  );
}

describe("a load of large partitions", () => {
  let virtual: VirtualCluster;

  /** Each row takes a second to load, and there are 20 in each partition. */
  beforeEach(async () => {
    virtual = await startVirtualCluster({ model: { loadRowMs: 1_000 } });
    virtual.model.createTable({ db: "db1", table: "t1", partitions: 6, replicas: 3 });
    virtual.model.put(20);
    await virtual.pass(5_000);
    virtual.model.outage();
    await virtual.pass(30_000);
  });

  const recover = (more: Partial<typeof LIMITS> = {}) =>
    virtual.recover({ limits: { ...LIMITS, stallTimeoutMs: STALL_MS, ...more } });

  test.each([
    ["side by side", 3],
    ["queued behind others on its tablet", 6],
  ])(
    "that makes progress is never ended, %s, however long it takes",
    async (_name, loadsPerTablet) => {
      const began = virtual.clock.now();
      const result = await recover({ loadsPerTablet });
      expect(virtual.clock.now() - began).toBeGreaterThan(40_000);
      expect(ended(virtual.events, "load-follower")).toHaveLength(18);
      expect(virtual.events.filter((one) => one.kind === "warning")).toEqual([]);
      expect(result).toMatchObject({ report: { partitionCount: 6 } });
      expect(virtual.model.healthy()).toEqual([]);
    },
  );

  test("that is stuck is reported with its loaded rows", async () => {
    // The load reads all rows and then makes no progress for four minutes.
    virtual.model.slowLoad("a:9527", 240_000);
    await recover();
    expect(ended(virtual.events, "load-follower")).toContain(
      "a:9527 failed loading has made no progress beyond 19 rows for 5 s (check the log of tablet a:9527, or allow more time with --stall_timeout)",
    );
  });

  test("continues while its tablet is too busy to answer", async () => {
    virtual.clock.setTimer(8_000, () => virtual.model.loseAnswers("GetTableStatus", 1, "silence"));
    const result = await recover({ stallTimeoutMs: 30_000 });
    const failed = ended(virtual.events, "load-follower").filter((one) => !/ done /.test(one));
    expect(failed).toEqual([]);
    expect(result).toHaveProperty("report");
    expect(virtual.model.healthy()).toEqual([]);
  });
});

describe("the load limit of a tablet", () => {
  /** Loads that the test ends; `open` holds those that run. */
  function windowOf(least: number) {
    const clock = new VirtualClock();
    const window = adaptiveLoadLimit(clock, least);
    const open: (() => void)[] = [];
    const begun: number[] = [];
    let asked = 0;
    const ask = (count: number, mayQueue = true) => {
      for (let index = 0; index < count; index += 1) {
        const name = asked++;
        void window.run(() => {
          begun.push(name);
          return new Promise<void>((end) => open.push(end));
        }, mayQueue);
      }
    };
    const settle = () => new Promise((resolve) => setImmediate(resolve));
    return { clock, window, open, begun, ask, settle };
  }

  test("starts loads in order, grows when all are done at a tick, and shrinks when loads are slow", async () => {
    const { clock, window, open, begun, ask, settle } = windowOf(3);
    ask(140);
    await settle();
    expect(begun).toEqual([0, 1, 2]);
    window.tick(3);
    await settle();
    expect(open).toHaveLength(3);
    window.tick(0);
    await settle();
    expect(open).toHaveLength(12);
    window.tick(2);
    await settle();
    expect(open).toHaveLength(48);
    for (const _ of [1, 2]) {
      window.tick(0);
      await settle();
      expect(open).toHaveLength(64);
    }
    await clock.advance(2_000);
    window.tick(64);
    for (const end of open.splice(0, 62)) end();
    await settle();
    expect(open).toHaveLength(3);
    expect(begun).toEqual([...begun.keys()]);
  });

  test("queues no load that the tablet would not list", async () => {
    const { window, open, ask, settle } = windowOf(3);
    ask(2, false);
    ask(40);
    await settle();
    window.tick(0);
    window.tick(0);
    await settle();
    expect(open).toHaveLength(3);
    for (const end of open.splice(0, 2)) end();
    await settle();
    expect(open.length).toBeGreaterThan(3);
  });
});

describe("a call that many callers share", () => {
  test("is made once for callers at the same time, and again for later ones", async () => {
    const clock = new VirtualClock();
    let asked = 0;
    const look = sharedRead(clock, async () => {
      asked += 1;
      const mine = asked;
      await clock.sleep(10);
      return mine;
    });
    const answers = await clock.run(
      (async () => {
        const first = look.now();
        await clock.sleep(5);
        // The first call began before, and may not show later changes.
        return Promise.all([first, look.now(), look.now()]);
      })(),
      60_000,
    );
    expect(answers).toEqual([1, 2, 2]);
  });

  test("fails for its callers, and is made again", async () => {
    const clock = new VirtualClock();
    let asked = 0;
    const look = sharedRead(clock, async () => {
      asked += 1;
      await clock.sleep(1);
      if (asked === 1) throw new Error("busy");
      return asked;
    });
    const ended = await clock.run(Promise.allSettled([look.now(), look.now()]), 60_000);
    expect(ended.map((one) => one.status)).toEqual(["rejected", "fulfilled"]);
  });

  test("is polled less often the longer nothing changes, and reports the time of the last change", async () => {
    const clock = new VirtualClock();
    let value = 0;
    const poll = sharedPoll(
      clock,
      async () => value,
      (answer) => String(answer),
    );
    const tick = async () => {
      const began = clock.now();
      await clock.run(poll.next(), 60_000);
      return clock.now() - began;
    };
    const ticks: number[] = [];
    for (let index = 0; index < 7; index += 1) ticks.push(await tick());
    expect(ticks).toEqual([50, 50, 100, 200, 400, 800, 1_000]);
    const stood = poll.movedAt();
    value = 1;
    await tick();
    expect(poll.movedAt()).toBeGreaterThan(stood);
    expect(await tick()).toBe(50);
  });
});

test("the ops of a partition are those of its database, table and pid", () => {
  const op = (id: bigint, db: string, table: string, pid: number) => ({
    id,
    db,
    table,
    pid,
    type: "kRecoverTableOP",
    status: "doing" as const,
    task: "-",
    startTime: 0n,
    endTime: 0n,
  });
  const all = [op(1n, "db1", "t1", 0), op(2n, "db1", "t1", 1), op(3n, "", "t1", 0)];
  const of = (db: string, pid: number) =>
    opsOfPartition(all, { db, table: "t1", tid: 7, pid }).map((one) => one.id);
  expect([of("db1", 0), of("db1", 1), of("", 0), of("db2", 0)]).toEqual([[1n], [2n], [3n], []]);
});

describe("a load of a disk table, which its tablet lists only when a thread takes it", () => {
  let virtual: VirtualCluster;
  beforeEach(async () => {
    virtual = await startVirtualCluster({ model: { loadRowMs: 1_000 } });
    const { model } = virtual;
    model.createTable({ db: "db1", table: "big", partitions: 3, replicas: 3, storageMode: "hdd" });
    model.put(30);
    model.createTable({ db: "db1", table: "t1", partitions: 1, replicas: 3, storageMode: "hdd" });
    await virtual.pass(5_000);
    model.outage();
    await virtual.pass(30_000);
  });

  async function tidOf(table: string): Promise<number> {
    const call = virtual.cluster.showTable({ db: "db1", table });
    const [found] = await virtual.clock.run(call, 1_000);
    return found?.tid ?? -1;
  }

  /** Another client loads a replica on tablet a. */
  async function loadOnA(table: string, pid: number): Promise<void> {
    const id = { db: "db1", table, tid: await tidOf(table), pid };
    const load = { ...id, segCount: 8, storageMode: "hdd", role: "follower", term: 0n } as const;
    const call = virtual.cluster.loadTable("a:9527", { ...load, followers: [] });
    await virtual.clock.run(call, 1_000);
  }

  const ofT1 = () =>
    ended(
      virtual.events.filter((one) => one.kind === "step-ended" && one.step.id?.table === "t1"),
      "load-follower",
    );

  test.each([
    ["requested when a thread is free", 3],
    ["requested at once, and not listed for half a minute", 6],
  ])("is done behind three loads of another client: %s", async (_name, loadsPerTablet) => {
    for (const pid of [0, 1, 2]) await loadOnA("big", pid);
    await virtual.recover({ limits: { ...LIMITS, loadsPerTablet } });
    expect(ofT1()).toHaveLength(3);
    expect(ofT1().filter((one) => !one.includes(" done "))).toEqual([]);
    expect(virtual.model.healthy()).toEqual([]);
  });

  test("is given its time to be listed once a thread is free, however long the others made no progress", async () => {
    const { model, cluster } = virtual;
    for (const pid of [0, 1, 2]) {
      model.slowLoad("a:9527", 30_000);
      await loadOnA("big", pid);
    }
    const tid = await tidOf("t1");
    let freeAt = Number.POSITIVE_INFINITY;
    const getTableStatus: typeof cluster.getTableStatus = async (endpoint, of) => {
      const all = await cluster.getTableStatus(endpoint, of);
      if (endpoint !== "a:9527") return all;
      const others = all.filter((one) => one.tid !== tid);
      if (others.some((one) => one.state === "loading")) return others;
      freeAt = Math.min(freeAt, virtual.clock.now());
      return virtual.clock.now() < freeAt + 3_000 ? others : all;
    };
    await virtual.recover({ limits: { ...LIMITS, loadsPerTablet: 6 } }, { getTableStatus });
    expect(ofT1().filter((one) => !one.includes(" done "))).toEqual([]);
    expect(freeAt).toBeLessThan(Number.POSITIVE_INFINITY);
    expect(virtual.model.healthy()).toEqual([]);
  });

  test("is not requested again while another client's request of it is queued", async () => {
    for (const pid of [0, 1, 2]) await loadOnA("big", pid);
    await loadOnA("t1", 0);
    const requested: string[] = [];
    const loadTable: typeof virtual.cluster.loadTable = (endpoint, request) => {
      requested.push(`${endpoint} ${request.table}`);
      return virtual.cluster.loadTable(endpoint, request);
    };
    await virtual.recover({}, { loadTable });
    expect(requested).toContain("b:9527 t1");
    expect(requested).not.toContain("a:9527 t1");
    expect(virtual.model.healthy()).toEqual([]);
  });

  test("has failed if it is not listed within 10 s, and is requested once in each of the two passes", async () => {
    const { model } = virtual;
    const dir = model.tablets.get("a:9527")?.disk.dir(StorageMode.kHDD, await tidOf("t1"), 0);
    if (dir === undefined) throw new Error("a has no directory of it");
    dir.meta = { ...dir.meta, schema: undefined };
    await virtual.recover();
    const failed =
      "a:9527 failed tablet a:9527 could not load it (check its log; is the data still on its disk?)";
    expect(ofT1().filter((one) => one.startsWith("a:9527"))).toEqual([failed, failed]);
    expect(ofT1().filter((one) => one.includes(" done "))).toHaveLength(2);
  });
});
