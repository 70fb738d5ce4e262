import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkOutput } from "./check-output.js";

/** The program that users start. */
export const BIN = fileURLToPath(new URL("../../bin/openmldb-ops.js", import.meta.url));

/** The journals of the runs go to this folder, not to the home of the user who runs the tests. */
export const STATE_HOME = join(tmpdir(), `openmldb-ops-test-${process.pid}`);
process.once("exit", () => rmSync(STATE_HOME, { recursive: true, force: true }));

/** The output and the end of a process. */
export interface RunResult {
  /** The exit code; undefined if a signal killed it. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Options for the start of the process. */
export interface RunOptions {
  /** Added to a small environment without variables of this tool. */
  readonly env?: Readonly<Record<string, string>>;
  /** Arguments of node itself. */
  readonly nodeArgs?: readonly string[];
  readonly stdio?: SpawnOptions["stdio"];
  /** Gets the process right after the start. */
  readonly onStart?: (child: ChildProcess) => void;
  /** Called with the whole stderr so far, each time the process writes to it. */
  readonly onStderr?: (text: string, child: ChildProcess) => void;
}

/**
 * A process that does not end within this time hangs: it is killed, and the test fails on `code`. The time is
 * less than a test has (vitest.config.ts), and more than any process takes on a busy machine.
 */
export const KILL_MS = 200_000;

/** Acts on the process, once for each text, when the text first appears on its stderr. */
export function when(
  ...steps: readonly (readonly [text: string, act: (child: ChildProcess) => void])[]
): RunOptions {
  const left = new Map(steps);
  return {
    onStderr(stderr, child) {
      for (const [text, act] of left) {
        if (!stderr.includes(text)) continue;
        left.delete(text);
        act(child);
      }
    },
  };
}

/** Runs node with a script and its arguments to the end. */
export function runNode(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { env = {}, nodeArgs = [], stdio = ["ignore", "pipe", "pipe"] } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...nodeArgs, ...args], {
      env: {
        PATH: process.env["PATH"],
        HOME: process.env["HOME"],
        XDG_STATE_HOME: STATE_HOME,
        ...env,
      },
      stdio,
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), KILL_MS);
    let stdout = "";
    let stderr = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
      options.onStderr?.(stderr, child);
    });
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? undefined, stdout, stderr });
    });
    options.onStart?.(child);
  });
}

/**
 * Runs the real binary to its end.
 *
 * @throws Error if it printed JSON that does not fit its schema.
 */
export async function runBin(
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const result = await runNode([BIN, ...args], options);
  if (args.includes("--output=json")) checkOutput(args, result.stdout);
  return result;
}
