import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { Sandbox } from "../src/sandbox/start.js";
import { type MainResult, runHere } from "./helpers/run-main.js";
import { sandboxForTest } from "./helpers/sandbox.js";
import { runAtTerminal } from "./helpers/terminal.js";

const folder = mkdtempSync(join(tmpdir(), "openmldb-ops-plan-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

/** A path in the test's folder where nothing is yet. */
function newPath(): string {
  files += 1;
  return join(folder, `plan-${files}.json`);
}

/** A killed and restarted cluster; auto_failover is off, so the nameserver changes nothing by itself. */
async function brokenSandbox(more: { readonly autoFailover?: boolean } = {}): Promise<Sandbox> {
  const options = { speed: 40, tables: 1, partitions: 2, rows: 20, autoFailover: false, ...more };
  const sandbox = await sandboxForTest(options);
  await sandbox.outage({ withNameservers: false });
  const isKnown = () => !sandbox.model.healthy().some((one) => one.includes("for the nameserver"));
  await expect.poll(isKnown).toBe(true);
  await sandbox.settled();
  return sandbox;
}

function command(sandbox: Sandbox, args: readonly string[]): string[] {
  const { zkCluster, zkRootPath } = sandbox;
  return [
    "recoverdata",
    `--zk_cluster=${zkCluster}`,
    `--zk_root_path=${zkRootPath}`,
    `--state_dir=${join(folder, "state")}`,
    ...args,
  ];
}

function recoverdata(sandbox: Sandbox, ...args: readonly string[]): Promise<MainResult> {
  return runHere(command(sandbox, args));
}

/** The state that a command could have changed. */
function everything({ model }: Sandbox) {
  const { leader } = model;
  return {
    rows: model.rows(),
    healthy: model.healthy(),
    ops: leader?.ops.list(),
    events: model.events.length,
    journals: existsSync(join(folder, "state")) ? readdirSync(join(folder, "state")).sort() : [],
  };
}

/** Every change of a znode from now on, as `type path`. */
function znodeChanges({ model }: Sandbox): string[] {
  const changes: string[] = [];
  model.tree.onChange(({ type, path }) => changes.push(`${type} ${path}`));
  return changes;
}

/**
 * Runs the program at a real terminal, and answers the question there.
 *
 * @returns What the terminal showed, and the exit code.
 */
async function runInTerminal(
  args: readonly string[],
  answer: string,
): Promise<{ code: number | null; shown: string; asked: number }> {
  const result = await runAtTerminal(args, [[/\[y\/N\]/, answer]]);
  return { ...result, asked: result.shown.split("[y/N]").length - 1 };
}

describe("--dry_run", () => {
  test("shows the plan as table or json and changes nothing, however often", async () => {
    const sandbox = await brokenSandbox();
    const before = everything(sandbox);
    const changes = znodeChanges(sandbox);
    const shown = await recoverdata(sandbox, "--dry_run", "--verbose");
    expect(shown.code, shown.stderr).toBe(0);
    expect(shown.stdout).toMatch(/db1\.t0:0: led by \S+ if it holds the expected entries/);
    expect(shown.stdout).toMatch(/round 1, to gather evidence:/);
    const json = await recoverdata(sandbox, "--dry_run", "--output=json", "--detailed_exitcode");
    expect(json.code, json.stderr).toBe(10);
    const document = JSON.parse(json.stdout);
    expect(document).toMatchObject({
      schemaVersion: 1,
      command: "recoverdata",
      dryRun: true,
      exitCode: 10,
      plan: { formatVersion: 2, rootPath: "/openmldb", method: "direct" },
    });
    const own = document.plan.partitions.filter(
      (one: { id: { db: string } }) => one.id.db === "db1",
    );
    expect(own).toHaveLength(2);
    expect(own[0].rounds[0].steps[0]).toMatchObject({
      kind: "load-follower",
      why: "not-loaded",
      expects: expect.stringMatching(/^not loaded, (last seen at offset 20|no offset known)$/),
    });
    expect(everything(sandbox)).toEqual(before);
    expect(changes).toEqual([]);
  });

  test("the documented method has its own plan", async () => {
    const sandbox = await brokenSandbox();
    const { code, stdout } = await recoverdata(
      sandbox,
      "--dry_run",
      "--verbose",
      "--method=documented",
    );
    expect(code).toBe(0);
    expect(stdout).toMatch(/load \S+ as leader \[not-loaded\]/);
    expect(stdout).toMatch(/rebuild \S+ from the leader \(RecoverTable\)/);
    expect(stdout).not.toContain("evidence");
  });

  test("on a healthy cluster nothing is planned, and the detailed exit code is 0", async () => {
    const sandbox = await sandboxForTest({ speed: 40 });
    const { code, stdout } = await recoverdata(sandbox, "--dry_run", "--detailed_exitcode");
    expect(code).toBe(0);
    expect(stdout).toMatch(/all \d+ partitions healthy, nothing to do\n$/);
  });

  test("refused partitions are listed with the reason", async () => {
    const sandbox = await sandboxForTest({
      speed: 40,
      tables: 1,
      partitions: 1,
      rows: 5,
      autoFailover: false,
    });
    const shown = () => recoverdata(sandbox, "--dry_run", "--db=db1");
    for (const tablet of sandbox.tablets) sandbox.model.kill(tablet);
    await expect
      .poll(async () => (await shown()).stdout)
      .toMatch(
        /db1\.t0:0: REFUSED[\s\S]*left alone: its leader is unreachable: [\s\S]*1 left alone\n$/,
      );
  });
});

describe("--plan_out and --apply", () => {
  test("a plan is saved once, overwrites no file, and is executed unchanged", async () => {
    const sandbox = await brokenSandbox();
    const file = newPath();
    const before = everything(sandbox);
    const saved = await recoverdata(sandbox, `--plan_out=${file}`);
    expect(saved.code, saved.stderr).toBe(0);
    const text = readFileSync(file, "utf8");
    expect(JSON.parse(text)).toMatchObject({ kind: "openmldb-ops plan", formatVersion: 2 });
    const again = await recoverdata(sandbox, `--plan_out=${file}`);
    expect(again.code).toBe(2);
    expect(again.stderr).toContain("a plan never overwrites anything");
    expect(readFileSync(file, "utf8")).toBe(text);
    expect(everything(sandbox)).toEqual(before);

    const checked = await recoverdata(sandbox, `--apply=${file}`, "--dry_run");
    expect(checked.code, checked.stderr).toBe(0);
    expect(checked.stdout).toContain(`plan ${JSON.parse(text).id} `);
    expect(everything(sandbox)).toEqual(before);

    const applied = await recoverdata(sandbox, `--apply=${file}`);
    expect(applied.code, applied.stderr).toBe(0);
    expect(sandbox.model.healthy()).toEqual([]);
    const repeated = await recoverdata(sandbox, `--apply=${file}`);
    expect(repeated.code, repeated.stderr).toBe(0);
    expect(repeated.stdout).toContain("nothing to do");
  });

  test("only the partitions of the plan are recovered, by its method", async () => {
    const sandbox = await brokenSandbox();
    const file = newPath();
    await recoverdata(sandbox, `--plan_out=${file}`, "--db=__INTERNAL_DB", "--method=documented");
    const { code, stderr } = await recoverdata(sandbox, `--apply=${file}`);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain("load-leader");
    expect(stderr).not.toContain("load-follower");
    expect(sandbox.model.rows().map((one) => one.served)).toEqual([undefined, undefined]);
  });

  test("after a change by another client: exit 6 with the differences, nothing changed", async () => {
    const sandbox = await brokenSandbox();
    const file = newPath();
    await recoverdata(sandbox, `--plan_out=${file}`);
    sandbox.model.kill("tablet2");
    await sandbox.settled();
    const dead = `tablet of ${sandbox.tablets[1]} is: was ok, is`;
    await expect
      .poll(async () => (await recoverdata(sandbox, `--apply=${file}`, "--dry_run")).stderr)
      .toContain(dead);
    const before = everything(sandbox);
    const applied = await recoverdata(sandbox, `--apply=${file}`);
    expect(applied.code, applied.stderr).toBe(6);
    expect(applied.stderr).toContain(`db1.t0:0: ${dead}`);
    expect(applied.stderr.trim().split("\n").at(-1)).toMatch(
      /the cluster has changed since the plan was made: \d+ differences in \d+ places; nothing was changed/,
    );
    const json = await recoverdata(sandbox, `--apply=${file}`, "--output=json");
    expect(JSON.parse(json.stdout)).toMatchObject({
      exitCode: 6,
      error: {
        code: "plan-stale",
        details: expect.arrayContaining([expect.stringContaining(dead)]),
      },
    });
    const { journals: _before, ...cluster } = before;
    expect(everything(sandbox)).toMatchObject(cluster);
  });

  test("an invalid file, a plan of another cluster, contradicting flags: exit 2, one line", async () => {
    const sandbox = await brokenSandbox();
    const garbage = newPath();
    writeFileSync(garbage, "this is no plan\n");
    const file = newPath();
    await recoverdata(sandbox, `--plan_out=${file}`);
    const newer = newPath();
    const text = readFileSync(file, "utf8");
    writeFileSync(newer, text.replace('"formatVersion":2', '"formatVersion":9'));
    const old = newPath();
    writeFileSync(old, '{"schemaVersion": 1, "kind": "operation-plan", "command": "recoverdata"}');
    const edited = newPath();
    writeFileSync(edited, text.replace('"direct"', '"documented"'));
    const other = await brokenSandbox();
    const wrong: [Sandbox, readonly string[], RegExp][] = [
      [sandbox, [`--apply=${garbage}`], /this is not a plan of openmldb-ops/],
      [sandbox, [`--apply=${newer}`], /format version 9/],
      [sandbox, [`--apply=${old}`], /format version 1, and this openmldb-ops reads version 2 only/],
      [sandbox, [`--apply=${edited}`], /was edited after it was made/],
      [sandbox, [`--apply=${file}`, "--zk_root_path=/elsewhere"], /given 2 times/],
      [other, [`--apply=${file}`], /was made for another cluster/],
      [
        sandbox,
        [`--apply=${file}`, "--method=documented"],
        /not the value that the plan .* was made with/,
      ],
      [sandbox, [`--apply=${file}`, "--db=db1"], /not the value that the plan .* was made with/],
      [sandbox, [`--apply=${file}`, `--plan_out=${newPath()}`], /cannot be combined/],
      [sandbox, ["--detailed_exitcode"], /needs --dry_run/],
      [sandbox, [`--plan_out=${join(folder, "none", "plan")}`], /cannot save the plan/],
    ];
    for (const [where, args, message] of wrong) {
      const { code, stderr } = await recoverdata(where, ...args);
      expect(code, `${args.join(" ")}: ${stderr}`).toBe(2);
      expect(stderr.trim().split("\n").at(-1)).toMatch(message);
    }
    expect(sandbox.model.rows().map((one) => one.served)).toEqual([undefined, undefined]);
  });
});

describe("the question at a terminal", () => {
  test.each(["n\n", "\n", "yesterday\n", "\x04"])(
    "answered %j: exit 4 and nothing changed",
    async (answer) => {
      const sandbox = await brokenSandbox();
      const { journals: _journals, ...before } = everything(sandbox);
      const { code, shown, asked } = await runInTerminal(command(sandbox, []), answer);
      expect(code, shown).toBe(4);
      expect(asked).toBe(1);
      expect(shown).toMatch(
        /recover the cluster at \/openmldb with method direct: 7 partitions, 16\s+replicas, about \d+ changes/,
      );
      expect(shown).toContain("nothing was changed");
      expect(everything(sandbox)).toMatchObject(before);
    },
  );

  test.each(["y\n", "YES\n"])("answered %j: the run continues", async (answer) => {
    const sandbox = await brokenSandbox();
    const { code, shown, asked } = await runInTerminal(command(sandbox, []), answer);
    expect(code, shown).toBe(0);
    expect(asked).toBe(1);
    expect(sandbox.model.healthy()).toEqual([]);
  });

  test("Ctrl-C at the question ends the run with nothing changed", async () => {
    const sandbox = await brokenSandbox();
    const { code, shown } = await runInTerminal(command(sandbox, []), "\x03");
    expect(code, shown).toBe(130);
    expect(sandbox.model.rows().map((one) => one.served)).toEqual([undefined, undefined]);
  });

  test("--no_input fails and names --yes; --yes does not ask; a healthy cluster needs no answer", async () => {
    const sandbox = await brokenSandbox();
    const forbidden = await runInTerminal(command(sandbox, ["--no_input"]), "y\n");
    expect(forbidden.code, forbidden.shown).toBe(4);
    expect(forbidden.shown).toContain("--yes");
    expect(forbidden.asked).toBe(0);
    expect(sandbox.model.rows().map((one) => one.served)).toEqual([undefined, undefined]);
    const answered = await runInTerminal(command(sandbox, ["--yes"]), "");
    expect(answered.code, answered.shown).toBe(0);
    expect(answered.asked).toBe(0);
    expect(sandbox.model.healthy()).toEqual([]);
    const healthy = await runInTerminal(command(sandbox, ["--no_input"]), "");
    expect(healthy.code, healthy.shown).toBe(0);
  });

  test("without a terminal nothing is asked, and --no_input fails where a question would have been", async () => {
    const sandbox = await brokenSandbox({ autoFailover: true });
    const forbidden = await recoverdata(sandbox, "--no_input");
    expect(forbidden.code, forbidden.stderr).toBe(4);
    expect(forbidden.stderr).toContain("--no_input forbids asking before the first change");
    expect(sandbox.model.rows().map((one) => one.served)).toEqual([undefined, undefined]);
    const { code, stderr } = await recoverdata(sandbox);
    expect(code, stderr).toBe(0);
    expect(stderr).not.toContain("[y/N]");
    expect(sandbox.model.healthy()).toEqual([]);
    const healthy = await recoverdata(sandbox, "--no_input");
    expect(healthy.code, healthy.stderr).toBe(0);
  });
});
