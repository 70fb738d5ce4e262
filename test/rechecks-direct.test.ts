import { describe, expect, test } from "vitest";
import { TableState } from "../src/gen/openmldb/api_pb.js";
import {
  at,
  type ChangeableTable,
  expectNoRecoverTable,
  expectRecovered,
  recoverWithChange,
  restartedTable,
  setNormalSoon,
} from "./helpers/concurrent-change.js";

describe("load-follower", () => {
  test("is stale when another client loaded it as leader meanwhile (code 101)", async () => {
    const table = await restartedTable();
    const { outcome, result } = await recoverWithChange(table, {
      before: "load-follower",
      tablet: "a",
      act: () => table.load("a", "leader"),
    });
    expect(outcome).toEqual({
      result: "stale",
      detail: "another client loaded it as leader meanwhile",
    });
    expectRecovered(table, result);
  });

  test("continues with a replica that another client loaded as follower", async () => {
    const table = await restartedTable();
    const { outcome, result } = await recoverWithChange(table, {
      before: "load-follower",
      tablet: "a",
      act: () => table.load("a", "follower"),
    });
    expect(outcome).toMatchObject({ result: "done" });
    expectRecovered(table, result);
  });

  test("does not load a removed replica", async () => {
    const table = await restartedTable();
    const { outcome, result } = await recoverWithChange(table, {
      before: "load-follower",
      tablet: "c",
      act: () => table.forget("b"),
    });
    expect(outcome.result).toBe("done");
    expect(table.replica("b")).toBeUndefined();
    expectRecovered(table, result);
  });
});

describe("promote", () => {
  test("is stale when another replica runs as leader; that one is demoted first", async () => {
    const table = await restartedTable();
    let leading: string[] = [];
    const { outcome, result } = await recoverWithChange(table, {
      before: "promote",
      act() {
        table.unload("b");
        table.load("b", "leader");
      },
      after: () => {
        leading = ["a", "b", "c"].filter((one) => table.replica(one)?.role === "leader");
      },
    });
    expect(outcome).toEqual({ result: "stale", detail: "b:9527 runs as leader now" });
    expect(leading).toEqual(["b"]);
    expectRecovered(table, result);
  });

  test("is stale when its offset is no longer the one of the decision; the longest log leads", async () => {
    const table = await restartedTable();
    const { outcome, result } = await recoverWithChange(table, {
      before: "promote",
      act() {
        table.unload("c");
        table.cut("c", 7);
        table.load("c", "follower");
      },
    });
    expect(outcome).toEqual({ result: "stale", detail: "it is at offset 23, no longer 30" });
    expect(table.flags("c")).toBe("follower,alive");
    expectRecovered(table, result);
  });

  test("is stale when it is not loaded any more, or a leadership began", async () => {
    for (const act of [
      (of: ChangeableTable) => of.unload("c"),
      (of: ChangeableTable) => of.beginTerm(7n),
    ]) {
      const table = await restartedTable();
      const { outcome } = await recoverWithChange(table, {
        before: "promote",
        act: () => act(table),
      });
      expect(outcome.result).toBe("stale");
      expect(table.virtual.model.healthy()).toEqual([]);
      expect(table.replica("c")?.term).toBe(table.newestTerm());
    }
  });

  test("of a replica that leads by now is done already", async () => {
    const table = await restartedTable();
    const { outcome, result } = await recoverWithChange(table, {
      before: "promote",
      act() {
        table.unload("c");
        table.load("c", "leader");
      },
    });
    expect(outcome.result).toBe("already-done");
    expectRecovered(table, result);
  });
});

/** The leader's disk lost rows, so that another replica is to lead. */
async function leaderLostRows(): Promise<ChangeableTable> {
  const table = await restartedTable();
  table.cut("c", 10);
  return table;
}

