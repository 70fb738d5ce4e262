import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { runBin } from "./helpers/run-bin.js";
import { sandboxForTest } from "./helpers/sandbox.js";

// Every 20 ms the wall clock of the process jumps by minutes, hours or a day, forward or back.
const PRELOAD = `data:text/javascript,${encodeURIComponent(`
  const Real = Date, real = Date.now.bind(Date);
  const offsets = [0, 3.6e6, -3.6e6, 7.2e6, -6e5, 0, 8.64e7];
  const now = () => real() + offsets[Math.floor(performance.now() / 20) % offsets.length];
  globalThis.Date = class extends Real {
    constructor(...args) { if (args.length === 0) super(now()); else super(...args); }
    static now() { return now(); }
  };
`)}`;
const RUN_MAX_MS = 60_000;

test("a jump of the wall clock changes neither the actions of commands nor their durations", async () => {
  const sandbox = await sandboxForTest({ tables: 2, partitions: 2, speed: 10, seed: 3 });
  const home = mkdtempSync(join(tmpdir(), "ops-clock-"));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  const ops = (...words: string[]) =>
    runBin(
      [...words, `--zk_cluster=${sandbox.zkCluster}`, `--zk_root_path=${sandbox.zkRootPath}`],
      { nodeArgs: [`--import=${PRELOAD}`], env: { XDG_STATE_HOME: home } },
    );
  const [tablet = ""] = sandbox.tablets;
  const statfile = `--statfile=${join(home, "statfile")}`;
  const outputs: string[] = [];
  const expectCode = async (code: number, ...words: string[]) => {
    const result = await ops(...words);
    expect({ words, code: result.code, stderr: code === result.code || result.stderr }).toEqual({
      words,
      code,
      stderr: true,
    });
    outputs.push(result.stdout + result.stderr);
  };
  await expectCode(0, "changeleader", "--db=db1", "--table=t0", "--pid=0", "--candidate=auto");
  await expectCode(0, "offlineendpoint", tablet);
  await expectCode(0, "recoverendpoint", tablet);
  await expectCode(0, "pre-upgrade", `--endpoint=${tablet}`, statfile);
  await expectCode(0, "post-upgrade", `--endpoint=${tablet}`, statfile);
  await expectCode(0, "scaleout");
  await sandbox.outage({ withNameservers: true });
  await expectCode(10, "inspect");
  await expectCode(0, "recoverdata", "--wait_tablets=all");
  await expectCode(0, "verify", "--deep");
  await expectCode(0, "showopstatus", "--wait");

  // No message gives minutes, hours or a negative duration for actions that took less than a second.
  expect(outputs.join("\n")).not.toMatch(/[^\w.]-\d+(?:\.\d+)? (?:ms|s|min|h)\b|\d min\b|\d h\b/);
  const history = JSON.parse((await ops("history", "--output=json")).stdout) as {
    readonly runs: readonly { readonly command: string; readonly durationMs: number | null }[];
  };
  expect(history.runs.map(({ command }) => command)).toContain("recoverdata");
  const odd = history.runs.filter(({ durationMs: ms }) => ms === null || ms < 1 || ms > RUN_MAX_MS);
  expect(odd).toEqual([]);
});
