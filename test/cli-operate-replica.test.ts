import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { Sandbox } from "../src/sandbox/start.js";
import { partitionOf } from "../src/sandbox/table-store.js";
import { type RunResult, runBin } from "./helpers/run-bin.js";
import { sandboxForTest } from "./helpers/sandbox.js";

const folder = mkdtempSync(join(tmpdir(), "openmldb-ops-operate-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Four tablets, db1.t0 with two partitions of two replicas, auto_failover on; time runs fast. */
function smallCluster(): Promise<Sandbox> {
  return sandboxForTest({ tablets: 4, replicas: 2, speed: 50, autoFailover: true });
}

function ops(sandbox: Sandbox, ...words: readonly string[]): Promise<RunResult> {
  return runBin([
    ...words,
    `--zk_cluster=${sandbox.zkCluster}`,
    `--zk_root_path=${sandbox.zkRootPath}`,
  ]);
}

/** The tablets with a replica of db1.t0:0, and those without. */
function places({ model }: Sandbox) {
  const table = model.tables.find("t0", "db1");
  const metas = (table && partitionOf(table, 0))?.partitionMeta ?? [];
  const held = metas.map((one) => one.endpoint);
  return {
    leader: metas.find((one) => one.isLeader)?.endpoint ?? "",
    follower: metas.find((one) => !one.isLeader)?.endpoint ?? "",
    outsider: [...model.tablets.keys()].find((one) => !held.includes(one)) ?? "",
    alive: metas.filter((one) => one.isAlive).map((one) => one.endpoint),
    held,
  };
}

const T0 = ["--db=db1", "--table=t0", "--pid=0"];

describe("addreplica and delreplica", () => {
  test("show, save and apply a plan, which is executed as planned", async () => {
    const sandbox = await smallCluster();
    const { outsider } = places(sandbox);
    const words = ["addreplica", ...T0, `--endpoint=${outsider}`];
    const plan = join(folder, "plan.json");
    const dry = await ops(sandbox, ...words, "--dry_run", `--plan_out=${plan}`);
    expect(dry.code, dry.stderr).toBe(0);
    expect(dry.stdout).toContain(`add-replica db1.t0:0 ${outsider}`);
    expect(places(sandbox).held).not.toContain(outsider);
    expect(existsSync(plan)).toBe(true);
    expect(JSON.parse(readFileSync(plan, "utf8"))).toMatchObject({ command: "addreplica" });

    const added = await ops(sandbox, ...words, `--apply=${plan}`, "--output=json");
    expect(added.code, added.stderr).toBe(0);
    expect(JSON.parse(added.stdout)).toMatchObject({
      command: "addreplica",
      exitCode: 0,
      actions: [{ verb: "add-replica", pid: 0, endpoint: outsider, result: "done" }],
      complaints: [],
    });
    expect(places(sandbox).alive).toContain(outsider);

    const stale = await ops(sandbox, ...words, `--apply=${plan}`);
    expect(stale.code, stale.stderr).toBe(6);

    const deleted = await ops(sandbox, "delreplica", ...T0, `--endpoint=${outsider}`);
    expect(deleted.code, deleted.stderr).toBe(0);
    expect(deleted.stdout).toMatch(/del-replica db1\.t0:0 \S+ +done +kDelReplicaOP \d+/);
    expect(places(sandbox).held).not.toContain(outsider);
    expect(sandbox.model.healthy()).toEqual([]);
  });

  test("refuse with exit code 4 and a hint", async () => {
    const sandbox = await smallCluster();
    const { leader } = places(sandbox);
    const refused = await ops(sandbox, "delreplica", ...T0, `--endpoint=${leader}`);
    expect(refused.code).toBe(4);
    expect(refused.stdout).toBe("");
    expect(refused.stderr).toContain("a leader cannot be deleted");
    expect(refused.stderr).toContain("openmldb-ops changeleader --db=db1 --table=t0 --pid=0");
    const typo = await ops(sandbox, "addreplica", "--table=to", "--pid=0", `--endpoint=${leader}`);
    expect(typo.code).toBe(4);
    expect(typo.stderr).toContain("did you mean t0?");
  });
});

describe("migrate", () => {
  test("moves a follower, and auto_failover is on afterwards", async () => {
    const sandbox = await smallCluster();
    const { follower, outsider } = places(sandbox);
    const words = ["migrate", `--src=${follower}`, `--des=${outsider}`, ...T0];
    const moved = await ops(sandbox, ...words);
    expect(moved.code, moved.stderr).toBe(0);
    expect(moved.stdout).toContain(`${outsider} follows`);
    expect(places(sandbox)).toMatchObject({ follower: outsider });
    expect(sandbox.model.leader?.autoFailover).toBe(true);
    expect(sandbox.model.healthy()).toEqual([]);
    const again = await ops(sandbox, ...words);
    expect(again.code, again.stderr).toBe(0);
    expect(again.stdout).toContain("nothing to do");
  });

  test("refuses a leader with the exact command", async () => {
    const sandbox = await smallCluster();
    const { leader, follower, outsider } = places(sandbox);
    const refused = await ops(sandbox, "migrate", `--src=${leader}`, `--des=${outsider}`, ...T0);
    expect(refused.code).toBe(4);
    expect(refused.stderr).toContain(
      `openmldb-ops changeleader --db=db1 --table=t0 --pid=0 --candidate=${follower} --zk_cluster=`,
    );
    expect(sandbox.model.leader?.autoFailover).toBe(true);
  });
});

describe("the manual commands", () => {
  test("loadtable and updatetablealive bring a partition back by hand", async () => {
    const sandbox = await smallCluster();
    await sandbox.outage({ withNameservers: false });
    const { leader, follower } = places(sandbox);
    const refused = await ops(sandbox, "loadtable", ...T0, `--endpoint=${follower}`, "--leader");
    expect(refused.code).toBe(4);
    expect(refused.stderr).toMatch(/so it led last|so what it holds is not known/);
    const loaded = await ops(sandbox, "loadtable", ...T0, `--endpoint=${leader}`, "--output=json");
    expect(loaded.code, loaded.stderr).toBe(0);
    expect(JSON.parse(loaded.stdout)).toMatchObject({
      actions: [
        {
          verb: "load-table",
          role: "leader",
          result: "done",
          detail: "10 rows, leads term 1 from offset 10",
        },
      ],
    });
    const marks = ["updatetablealive", ...T0, `--endpoint=${follower}`];
    const dead = await ops(sandbox, ...marks, "--alive=no");
    expect(dead.code, dead.stderr).toBe(0);
    expect(places(sandbox).alive).toEqual([leader]);
    const wrong = await ops(sandbox, ...marks, "--alive=yes");
    expect(wrong.code).toBe(4);
    expect(wrong.stderr).toContain("cannot serve: not loaded on its tablet");
    expect(sandbox.model.leader?.autoFailover).toBe(true);
  });

  test("cancelop and deleteop", async () => {
    const sandbox = await smallCluster();
    const { outsider } = places(sandbox);
    sandbox.model.stickOp("kLoadTable", 1);
    const words = ["addreplica", ...T0, `--endpoint=${outsider}`];
    const stuck = await ops(sandbox, ...words, "--op_timeout=1s");
    expect(stuck.code, stuck.stderr).toBe(3);
    const op = sandbox.model.leader?.ops.list().at(-1);
    const id = String(op?.info.opId);
    expect(stuck.stdout).toContain(
      `op ${id} (kAddReplicaOP) has made no progress in task kLoadTable`,
    );
    const early = await ops(sandbox, "deleteop", `--op_id=${id}`);
    expect(early.code).toBe(4);
    expect(early.stderr).toContain(`cancelop --op_id=${id}`);
    const cancelled = await ops(sandbox, "cancelop", `--op_id=${id}`);
    expect(cancelled.code, cancelled.stderr).toBe(0);
    expect(cancelled.stdout).toContain("it ended as canceled");
    const deleted = await ops(sandbox, "deleteop", "--status=kCanceled");
    expect(deleted.code, deleted.stderr).toBe(0);
    expect(sandbox.model.leader?.ops.list()).not.toContain(op);
  });

  test.each([
    { words: ["deleteop"], error: "no op and no status is given" },
    {
      words: ["deleteop", "--op_id=1", "--status=done"],
      error: "give one op or one status, not both",
    },
    { words: ["cancelop", "--op_id=x"], error: "not the id of an op" },
    { words: ["addreplica", "--table=t", "--endpoint=e"], error: "--pid is missing" },
    {
      words: ["loadtable", ...T0, "--endpoint=e", "--leader", "--follower"],
      error: "--leader and --follower cannot be combined",
    },
  ])("$words is wrong usage: $error", async ({ words, error }) => {
    const wrong = await runBin([...words, "--zk_cluster=127.0.0.1:1", "--zk_root_path=/x"]);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain(error);
  });
});
