import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isFieldSet } from "@bufbuild/protobuf";
import { describe, expect, onTestFinished, test } from "vitest";
import { COMMANDS } from "../src/cli/command-table.js";
import { PartitionMetaSchema } from "../src/gen/openmldb/nameserver_pb.js";
import type { Sandbox } from "../src/sandbox/start.js";
import { aliveLeader, partitionOf } from "../src/sandbox/table-store.js";
import { type RunResult, runBin } from "./helpers/run-bin.js";
import { sandboxForTest } from "./helpers/sandbox.js";

function ops(sandbox: Sandbox, ...args: readonly string[]): Promise<RunResult> {
  return runBin([
    ...args,
    `--zk_cluster=${sandbox.zkCluster}`,
    `--zk_root_path=${sandbox.zkRootPath}`,
  ]);
}

/** The leader of a partition of db1.t0 by the nameserver's record. */
function leaderOf({ model }: Sandbox, pid = 0): string {
  const table = model.tables.find("t0", "db1");
  return aliveLeader(table && partitionOf(table, pid))?.endpoint ?? "none";
}

async function serving(): Promise<Sandbox> {
  return sandboxForTest({ tables: 1, partitions: 2, rows: 20, speed: 20, autoFailover: true });
}

/** Whether the nameserver has asked every tablet what it holds, as it does every two seconds. */
function hasSeenOffsets({ model }: Sandbox): boolean {
  const partitions = model.leader?.tables.all().flatMap((one) => one.tablePartition) ?? [];
  return partitions
    .flatMap((one) => one.partitionMeta)
    .every((meta) => isFieldSet(meta, PartitionMetaSchema.field.offset));
}

/** Kills the tablet that leads db1.t0:0, with auto_failover off and all offsets known, and waits until the nameserver has noticed. */
async function leaderDies(sandbox: Sandbox): Promise<{ name: string; endpoint: string }> {
  const endpoint = leaderOf(sandbox);
  const { model } = sandbox;
  model.leader?.setAutoFailover(false);
  await expect.poll(() => hasSeenOffsets(sandbox)).toBe(true);
  const name = model.processes.find((one) => one.tablet?.endpoint === endpoint)?.name ?? "";
  model.kill(name);
  await expect.poll(() => model.leader?.isHealthy(endpoint) === false).toBe(true);
  return { name, endpoint };
}

describe("changeleader", () => {
  test("--dry_run shows the plan and changes nothing; the command itself does it, exit 0", async () => {
    const sandbox = await serving();
    const before = leaderOf(sandbox);
    const words = ["changeleader", "--db=db1", "--table=t0", "--pid=0", "--candidate=auto"];
    const dry = await ops(sandbox, ...words, "--dry_run", "--output=json");
    expect(dry.code, dry.stderr).toBe(0);
    expect(JSON.parse(dry.stdout)).toMatchObject({
      command: "changeleader",
      dryRun: true,
      actions: [{ verb: "change-leader" }, { verb: "rejoin", endpoint: before }],
      plan: {
        command: "changeleader",
        partitions: [{ rounds: [{ steps: [{ kind: "change-leader" }, { kind: "rejoin" }] }] }],
      },
    });
    expect(leaderOf(sandbox)).toBe(before);
    const { code, stdout, stderr } = await ops(sandbox, ...words, "--output=json");
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      command: "changeleader",
      exitCode: 0,
      planned: 2,
      actions: [
        { result: "done", from: before },
        { result: "done", endpoint: before },
      ],
      conclusions: [expect.stringContaining(`(${before} led before)`)],
      complaints: [],
    });
    expect(leaderOf(sandbox)).not.toBe(before);
    expect(sandbox.model.healthy()).toEqual([]);
    expect(sandbox.model.leader?.autoFailover).toBe(true);
  });

  test("Ctrl-C while the leader is marked not alive: exit 130, it keeps leading, auto_failover is on", async () => {
    const sandbox = await serving();
    const before = leaderOf(sandbox);
    const { code, stderr } = await runBin(
      [
        ...["changeleader", "--db=db1", "--table=t0", "--pid=0", "--candidate=auto"],
        `--zk_cluster=${sandbox.zkCluster}`,
        `--zk_root_path=${sandbox.zkRootPath}`,
      ],
      {
        onStart(child) {
          let isSent = false;
          sandbox.model.tree.onChange(() => {
            if (isSent || leaderOf(sandbox) !== "none") return;
            isSent = true;
            child.kill("SIGINT");
          });
        },
      },
    );
    expect(code, stderr).toBe(130);
    expect(stderr).toContain(`db1.t0:0: ${before} marked alive again`);
    expect(stderr).toMatch(
      /0 of 2 actions done, 2 left\n.*inspect.*\n.*to continue: openmldb-ops changeleader /,
    );
    expect(leaderOf(sandbox)).toBe(before);
    expect(sandbox.model.healthy()).toEqual([]);
    expect(sandbox.model.leader?.autoFailover).toBe(true);
  });

  test("without a candidate while a leader is alive: refused, exit 4, nothing changed", async () => {
    const sandbox = await serving();
    const { code, stdout, stderr } = await ops(
      sandbox,
      "changeleader",
      "--db=db1",
      "--table=t0",
      "--pid=0",
    );
    expect(code).toBe(4);
    expect(stdout).toBe("");
    expect(stderr).toContain("code 309");
    expect(stderr).toContain("--candidate=auto");
    expect(sandbox.model.leader?.ops.list()).toEqual([]);
  });
});