describe("set-flags", () => {
  test("is stale when the new leader does not run as leader: the record keeps the old one", async () => {
    const table = await leaderLostRows();
    let flags = "";
    const { outcome, result } = await recoverWithChange(table, {
      before: "set-flags",
      act: () => table.unload("a"),
      after: () => {
        flags = `${table.flags("c")} ${table.flags("a")}`;
      },
    });
    expect(outcome).toEqual({ result: "stale", detail: "it is not loaded any more" });
    expect(flags).toBe("leader,alive follower,alive");
    expectRecovered(table, result);
  });

  test("keeps an alive flag that another client changed meanwhile", async () => {
    const table = await leaderLostRows();
    let flags = "";
    const { outcome, result } = await recoverWithChange(table, {
      before: "set-flags",
      act: () => table.flag("b", { alive: false }),
      after: () => {
        flags = table.flags("b");
      },
    });
    expect(outcome).toEqual({ result: "stale", detail: "b:9527 was marked by another client" });
    expect(flags).toBe("follower,dead");
    expectRecovered(table, result);
  });

  test("is stale when another replica leads, and does not change the record", async () => {
    const table = await leaderLostRows();
    let flags = "";
    const { outcome } = await recoverWithChange(table, {
      before: "set-flags",
      act() {
        table.unload("b");
        table.load("b", "leader");
        table.flag("c", { leader: false });
        table.flag("b", { leader: true });
      },
      after: () => {
        flags = `${table.flags("a")} ${table.flags("b")}`;
      },
    });
    expect(outcome).toEqual({ result: "stale", detail: "b:9527 leads the partition now" });
    expect(flags).toBe("follower,alive leader,alive");
    expect(table.virtual.model.rows()).toMatchObject([{ lost: 0 }]);
  });

  test("is done already if the record has the flags", async () => {
    const table = await leaderLostRows();
    const { outcome, result } = await recoverWithChange(table, {
      before: "set-flags",
      act() {
        table.flag("c", { leader: false, alive: false });
        table.flag("a", { leader: true, alive: true });
      },
    });
    expect(outcome.result).toBe("already-done");
    expectRecovered(table, result);
  });
});

describe("demote", () => {
  test("does not demote a replica that leads by now", async () => {
    const table = await leaderLostRows();
    table.load("c", "leader");
    table.flag("c", { alive: false });
    let role: string | undefined;
    const { outcome } = await recoverWithChange(table, {
      before: "demote",
      tablet: "c",
      act: () => table.flag("c", { alive: true }),
      after: () => {
        role = table.replica("c")?.role;
      },
    });
    expect(outcome).toEqual({ result: "stale", detail: "it leads the partition now" });
    expect(role).toBe("leader");
    expect(table.virtual.model.rows()).toMatchObject([{ lost: 0 }]);
  });

  test("of a former leader is done already, of an unloaded replica stale", async () => {
    for (const left of ["already-done", "stale"] as const) {
      const table = await leaderLostRows();
      table.load("c", "leader");
      table.flag("c", { alive: false });
      const { outcome, result } = await recoverWithChange(table, {
        before: "demote",
        act() {
          table.unload("c");
          if (left === "already-done") table.load("c", "follower");
        },
      });
      expect(outcome.result).toBe(left);
      expectRecovered(table, result);
    }
  });
});

describe("change-leader", () => {
  /** The leader's tablet is down, and the operator chose a with --accept_data_loss. */
  async function leaderAway(): Promise<ChangeableTable> {
    const table = await restartedTable();
    table.virtual.model.kill(at("c"));
    await table.virtual.pass(20_000);
    return table;
  }
  const options = { accept: new Map([["db1.t0:0", at("a")]]) };

  test("is stale when the candidate is not at the offset on which it was decided", async () => {
    const table = await leaderAway();
    let term = 0n;
    const { outcome } = await recoverWithChange(table, {
      before: "change-leader",
      act() {
        table.unload("a");
        table.cut("a", 3);
        table.load("a", "follower");
      },
      after: () => {
        term = table.newestTerm();
      },
      options,
    });
    expect(outcome).toEqual({ result: "stale", detail: "it is at offset 27, no longer at 30" });
    expect(term).toBe(1n);
  });

  test.each([
    [
      "follower a:9527 is marked alive, but it is not loaded and serving there",
      (table: ChangeableTable) => table.unload("a"),
    ],
    [
      "no follower is marked alive, so none can lead (code 310)",
      (table: ChangeableTable) => table.flag("a", { alive: false }),
    ],
    [
      "term 5 began since it was planned for term 1",
      (table: ChangeableTable) => {
        table.beginTerm(5n);
      },
    ],
  ])("is stale when %s", async (detail, act) => {
    const table = await leaderAway();
    let term = 0n;
    const { outcome } = await recoverWithChange(table, {
      before: "change-leader",
      act: () => act(table),
      after: () => {
        term = table.newestTerm();
      },
      options,
    });
    expect(outcome).toEqual({ result: "stale", detail });
    expect(term).toBe(detail.startsWith("term") ? 5n : 1n);
  });
});

