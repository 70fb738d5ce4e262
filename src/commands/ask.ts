import { createInterface } from "node:readline/promises";
import type { CommonFlags, PlanFlags } from "../cli/common-specs.js";
import { refused } from "../errors.js";
import type { CommandIo } from "./command.js";

const HINT = "--yes proceeds without asking";

/**
 * Asks for confirmation on a terminal. Without a terminal (cron, a script) the command continues without asking.
 * `--no_input` forbids both.
 *
 * @param question The changes to confirm; the answer is typed directly after it.
 * @returns True if the question was asked; false with `--yes`, or without a terminal.
 * @throws OpsError `refused` if the answer was not yes, or if `--no_input` forbids the question.
 */
export async function confirmed(
  question: string,
  {
    flags,
    io,
    signal,
  }: {
    readonly flags: Pick<PlanFlags, "yes" | "noInput">;
    readonly io: CommandIo;
    readonly signal: AbortSignal;
  },
): Promise<boolean> {
  if (flags.yes) return false;
  if (flags.noInput) {
    throw refused("--no_input forbids asking before the first change; nothing was changed", HINT);
  }
  if (!io.isInteractiveStdin) return false;
  const answer = await ask(question, io, signal);
  if (/^\s*y(es)?\s*$/i.test(answer)) return true;
  throw refused("the answer was not yes; nothing was changed", HINT);
}

/** The terminals with an open question. */
const asking = new WeakSet<CommandIo>();

/** True while a question is open: output on stderr would break it up. */
export function isAsking(io: CommandIo): boolean {
  return asking.has(io);
}

/**
 * Asks a question on a terminal.
 *
 * @returns The line that the user typed; empty at the end of the input.
 * @throws The reason of `signal`.
 */
export async function ask(question: string, io: CommandIo, signal: AbortSignal): Promise<string> {
  signal.throwIfAborted();
  asking.add(io);
  io.stderr.live?.(undefined);
  io.stderr.write(question);
  const lines = createInterface({ input: io.stdin, terminal: false });
  const leave = () => lines.close();
  signal.addEventListener("abort", leave, { once: true });
  try {
    for await (const line of lines) return line;
    io.stderr.write("\n");
    signal.throwIfAborted();
    return "";
  } finally {
    asking.delete(io);
    // The answer ended the question's line, so the live block can be cleared.
    io.stderr.live?.(undefined);
    signal.removeEventListener("abort", leave);
    lines.close();
    io.stdin.destroy();
  }
}

/** The cluster in a question, such as `prod at /openmldb`, or `at /openmldb` without a name. */
export function clusterText(flags: Pick<CommonFlags, "cluster" | "zkRootPath">): string {
  const at = `at ${flags.zkRootPath}`;
  return flags.cluster === undefined ? at : `${flags.cluster} ${at}`;
}
