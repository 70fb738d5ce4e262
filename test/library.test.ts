import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, onTestFinished, test } from "vitest";
import { apiPage } from "../scripts/api-docs.js";
import {
  type Connection,
  connect,
  diagnose,
  inspect,
  isAllHealthy,
  observe,
  partitionName,
  plan,
  type RunEvent,
  recover,
} from "../src/library.js";
import type { Sandbox } from "../src/sandbox/start.js";
import { sandboxForTest } from "./helpers/sandbox.js";

const stateDir = mkdtempSync(join(tmpdir(), "openmldb-ops-library-"));
afterAll(() => rmSync(stateDir, { recursive: true, force: true }));

/** A cluster whose tablets were killed and restarted. With auto_failover off the nameserver changes nothing by itself. */
async function brokenSandbox(autoFailover: boolean): Promise<Sandbox> {
  const sandbox = await sandboxForTest({ speed: 40, partitions: 2, autoFailover });
  await sandbox.outage({ withNameservers: false });
  const isKnown = () => !sandbox.model.healthy().some((one) => one.includes("for the nameserver"));
  await expect.poll(isKnown).toBe(true);
  await sandbox.settled();
  return sandbox;
}

async function connected({ zkCluster, zkRootPath }: Sandbox): Promise<Connection> {
  const connection = await connect({ zkCluster, zkRootPath });
  onTestFinished(() => connection.close());
  return connection;
}

const unhealthyIn = async (connection: Connection) =>
  diagnose(await observe(connection)).filter(({ problems }) => problems.length > 0);

/** Resolves with the value of a promise, or with its error. */
const settled = (work: Promise<unknown>) => work.catch((error: unknown) => error);

// `npm run api` writes the page; so does `npx vitest run test/library.test.ts --update`.
test("docs/api.md is up to date with the docstrings", async () => {
  await expect(apiPage()).toMatchFileSnapshot(
    fileURLToPath(new URL("../docs/api.md", import.meta.url)),
  );
});

describe("reading functions", () => {
  test("observe, diagnose, plan and inspect agree on what is wrong, and change nothing", async () => {
    const sandbox = await brokenSandbox(false);
    const connection = await connected(sandbox);
    const unhealthy = (await unhealthyIn(connection)).map(({ view }) => partitionName(view.id));
    expect(unhealthy).toContain("db1.t0:1");
    const planned = await plan(connection);
    expect(planned.partitions.map(({ id }) => partitionName(id))).toEqual(unhealthy);
    expect(planned.partitions.every(({ first }) => first.steps.length > 0)).toBe(true);
    const one = await plan(connection, { only: { db: "db1", table: "t0", pids: [1] } });
    expect(one.partitions.map(({ id }) => partitionName(id))).toEqual(["db1.t0:1"]);
    const { isHealthy, partitions } = await inspect(connection, { db: "db1" });
    expect([isHealthy, partitions.length]).toEqual([false, 2]);
    expect(sandbox.model.tree.get("/openmldb/ops_tool")).toBeUndefined();
    expect((await unhealthyIn(connection)).length).toBe(unhealthy.length);
  });

  test("an unknown name is refused, as in the command", async () => {
    const connection = await connected(await sandboxForTest({ speed: 20 }));
    await expect(plan(connection, { only: { table: "t9" } })).rejects.toMatchObject({
      name: "OpsError",
      code: "refused",
      message: expect.stringContaining("t9"),
    });
    await expect(inspect(connection, { db: "db9" })).rejects.toMatchObject({ code: "refused" });
  });
});

describe("recover", () => {
  test("executes a plan under the lock, with a journal", async () => {
    const sandbox = await brokenSandbox(false);
    const connection = await connected(sandbox);
    const planned = await plan(connection);
    const events: RunEvent[] = [];
    let other: Promise<unknown> | undefined;
    const report = await recover(connection, {
      planned,
      stateDir,
      onEvent(event) {
        events.push(event);
        // From here on the run holds the lock.
        if (event.kind === "step-started") other ??= settled(recover(connection, { stateDir }));
      },
    });
    expect(isAllHealthy(report)).toBe(true);
    expect(await other).toMatchObject({ code: "lock-held" });
    expect(events.map(({ kind }) => kind)).toContain("note");
    expect(await unhealthyIn(connection)).toEqual([]);
    expect(sandbox.model.tree.get("/openmldb/ops_tool/lock")).toBeUndefined();
    const journals = readdirSync(stateDir, { recursive: true }).map(String);
    const written = journals.filter((name) => name.endsWith(".jsonl"));
    const texts = written.map((name) => readFileSync(join(stateDir, name), "utf8"));
    expect(texts.filter((text) => text.includes('"kind":"intent"'))).toHaveLength(1);
    const again = await recover(connection, { stateDir });
    expect([isAllHealthy(again), again.changes]).toEqual([true, 0]);
  });

  test("a stale plan changes nothing", async () => {
    const sandbox = await brokenSandbox(false);
    const connection = await connected(sandbox);
    const planned = await plan(connection);
    expect(isAllHealthy(await recover(connection, { stateDir }))).toBe(true);
    sandbox.model.kill("tablet1");
    await sandbox.settled();
    const before = await unhealthyIn(connection);
    await expect(recover(connection, { planned, stateDir })).rejects.toMatchObject({
      code: "plan-stale",
    });
    expect((await unhealthyIn(connection)).length).toBeGreaterThanOrEqual(before.length);
  });

  test("an abort during a run ends it, with auto_failover restored and the lock released", async () => {
    const sandbox = await brokenSandbox(true);
    for (const name of sandbox.model.tablets.keys()) sandbox.model.slowLoad(name, 2_000_000);
    const connection = await connected(sandbox);
    const stop = new AbortController();
    const onEvent = (event: RunEvent) => {
      if (event.kind === "step-started") stop.abort();
    };
    const { signal } = stop;
    await expect(recover(connection, { stateDir, signal, onEvent })).rejects.toMatchObject({
      code: "interrupted",
    });
    expect(sandbox.model.leader?.autoFailover).toBe(true);
    expect(sandbox.model.tree.get("/openmldb/ops_tool/lock")).toBeUndefined();
    expect(sandbox.model.tree.get("/openmldb/ops_tool/auto_failover")).toBeUndefined();
  });
});

describe("connect", () => {
  const somewhere = { zkCluster: "127.0.0.1:1", zkRootPath: "/openmldb" };

  test.each([
    [{ zkRootPath: "openmldb" }, "usage"],
    [{ zkCluster: "" }, "usage"],
    [{ rpcTimeoutMs: Number.NaN }, "usage"],
    [{ nsConcurrency: 0 }, "usage"],
    [{ zkTimeoutMs: 200 }, "zookeeper-unreachable"],
    [{ signal: AbortSignal.abort() }, "interrupted"],
  ])("%o is refused with %s", async (wrong, code) => {
    await expect(connect({ ...somewhere, ...wrong })).rejects.toMatchObject({
      name: "OpsError",
      code,
    });
  });

  test("a closed connection is not used again", async () => {
    const connection = await connected(await sandboxForTest({ speed: 20 }));
    await connection.close();
    await expect(observe(connection)).rejects.toMatchObject({ code: "usage" });
    await connection.close();
  });
});
