import { execFileSync } from "node:child_process";
import { Readable } from "node:stream";
import { readInvocation } from "../../src/cli/invocation.js";
import { TOOL } from "../../src/cli/printed-command.js";
import { detailLines, errorText } from "../../src/cli/show-error.js";
import type { OpenedCluster, OpenOptions } from "../../src/cluster/open.js";
import type { CommandIo } from "../../src/commands/command.js";
import { exitCodeOf } from "../../src/exit-codes.js";
import type { Journal } from "../../src/journal/journal.js";
import { openLog } from "../../src/log.js";
import { CLUSTER_FLAGS } from "./printed.js";
import type { ToolWatcher, World } from "./world.js";

/** The output of a typed command, and its end. */
export interface Typed {
  /** Everything that the terminal shows, stdout and stderr. */
  readonly text: string;
  readonly stdout: string;
  /** Undefined if the process was killed. */
  readonly exitCode: number | undefined;
}

const RUN_LIMIT_MS = 4 * 3_600_000;

/** Where the commands that are typed lead to. One world at a time: the modules of the tool are shared. */
let typedIn:
  | { readonly world: World; readonly watcher: ToolWatcher; readonly onOpened: () => void }
  | undefined;

/** Stands for `openCluster` in a test of typed commands: a process of the tool in the simulated cluster. */
export async function openTyped(options: OpenOptions): Promise<OpenedCluster> {
  if (typedIn === undefined) throw new Error("no command was typed");
  const { world, watcher, onOpened } = typedIn;
  onOpened();
  const tool = await world.open({ watcher, signal: options.signal });
  const close = async () => tool.exit();
  return { cluster: { ...tool.cluster, close }, zk: tool.zk, rootPath: world.model.root };
}

/** Stands for `keepJournal`: nothing is written to the disk of the test's machine. */
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
 * Types a command line as an operator does: a shell takes it apart, the tool's own parser reads it, and the command
 * runs as it always does, in the simulated cluster and its time.
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
  const running = await begun(world, watcher, run);
  const exitCode = await world.clock.run(
    Promise.race([running.exitCode, killed(world)]),
    RUN_LIMIT_MS,
  );
  world.note(`exit code ${exitCode ?? "none: killed"}`);
  return { text, stdout, exitCode };
}

/**
 * Begins a command, and waits in real time until it has opened the cluster or ended: its modules are loaded
 * then, and the virtual clock may run.
 */
async function begun(world: World, watcher: ToolWatcher, run: () => Promise<number>) {
  let exitCode: Promise<number> = Promise.reject(new Error("not begun"));
  exitCode.catch(() => undefined);
  await new Promise<void>((resolve) => {
    typedIn = { world, watcher, onOpened: resolve };
    exitCode = run();
    exitCode.then(() => resolve(), resolve);
  });
  return { exitCode };
}

/** Resolves with undefined some time after the process of the tool was killed. */
async function killed(world: World): Promise<undefined> {
  while (world.tool?.isKilled() === false) await world.clock.sleep(500);
  // A process that ended by itself has closed its cluster, and has printed so before.
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
