import { execFileSync } from "node:child_process";
import { appendFileSync, closeSync, fsyncSync, openSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { Readable } from "node:stream";
import { readInvocation } from "../../src/cli/invocation.js";
import { TOOL } from "../../src/cli/printed-command.js";
import { detailLines, errorText } from "../../src/cli/show-error.js";
import type { OpenedCluster, OpenOptions } from "../../src/cluster/open.js";
import type { CommandIo } from "../../src/commands/command.js";
import { exitCodeOf } from "../../src/exit-codes.js";
import type { Journal } from "../../src/journal/journal.js";
import { openLog } from "../../src/log.js";
import { each, finish, mapped } from "../../src/model/work.js";
import type * as Yielding from "../../src/util/yielding.js";
import { CLUSTER_FLAGS } from "./printed-commands.js";
import type { ToolWatcher, World } from "./world.js";

/** The output and the exit code of a typed command. */
export interface Typed {
  /** stdout and stderr, as a terminal shows them. */
  readonly text: string;
  readonly stdout: string;
  /** Undefined if the process was killed. */
  readonly exitCode: number | undefined;
}

const RUN_LIMIT_MS = 4 * 3_600_000;

/** The world in which commands are typed. One at a time, since the modules of the tool are shared. */
let current:
  | { readonly world: World; readonly watcher: ToolWatcher; readonly onOpened: () => void }
  | undefined;

/** Replaces `openCluster` in a test of typed commands: starts a process of the tool in the simulated cluster. */
export async function openTyped(options: OpenOptions): Promise<OpenedCluster> {
  if (current === undefined) throw new Error("no command was typed");
  const { world, watcher, onOpened } = current;
  onOpened();
  const tool = await world.open({ watcher, signal: options.signal });
  const close = async () => tool.exit();
  return { cluster: { ...tool.cluster, close }, zk: tool.zk, rootPath: world.model.root };
}

/** Replaces `openJournal`, so that no file is written. */
export async function keepNoJournal(): Promise<Journal> {
  return {
    id: "simulated",
    path: undefined,
    hooks: { before: async () => undefined, after: async () => undefined },
    onEvent: () => undefined,
    finish: async () => undefined,
  };
}

/**
 * Types a command line as an operator does: a shell splits it, the tool's own parser reads it, and the real command runs in the
 * simulated cluster, on its virtual clock.
 */
export async function typeLine(
  world: World,
  line: string,
  watcher: ToolWatcher = {},
): Promise<Typed> {
  world.note(`typed: ${line}`);
  let stdout = "";
  let text = "";
  const errors = (more: string) => {
    text += more;
  };
  const out = (more: string) => {
    stdout += more;
    text += more;
  };
  const end = new AbortController();
  const log = openLog({ level: "info", write: errors, file: undefined });
  const io: CommandIo = {
    stdout: { write: out },
    stderr: { write: errors },
    stdin: Readable.from([]),
    isInteractiveStdin: false,
    log,
    isInteractiveStderr: false,
    isInteractiveStdout: false,
    hasColor: false,
    columns: 80,
    rows: 24,
    signal: end.signal,
    onSecondSignal: () => undefined,
  };
  const run = async (): Promise<number> => {
    try {
      const invocation = readInvocation(shellArguments(line));
      if (invocation.kind !== "command") throw new Error(`not a command: ${line}`);
      const { entry, line: taken } = invocation;
      return await entry.prepare(taken, {}).run(io);
    } catch (thrown) {
      for (const detail of detailLines(thrown)) errors(`  ${detail}\n`);
      errors(`openmldb-ops: ${errorText(thrown)}\n`);
      return exitCodeOf(thrown);
    }
  };
  const running = await started(world, watcher, run);
  const exitCode = await world.clock.run(
    Promise.race([running.exitCode, untilKilled(world)]),
    RUN_LIMIT_MS,
  );
  world.note(`exit code ${exitCode ?? "none: killed"}`);
  return { text, stdout, exitCode };
}

/**
 * Starts a command, and waits in real time until it has opened the cluster or ended: from then on its modules are loaded, and
 * the virtual clock may advance.
 */
async function started(world: World, watcher: ToolWatcher, run: () => Promise<number>) {
  let exitCode: Promise<number> = Promise.reject(new Error("not started"));
  exitCode.catch(() => undefined);
  await new Promise<void>((resolve) => {
    current = { world, watcher, onOpened: resolve };
    exitCode = run();
    exitCode.then(() => resolve(), resolve);
  });
  return { exitCode };
}

/** Resolves with undefined after the process of the tool was killed. */
async function untilKilled(world: World): Promise<undefined> {
  while (world.tool?.isKilled() === false) await world.clock.sleep(500);
  // A process that ends by itself closes its cluster first, and prints its last lines after that.
  await world.clock.sleep(5_000);
  return undefined;
}

/** The arguments after the tool's name, as a shell parses the line. */
export function shellArguments(line: string): string[] {
  const script = `${TOOL}() { printf '%s\\0' "$@"; }\n${line}\n`;
  const out = execFileSync("bash", ["--norc", "-s"], {
    input: script,
    encoding: "utf8",
    env: { ...process.env, LC_ALL: "C" },
  });
  return out.split("\0").slice(0, -1);
}

/** The line of a command without other flags than those of the cluster. */
export function plainLine(...words: string[]): string {
  return [TOOL, ...words, CLUSTER_FLAGS].join(" ");
}

/**
 * Replaces `open` of `node:fs/promises`: the file is written synchronously. While a real write is pending, the virtual clock
 * would advance by an amount that depends on the machine, and a seed would not give the same run each time.
 */
export async function openSynchronously(
  path: string,
  flags: string | number,
  mode?: number,
): Promise<Pick<FileHandle, "appendFile" | "sync" | "close">> {
  const file = openSync(path, flags, mode);
  return {
    appendFile: async (text) => appendFileSync(file, text as string),
    sync: async () => fsyncSync(file),
    close: async () => closeSync(file),
  };
}

/**
 * Replaces `src/util/yielding.ts`, which yields by the time that work has taken. At each yield the virtual clock would advance,
 * so a seed would depend on the speed of the machine.
 */
export const WITHOUT_YIELDS: typeof Yielding = {
  takeTurns: () => () => undefined,
  inTurns: async (work) => finish(work),
  eachInTurns: async (items, work) => finish(each(items, work)),
  mapInTurns: async (items, work) => finish(mapped(items, work)),
};
