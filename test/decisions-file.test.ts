import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { runBin } from "./helpers/run-bin.js";
import { noticedGone, sandboxForTest } from "./helpers/sandbox.js";

/** All processes are restarted except one tablet: each partition that it led needs a decision. */
async function undecided() {
  const folder = mkdtempSync(join(tmpdir(), "ops-decisions-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const sandbox = await sandboxForTest({
    speed: 20,
    tablets: 3,
    tables: 2,
    partitions: 3,
    replicas: 3,
    autoFailover: false,
  });
  const away = sandbox.model.rows({ db: "db1" })[0]?.leader ?? "";
  await sandbox.outage({ withNameservers: true });
  sandbox.model.kill(away);
  await noticedGone(sandbox, away);
  // A tablet that is gone for less than 15 s may be restarting, and nothing is to be decided.
  await sandbox.model.clock.sleep(20_000);
  const at = [`--zk_cluster=${sandbox.zkCluster}`, "--zk_root_path=/openmldb"];
  const recover = (...flags: string[]) =>
    runBin(["recoverdata", "--db=db1", "--yes", ...flags, ...at]);
  return { sandbox, file: join(folder, "decisions.jsonl"), recover };
}

test("open decisions are written, filled in and applied; stale or malformed ones change nothing", async () => {
  const { sandbox, file, recover } = await undecided();
  const first = await recover(`--decisions_out=${file}`);
  expect(first.code, first.stderr).toBe(3);
  expect(first.stdout).toMatch(
    /^\d decisions are open, at least 0 entries .* at risk: \d leader-unavailable at /m,
  );
  expect(first.stdout).toMatch(/^next, to decide them together: openmldb-ops .*--decisions_out=/m);
  const again = await recover(`--decisions_out=${file}`);
  expect(again.code, "an existing file is kept, and the run ends with its own exit code").toBe(3);
  expect(again.stderr).toContain(`cannot write the decisions to ${file}`);
  expect(again.stdout).toMatch(/decisions are open/);
  const [head = "", ...lines] = readFileSync(file, "utf8").trim().split("\n");
  expect(JSON.parse(head)).toMatchObject({ kind: "openmldb-ops decisions", rootPath: "/openmldb" });
  expect(lines.length).toBeGreaterThan(1);
  const open = lines.map((line) => JSON.parse(line));
  for (const one of open) {
    expect(one).toMatchObject({ cause: "leader-unavailable", choice: null });
    expect(one.candidates).toHaveLength(2);
    expect(one.candidates[0]).toMatchObject({ offset: "10", loss: { atLeast: "0", atMost: null } });
  }
  const write = (all: readonly object[]) =>
    writeFileSync(file, [head, ...all.map((one) => JSON.stringify(one))].join("\n"));
  const chosen = open.map((one) => ({ ...one, choice: one.candidates[0].endpoint }));

  write([{ ...chosen[0], choice: "x:1" }]);
  const bad = await recover(`--decisions=${file}`);
  expect(bad.code).toBe(2);
  const endpoints = open[0].candidates.map((one: { endpoint: string }) => one.endpoint).join(", ");
  expect(bad.stderr).toContain(`line 2: choice: "x:1" is not one of the candidates: ${endpoints}`);
  write([chosen[0], chosen[1], chosen[0]]);
  expect((await recover(`--decisions=${file}`)).stderr).toMatch(/line 4: .* earlier line already/);
  write([{ ...chosen[0], candidates: [{ ...open[0].candidates[0], offset: "-1" }] }]);
  expect((await recover(`--decisions=${file}`)).stderr).toContain("line 2: candidates[0].offset: ");

  const other = chosen.map((one) => ({
    ...one,
    candidates: one.candidates.map((each: object) => ({ ...each, offset: "9" })),
  }));
  write(other);
  const stale = await recover(`--decisions=${file}`);
  expect(stale.code).toBe(6);
  expect(stale.stderr).toContain("is at offset 10, no longer 9");
  expect(sandbox.model.rows({ db: "db1" }).filter((one) => one.served === undefined)).toHaveLength(
    open.length,
  );

  write([...chosen.slice(1), { ...chosen[0], choice: null }]);
  // As an editor of Windows leaves it.
  writeFileSync(file, `\ufeff${readFileSync(file, "utf8").replaceAll("\n", "\r\n")}`);
  const most = await recover(`--decisions=${file}`);
  expect(most.stderr).toContain("1 decision of --decisions without a choice: left open");
  expect(sandbox.model.rows({ db: "db1" }).filter((one) => one.served === undefined)).toHaveLength(
    1,
  );
  write(chosen);
  await recover(`--decisions=${file}`);
  expect(sandbox.model.rows({ db: "db1" }).every((one) => one.served === 10)).toBe(true);
});
