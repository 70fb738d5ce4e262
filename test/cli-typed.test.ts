import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { BIN, runBin } from "./helpers/run-bin.js";
import { noticedGone, sandboxForTest } from "./helpers/sandbox.js";

const folder = mkdtempSync(join(tmpdir(), "openmldb-ops-typed-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const planted = join(folder, "planted");

/** Types a command into a shell that finds this build as `openmldb-ops`. @returns The exit code. */
function typed(command: string): Promise<number | null> {
  const program = join(folder, "openmldb-ops");
  writeFileSync(program, `#!/bin/sh\nexec "${process.execPath}" "${BIN}" "$@"\n`);
  chmodSync(program, 0o755);
  const env = { PATH: `${folder}:${process.env["PATH"]}`, XDG_STATE_HOME: folder };
  const child = spawn("sh", ["-c", command], { env, stdio: "ignore" });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
}

it("the printed command of a decision works in a shell whatever the table's name", async () => {
  const NAMES = ["order items", "it's", `$(touch ${planted})`, "-dash", 'back\\slash"'];
  const sandbox = await sandboxForTest({
    speed: 20,
    tablets: 2,
    replicas: 2,
    tables: 0,
    autoFailover: false,
  });
  const { model } = sandbox;
  for (const table of NAMES) model.createTable({ db: "db1", table, partitions: 2, replicas: 2 });
  model.put(5);
  await expect.poll(() => model.healthy()).toEqual([]);
  const [first] = model.rows();
  const gone = first?.leader ?? "";
  const led = model.rows().filter(({ leader }) => leader === gone);
  expect(new Set(led.map(({ table }) => table))).toEqual(new Set(NAMES));

  await sandbox.outage({ withNameservers: true });
  model.kill(gone);
  await noticedGone(sandbox, gone);
  // A tablet that is gone for less than 15 s may be restarting, and nothing is to be decided.
  await model.clock.sleep(20_000);
  const cluster = [`--zk_cluster=${sandbox.zkCluster}`, `--zk_root_path=${sandbox.zkRootPath}`];
  const args = ["recoverdata", "--db=db1", "--yes", "--output=json", ...cluster];
  const { stdout } = await runBin(args);
  const { partitions } = JSON.parse(stdout) as {
    partitions: { table: string; status: string; next: string | null }[];
  };
  const open = partitions.filter((one) => one.status === "needs-decision");
  expect(new Set(open.map(({ table }) => table))).toEqual(new Set(NAMES));
  for (const { next } of open) {
    const command = next?.split(/(?:what only it holds|in its last 2 s): /)[1] ?? "";
    expect(command).toMatch(/^openmldb-ops .*--accept_data_loss=/);
    // Other partitions still need a decision, so the exit code is 3 until the last one.
    expect([0, 3]).toContain(await typed(`${command} --yes`));
  }
  expect(model.rows().map(({ served }) => served)).toEqual(model.rows().map(() => 5));
  expect(existsSync(planted)).toBe(false);
});
