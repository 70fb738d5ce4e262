import { type ChildProcess, spawn } from "node:child_process";
import { messageOf } from "../errors.js";
import { durationText } from "../model/duration.js";
import { safe } from "../util/text.js";
import type { CommandIo } from "./command.js";

/** Limit in milliseconds for a hook. */
const HOOK_MS = 30_000;
/** The limit once a signal has stopped this process. */
const STOPPED_HOOK_MS = 1_500;

/** The input of a hook, in addition to the environment of this process. */
export interface HookFacts {
  /** The JSON document for its stdin. */
  readonly document: string;
  /** Additional environment variables. */
  readonly variables: Readonly<Record<string, string>>;
}

/**
 * Runs the command of `--post_hook` in a shell. Its output goes to stderr. If it fails or takes too long, a warning is
 * logged. Never throws, because the hook must not change the exit code of the run.
 */
export async function runPostHook(
  command: string,
  facts: HookFacts,
  io: Pick<CommandIo, "stderr" | "log" | "signal">,
): Promise<void> {
  const problem = await hookProblem(command, facts, io);
  if (problem !== undefined) io.log.warn(`--post_hook: ${safe(problem)}`);
}

function hookProblem(
  command: string,
  { document, variables }: HookFacts,
  { stderr, signal }: Pick<CommandIo, "stderr" | "signal">,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    let child: ReturnType<typeof start>;
    try {
      child = start(command, variables);
    } catch (error) {
      // For example, the command is too long for the system.
      resolve(messageOf(error));
      return;
    }
    let limitMs = signal.aborted ? STOPPED_HOOK_MS : HOOK_MS;
    const end = () => {
      endGroup(child);
      settle(`it took longer than ${durationText(limitMs)} and was killed`);
    };
    let timer = setTimeout(end, limitMs);
    const shortenLimit = () => {
      clearTimeout(timer);
      limitMs = STOPPED_HOOK_MS;
      timer = setTimeout(end, limitMs);
    };
    const settle = (problem: string | undefined) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", shortenLimit);
      resolve(problem);
    };
    signal.addEventListener("abort", shortenLimit, { once: true });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => stderr.write(text));
    }
    child.on("error", (error) => settle(messageOf(error)));
    child.on("exit", (code, by) => {
      settle(code === 0 ? undefined : `it ended with ${by ?? `exit code ${code}`}`);
    });
    // Ignore a broken pipe: the hook may end without reading its stdin.
    child.stdin.on("error", () => undefined);
    child.stdin.end(document);
  });
}

/** Starts the hook in its own process group, so that its child processes can be ended with it. */
function start(command: string, variables: HookFacts["variables"]) {
  return spawn("/bin/sh", ["-c", command], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ...variables },
    detached: true,
  });
}

function endGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // It has already ended.
  }
  child.unref();
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy();
}
