import { describe, expect, test } from "vitest";
import { TableState } from "../src/gen/openmldb/api_pb.js";
import {
  type ChangeableTable,
  expectNoRecoverTable,
  expectRecovered,
  recoverWithChange,
  restartedTable,
  setNormalSoon,
} from "./helpers/concurrent-change.js";

const DOCUMENTED = { method: "documented" } as const;

describe("mark-dead", () => {
  test("of a replica that is marked dead by now is done already", async () => {
    const table = await restartedTable();
    const { outcome, result } = await recoverWithChange(table, {
      before: "mark-dead",
      tablet: "a",
      act: () => table.flag("a", { alive: false }),
      options: DOCUMENTED,
    });
    expect(outcome.result).toBe("already-done");
    expectRecovered(table, result);
  });

  test("of a leader that serves by now is not done: the partition keeps its leader", async () => {
    const table = await restartedTable();
    let served: number | undefined;
    const { outcome, result } = await recoverWithChange(table, {
      before: "mark-dead",
      tablet: "c",
      act: () => table.load("c", "leader"),
      after: () => {
        served = table.virtual.model.rows()[0]?.served;
      },
      options: DOCUMENTED,
    });
    expect(outcome).toEqual({ result: "stale", detail: "it leads the partition now" });
    expect(served).toBe(30);
    expectRecovered(table, result);
  });

  test("of a replica that is gone is stale", async () => {
    const table = await restartedTable();
    const { outcome, result } = await recoverWithChange(table, {
      before: "mark-dead",
      tablet: "b",
      act: () => table.forget("b"),
      options: DOCUMENTED,
    });
    expect(outcome).toEqual({ result: "stale", detail: "the replica is gone" });
    expectRecovered(table, result);
  });

  test("of a whole table skips the partition that came back meanwhile", async () => {
    const table = await restartedTable(3);
    let flags = "";
    const { result } = await recoverWithChange(table, {
      before: "mark-dead",
      tablet: "c",
      act: () => table.load("c", "leader"),
      after: () => {
        flags = table.flags("c");
      },
      options: DOCUMENTED,
    });
    expect(flags).toBe("leader,alive");
    expect(table.virtual.model.healthy()).toEqual([]);
    expect(result).toHaveProperty("report");
  });
});

describe("load-leader", () => {
  test("is stale when a newer leadership has begun; the new one is loaded with its term", async () => {
    const table = await restartedTable();
    const { outcome } = await recoverWithChange(table, {
      before: "load-leader",
      act: () => table.beginTerm(9n),
      options: DOCUMENTED,
    });
    expect(outcome).toMatchObject({ result: "stale", detail: expect.stringContaining("term 9") });
    expect(table.replica("c")).toMatchObject({ role: "leader", term: 9n });
  });

  test("is stale when another replica leads: no second leader is loaded", async () => {
    const table = await restartedTable();
    let loaded: unknown = "not looked";
    const { outcome, result } = await recoverWithChange(table, {
      before: "load-leader",
      act() {
        table.load("a", "leader");
        table.flag("c", { leader: false });
        table.flag("a", { leader: true, alive: true });
      },
      after: () => {
        loaded = table.replica("c");
      },
      options: DOCUMENTED,
    });
    expect(outcome).toMatchObject({
      result: "stale",
      detail: "a:9527 leads the partition now",
    });
    expect(loaded).toBeUndefined();
    expect(table.flags("a")).toBe("leader,alive");
    expectRecovered(table, result);
  });

  test("is stale when the replica is gone", async () => {
    const table = await restartedTable();
    const { outcome } = await recoverWithChange(table, {
      before: "load-leader",
      act: () => table.forget("c"),
      options: DOCUMENTED,
    });
    expect(outcome.result).toBe("stale");
    expect(table.replica("c")).toBeUndefined();
  });

  test("finds it loaded: as leader it is done already, as follower it gets the role", async () => {
    for (const role of ["leader", "follower"] as const) {
      const table = await restartedTable();
      const { outcome, result } = await recoverWithChange(table, {
        before: "load-leader",
        act: () => table.load("c", role),
        options: DOCUMENTED,
      });
      expect(outcome.result).toBe(role === "leader" ? "already-done" : "done");
      expect(table.flags("c")).toBe("leader,alive");
      expectRecovered(table, result);
    }
  });

  test("does not lead with an offset below the known one, whichever client loaded it", async () => {
    const table = await restartedTable();
    const { outcome, result } = await recoverWithChange(table, {
      before: "load-leader",
      act() {
        table.cut("c", 10);
        table.load("c", "follower");
      },
      options: DOCUMENTED,
    });
    expect(outcome).toMatchObject({ result: "failed", detail: expect.stringContaining("20") });
    expect(table.replica("c")?.role).toBe("follower");
    expectNoRecoverTable(table);
    expect(table.virtual.model.rows()).toMatchObject([{ lost: 0 }]);
    expect(result).toMatchObject({ report: { partitions: [{ status: "unhealthy" }] } });
  });
});

describe("change-role", () => {
  async function leaderAsFollower(): Promise<ChangeableTable> {
    const table = await restartedTable();
    table.load("c", "follower");
    return table;
  }

  test.each([
    ["it is not loaded any more", (table: ChangeableTable) => table.unload("c")],
    [
      "it does not serve: its tablet says loading",
      (table: ChangeableTable) => {
        const replica = table.replica("c");
        if (replica !== undefined) replica.state = TableState.kTableLoading;
        setNormalSoon(table, "c");
      },
    ],
    [
      "a:9527 leads the partition now",
      (table: ChangeableTable) => {
        table.load("a", "leader");
        table.flag("c", { leader: false, alive: false });
        table.flag("a", { leader: true, alive: true });
      },
    ],
  ])("is stale when %s", async (detail, act) => {
    const table = await leaderAsFollower();
    let role: string | undefined;
    const { outcome, result } = await recoverWithChange(table, {
      before: "change-role",
      act: () => act(table),
      after: () => {
        role = table.replica("c")?.role;
      },
      options: DOCUMENTED,
    });
    expect(outcome).toEqual({ result: "stale", detail });
    expect(role).not.toBe("leader");
    expectRecovered(table, result);
  });

  test("is stale when it holds less than the lower bound; it does not lead", async () => {
    const table = await leaderAsFollower();
    const { outcome } = await recoverWithChange(table, {
      before: "change-role",
      act() {
        table.unload("c");
        table.cut("c", 5);
        table.load("c", "follower");
      },
      options: DOCUMENTED,
    });
    expect(outcome).toEqual({ result: "stale", detail: "it is at offset 25, no longer 30" });
    expect(table.replica("c")?.role).toBe("follower");
    expect(table.virtual.model.rows()).toMatchObject([{ lost: 0 }]);
    expectNoRecoverTable(table);
  });

  test("of a replica that leads by now is done already", async () => {
    const table = await leaderAsFollower();
    const { outcome, result } = await recoverWithChange(table, {
      before: "change-role",
      act() {
        table.unload("c");
        table.load("c", "leader");
      },
      options: DOCUMENTED,
    });
    expect(outcome.result).toBe("already-done");
    expectRecovered(table, result);
  });
});