describe("mark-alive", () => {
  /** c is marked dead, so that it has to be marked alive once it leads. */
  async function leaderDead(): Promise<ChangeableTable> {
    const table = await restartedTable();
    table.flag("c", { alive: false });
    return table;
  }

  test("is stale while the replica loads, so that clients do not use it", async () => {
    const table = await leaderDead();
    let flags = "";
    const { outcome, result } = await recoverWithChange(table, {
      before: "mark-alive",
      tablet: "c",
      act() {
        const replica = table.replica("c");
        if (replica !== undefined) replica.state = TableState.kTableLoading;
        setNormalSoon(table, "c");
      },
      after: () => {
        flags = table.flags("c");
      },
    });
    expect(outcome).toMatchObject({ result: "stale", detail: expect.stringContaining("loading") });
    expect(flags).toBe("leader,dead");
    expectRecovered(table, result);
  });

  test("is stale when it runs in another role", async () => {
    const table = await leaderDead();
    let flags = "";
    const { outcome, result } = await recoverWithChange(table, {
      before: "mark-alive",
      tablet: "c",
      act() {
        table.unload("c");
        table.load("c", "follower");
      },
      after: () => {
        flags = table.flags("c");
      },
    });
    expect(outcome).toMatchObject({ result: "stale", detail: expect.stringContaining("follower") });
    expect(flags).toBe("leader,dead");
    expectRecovered(table, result);
  });

  test("of a replica that makes a snapshot is done; of one that is alive it is done already", async () => {
    for (const what of ["making a snapshot", "alive"]) {
      const table = await leaderDead();
      const { outcome, result } = await recoverWithChange(table, {
        before: "mark-alive",
        tablet: "c",
        act() {
          const replica = table.replica("c");
          if (what === "alive") table.flag("c", { alive: true });
          else if (replica !== undefined) replica.state = TableState.kMakingSnapshot;
          setNormalSoon(table, "c");
        },
      });
      expect(outcome.result).toBe(what === "alive" ? "already-done" : "done");
      await table.virtual.pass(2_000);
      expectRecovered(table, result);
    }
  });
});

describe("replicate", () => {
  /** A cluster in which b is not in the follower list of its leader. */
  async function disconnectedFollower(): Promise<ChangeableTable> {
    const table = await restartedTable();
    await table.virtual.recover();
    table.unload("b");
    return table;
  }

  test.each([
    ["it is not loaded any more", (table: ChangeableTable) => table.unload("b")],
    [
      "its tablet runs it as leader",
      (table: ChangeableTable) => {
        table.unload("b");
        table.load("b", "leader");
      },
    ],
    [
      "c:9527 is not flagged leader any more",
      (table: ChangeableTable) => {
        table.flag("c", { leader: false });
        table.flag("a", { leader: true });
      },
    ],
    [
      "its leader does not answer as leader",
      (table: ChangeableTable) => {
        table.unload("c");
        table.load("c", "follower");
      },
    ],
  ])("is stale when %s; no log is moved away", async (detail, act) => {
    const table = await disconnectedFollower();
    const { outcome, result } = await recoverWithChange(table, {
      before: "replicate",
      tablet: "b",
      act: () => act(table),
    });
    expect(outcome).toMatchObject({ result: "stale", detail: expect.stringContaining(detail) });
    expectNoRecoverTable(table);
    expectRecovered(table, result);
  });

  test("is stale when the follower is ahead of its leader: its entries are not overwritten", async () => {
    const table = await disconnectedFollower();
    let isReplicated: boolean | undefined;
    const { outcome } = await recoverWithChange(table, {
      before: "replicate",
      tablet: "b",
      act() {
        const leader = table.replica("c");
        if (leader === undefined) throw new Error("c does not lead");
        leader.dir.cutBinlog(4);
        leader.offset = leader.dir.offset;
      },
      after: () => {
        isReplicated = table.replica("c")?.links.has(at("b"));
      },
    });
    expect(outcome).toEqual({
      result: "stale",
      detail: "it is at offset 30, its leader c:9527 only at 26",
    });
    expect(isReplicated).toBe(false);
    expect(table.virtual.model.rows()).toMatchObject([{ lost: 0 }]);
    expectNoRecoverTable(table);
  });
});

test("a stale partition does not stop others, and is planned again a limited number of times", async () => {
  const table = await restartedTable(3);
  let acts = 0;
  const act = () => {
    acts += 1;
    table.unload("c");
  };
  const result = await table.virtual.recover({
    onEvent(event) {
      if (
        event.kind === "step-started" &&
        event.step.kind === "promote" &&
        event.step.id.pid === 0
      ) {
        act();
      }
    },
  });
  expect(acts).toBeGreaterThan(1);
  // Six rounds in each of three passes.
  expect(acts).toBeLessThan(19);
  const rows = table.virtual.model.rows();
  expect(rows.map((one) => one.served)).toEqual([undefined, 30, 30]);
  expect(result).toMatchObject({
    report: {
      partitions: [
        { id: { pid: 0 }, status: "unhealthy" },
        { status: "recovered" },
        { status: "recovered" },
      ],
    },
  });
});