describe("offlineendpoint and recoverendpoint", () => {
  test("a tablet is taken out of service and recovered", async () => {
    const sandbox = await serving();
    const { name, endpoint } = await leaderDies(sandbox);
    const off = await ops(sandbox, "offlineendpoint", `--endpoint=${endpoint}`);
    expect(off.code, off.stderr + off.stdout).toBe(0);
    expect(off.stdout).toContain(`db1.t0:0: ${endpoint} -> ${leaderOf(sandbox)}, leads term`);
    expect(leaderOf(sandbox)).not.toBe(endpoint);
    const early = await ops(sandbox, "recoverendpoint", `--endpoint=${endpoint}`);
    expect(early.code).toBe(4);
    expect(early.stderr).toContain("kOffline");
    sandbox.model.restart(name);
    await expect.poll(() => sandbox.model.leader?.isHealthy(endpoint) === true).toBe(true);
    const back = await ops(sandbox, "recoverendpoint", `--endpoint=${endpoint}`, "--need_restore");
    expect(back.code, back.stderr).toBe(0);
    expect(leaderOf(sandbox)).toBe(endpoint);
    expect(sandbox.model.healthy()).toEqual([]);
    expect(sandbox.model.leader?.autoFailover).toBe(false);
  });

  test("recoverendpoint before offlineendpoint: refused, exit 4, with the command to run", async () => {
    const sandbox = await serving();
    const { name, endpoint } = await leaderDies(sandbox);
    sandbox.model.restart(name);
    await expect.poll(() => sandbox.model.leader?.isHealthy(endpoint) === true).toBe(true);
    const { code, stdout, stderr } = await ops(
      sandbox,
      "recoverendpoint",
      `--endpoint=${endpoint}`,
    );
    expect(code).toBe(4);
    expect(stdout).toBe("");
    expect(stderr).toContain(`openmldb-ops offlineendpoint --endpoint=${endpoint}`);
  });
});

describe("flags", () => {
  test("an environment variable never accepts a loss", () => {
    const specs = COMMANDS.flatMap((entry) => entry.specs);
    const accepting = specs.filter((spec) => spec.name === "accept_data_loss");
    expect(accepting.map((spec) => spec.hasEnvironment)).toEqual([
      false,
      false,
      false,
      false,
      false,
    ]);
  });

  test.each([
    ["offlineendpoint", "--endpoint=a:1", "--concurrency=9"],
    ["recoverendpoint", "--endpoint=a:1", "--concurrency=0"],
    ["changeleader", "--table=t0", "--pid=x"],
    ["offlineendpoint", "--endpoint=a:1", "--accept_data_loss=all"],
  ])("%s %s %s is a usage error", async (...words) => {
    const { code } = await runBin([...words, "--zk_cluster=127.0.0.1:1", "--zk_root_path=/x"]);
    expect(code).toBe(2);
  });
});

describe("--apply", () => {
  test("a plan of another command is refused: exit 2, the command is named, nothing changed", async () => {
    const sandbox = await serving();
    const folder = mkdtempSync(join(tmpdir(), "openmldb-ops-plans-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const change = ["changeleader", "--db=db1", "--table=t0", "--pid=0", "--candidate=auto"];
    const table = ["recovertable", "--db=db1", "--table=t0"];
    const makers: Readonly<Record<string, readonly string[]>> = {
      changeleader: change,
      recovertable: table,
      recoverdata: ["recoverdata"],
    };
    for (const [name, words] of Object.entries(makers)) {
      const made = await ops(sandbox, ...words, `--plan_out=${join(folder, name)}`);
      expect(made.code, made.stderr).toBe(0);
    }
    const before = leaderOf(sandbox);
    const wrong: readonly (readonly [readonly string[], string])[] = [
      [change, "recoverdata"],
      [["recoverdata"], "changeleader"],
      [["recoverdata"], "recovertable"],
      [table, "recoverdata"],
      [table, "changeleader"],
      // The plan is checked first, so the unknown endpoint is not reported.
      [["offlineendpoint", "--endpoint=unknown:1"], "changeleader"],
    ];
    for (const [words, maker] of wrong) {
      const { code, stderr } = await ops(sandbox, ...words, `--apply=${join(folder, maker)}`);
      expect(code, `${words.join(" ")}: ${stderr}`).toBe(2);
      expect(stderr.trim().split("\n").at(-1)).toMatch(
        new RegExp(`^openmldb-ops: the plan in .* was made by ${maker}, not by ${words[0]} `),
      );
    }
    expect(leaderOf(sandbox)).toBe(before);
  });
});
