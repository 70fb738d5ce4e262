import { type ChildProcess, spawn } from "node:child_process";
import { messageOf } from "../errors.js";
import { durationText } from "../model/duration.js";
import { safe } from "../util/text.js";
import type { CommandIo } from "./command.js";

/** How long a hook may take; less if a signal has told this process to leave, or does so meanwhile. */
const HOOK_MS = 30_000;
const STOPPED_HOOK_MS = 1_500;

/** What a hook is told, beside the environment of this process. */
export interface HookFacts {
  /** JSON, on its stdin. */
  readonly document: string;
  /** More variables of its environment. */
  readonly variables: Readonly<Record<string, string>>;
}

/**
 * Runs the command of `--post_hook` in a shell, and tells on stderr if it fails or takes too long. What
 * it prints goes to stderr. Never throws: the run is over, and its exit code stands.
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
      // Such as a command that is too long for the system.
      resolve(messageOf(error));
      return;
    }
    let limitMs = signal.aborted ? STOPPED_HOOK_MS : HOOK_MS;
    const end = () => {
      endGroup(child);
      settle(`it took longer than ${durationText(limitMs)} and was ended`);
    };
    let timer = setTimeout(end, limitMs);
    const hurry = () => {
      clearTimeout(timer);
      limitMs = STOPPED_HOOK_MS;
      timer = setTimeout(end, limitMs);
    };
    const settle = (problem: string | undefined) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", hurry);
      resolve(problem);
    };
    signal.addEventListener("abort", hurry, { once: true });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => stderr.write(text));
    }
    child.on("error", (error) => settle(messageOf(error)));
    child.on("exit", (code, by) => {
      settle(code === 0 ? undefined : `it ended with ${by ?? `exit code ${code}`}`);
    });
    // It may have ended without reading.
    child.stdin.on("error", () => undefined);
    child.stdin.end(document);
  });
}

/** In a group of its own, so that all that it starts ends with it. */
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
    // It has ended by itself.
  }
  child.unref();
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy();
}
