import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { Sandbox } from "../src/sandbox/start.js";
import { runBin, when } from "./helpers/run-bin.js";
import { sandboxForTest } from "./helpers/sandbox.js";
import { runAtTerminal } from "./helpers/terminal.js";
import { terminal } from "./helpers/terminal-screen.js";

const stateDir = mkdtempSync(join(tmpdir(), "openmldb-ops-live-"));
afterAll(() => rmSync(stateDir, { recursive: true, force: true }));

/** A line of a live block. */
const BLOCK = /^\[[#.]{20}\] \d+ of \d+ partitions? done/m;
/** The end of the drawing of a block: it switches line wrapping on again. */
const DRAWN = "\x1b[?7h";
/** The size that `runAtTerminal` gives a terminal. */
const [COLUMNS, ROWS] = [80, 24];

async function afterOutage(): Promise<Sandbox> {
  const sandbox = await sandboxForTest({ speed: 100, partitions: 3 });
  await sandbox.outage({ withNameservers: false });
  return sandbox;
}

/** Runs a recovery by the nameserver's ops, which takes some seconds. @returns The screen at its end, and the frames before. */
async function recoverdata(
  sandbox: Sandbox,
  typing: readonly (readonly [RegExp, string])[],
  ...more: string[]
) {
  const { zkCluster, zkRootPath } = sandbox;
  const { code, shown } = await runAtTerminal(
    [
      ...["recoverdata", "--method=documented", "--no_color", `--state_dir=${stateDir}`],
      ...[`--zk_cluster=${zkCluster}`, `--zk_root_path=${zkRootPath}`, ...more],
    ],
    typing,
    { TERM: "xterm" },
  );
  const screen = terminal(COLUMNS, ROWS, "wraps");
  const seen: string[] = [];
  for (const part of shown.split(DRAWN)) {
    screen.write(part + DRAWN);
    seen.push(screen.text().join("\n"));
  }
  return { code, shown, seen, end: screen.text().join("\n") };
}

test("on a terminal a live block follows the recovery in place, and only the result stays", async () => {
  const sandbox = await afterOutage();
  const { code, seen, end } = await recoverdata(sandbox, [[/\[y\/N\]/, "y\r"]]);
  expect(code).toBe(0);
  const frames = seen.filter((one) => BLOCK.test(one));
  expect(frames.length).toBeGreaterThan(2);
  for (const frame of frames) {
    expect(frame.match(/^recoverdata: /gm), frame).toHaveLength(1);
    for (const line of frame
      .split("\n")
      .slice(frame.split("\n").findIndex((one) => BLOCK.test(one)))) {
      expect(line.length, line).toBeLessThan(COLUMNS);
    }
  }
  expect(seen.some((one) => /^recoverdata: waiting for ops \(\d+ s\)$/m.test(one))).toBe(true);
  expect(seen.some((one) => /^ops: \d+ queued, \d+ running: \d+ k\w+/m.test(one))).toBe(true);
  const asking = seen.filter((one) => one.includes("Continue? [y/N]") && !one.includes("[y/N] y"));
  for (const one of asking) expect(one).not.toMatch(BLOCK);
  expect(end).not.toMatch(BLOCK);
  expect(end).not.toMatch(/^recoverdata: (working|verifying|waiting)/m);
  expect(end).toMatch(/auto_failover is on again/);
});

test("Ctrl-C removes the block and prints what is done, what is left and which ops continue", async () => {
  const sandbox = await afterOutage();
  const { code, end } = await recoverdata(sandbox, [[/waiting for ops/, "\x03"]], "--yes");
  expect(code).toBe(130);
  expect(end).not.toMatch(BLOCK);
  expect(end).toMatch(/SIGINT: stopping, restoring auto_failover/);
  expect(end).toMatch(/\d+ changes? made; \d+ of 8 partitions/);
  expect(end).toMatch(/to see what is left:\n {2}openmldb-ops inspect /);
  expect(end).toMatch(/to continue:\n {2}openmldb-ops --cmd=recoverdata /);
  expect(end.split("\n").at(-1)).toBe("openmldb-ops: stopped by SIGINT");
});

test("nothing is drawn with TERM=dumb, with JSON and for a quiet log; reading commands have a block too", async () => {
  const { zkCluster, zkRootPath } = await sandboxForTest();
  const inspect = (TERM: string, ...more: string[]) =>
    runAtTerminal(
      [
        "inspect",
        "--no_color",
        `--zk_cluster=${zkCluster}`,
        `--zk_root_path=${zkRootPath}`,
        ...more,
      ],
      [],
      { TERM },
    );
  const [live, ...plain] = await Promise.all([
    inspect("xterm"),
    inspect("dumb"),
    inspect("xterm", "--output=json"),
    inspect("xterm", "--log_level=warn"),
  ]);
  expect(live.shown).toContain("inspect: connecting");
  expect(live.shown.split(DRAWN).at(-1)).toMatch(/partitions/);
  for (const { shown } of plain) {
    expect(shown).not.toContain("\x1b");
    expect(shown).not.toContain("inspect: connecting (");
  }
});

test("Ctrl-C of a reading command does not mention auto_failover", async () => {
  const sandbox = await sandboxForTest();
  const [tablet = ""] = sandbox.tablets;
  for (const endpoint of sandbox.tablets) sandbox.model.hang(endpoint);
  const cluster = [`--zk_cluster=${sandbox.zkCluster}`, `--zk_root_path=${sandbox.zkRootPath}`];
  const ended = await Promise.all(
    [
      ["inspect"],
      ["verify"],
      ["gettablestatus", `--endpoint=${tablet}`],
      ["recoverdata", "--dry_run"],
      ["scalein", `--endpoint=${tablet}`, "--dry_run"],
    ].map((words) => {
      // The signal comes while calls wait; on a busy machine perhaps earlier, which changes no answer.
      const later = (child: ChildProcess) => void setTimeout(() => child.kill("SIGINT"), 1_000);
      return runBin([...words, ...cluster], when(["connecting to ZooKeeper", later]));
    }),
  );
  for (const { code, stderr } of ended) {
    expect(code, stderr).toBe(130);
    expect(stderr).toContain("SIGINT: stopping (again to exit at once)");
    expect(stderr).not.toMatch(/restoring|auto_failover|changes? made|to continue/);
  }
});
