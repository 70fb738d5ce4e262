import type { CommonFlags, GlobalFlags } from "../cli/common-specs.js";
import type { OpenedCluster } from "../cluster/open.js";
import { realClock } from "../cluster/real-clock.js";
import { eventRecord } from "../journal/event-record.js";
import type { OnEvent, RunEvent } from "../model/outcome.js";
import { eventLine, type Line } from "../show/event-line.js";
import { progressLine, progressLines } from "../show/progress-text.js";
import { createRunProgress } from "../show/run-progress.js";
import { isAsking } from "./ask.js";
import type { CommandIo } from "./command.js";
import { type ConnectOptions, withCluster } from "./connect.js";

/** A command never says nothing for longer than this. */
const SILENCE_MAX_MS = 10_000;
/** How often the live block is drawn anew, and the silence looked at. */
const TICK_MS = 500;
/** With more partitions to work on, the screen counts them, and only the log file has every step. */
const TOLD_PARTITIONS_MAX = 100;
/** So many lines of what did not work are on the screen even then. */
const TOLD_WARNINGS_MAX = 50;

/** What is told of a command that takes a while. */
export interface Progress {
  readonly onEvent: OnEvent;
  /** Ends the live block and the signs of life. The log goes on. */
  stop(): void;
}

/**
 * Opens the cluster, lends it to `use` and closes it, as {@link withCluster} does, and tells how far that is.
 *
 * @param use Stops the progress before it prints.
 * @returns What `use` returns.
 */
export async function withClusterAndProgress<T>(
  flags: CommonFlags,
  io: CommandIo,
  command: string,
  use: (opened: OpenedCluster, progress: Progress) => Promise<T>,
  options?: ConnectOptions,
): Promise<T> {
  const progress = startProgress(io, flags, command);
  try {
    return await withCluster(flags, io, (_, opened) => use(opened, progress), options);
  } finally {
    progress.stop();
  }
}

/**
 * Tells the events of a command on stderr. Where a live block can be drawn, it shows how far the command is, and
 * the log has notes and warnings. Elsewhere each step has a line, unless there are many partitions; and a line says
 * how far the command is when nothing was told for a while. While a question is asked nothing is written; what
 * happened meanwhile is told after the answer. With `--log_level=debug` the log has each step in any case.
 *
 * @param command Its name.
 */
export function startProgress(
  io: CommandIo,
  { logLevel }: Pick<GlobalFlags, "logLevel">,
  command: string,
): Progress {
  const now = () => performance.now();
  const progress = createRunProgress(now());
  let toldAt = now();
  let isLarge = false;
  let warnings = 0;
  let held: Line[] = [];
  const { live } = io.stderr;
  const draw = () => {
    if (!isAsking(io)) live?.((screen) => progressLines(command, progress.view(now()), screen));
  };
  const say = (line: Line) => {
    if (line.level !== "debug") toldAt = now();
    if (isAsking(io)) held.push(line);
    else for (const one of [...held.splice(0), line]) io.log[one.level](one.text);
  };
  const isOnScreen = (event: RunEvent, { level }: Line) => {
    const isOfRun = event.kind === "note" || event.kind === "warning";
    if (isOfRun || logLevel === "debug") return true;
    if (live !== undefined) return false;
    if (!isLarge || event.kind === "step-started" || level === "debug") return true;
    if (level === "warn") warnings += 1;
    return level === "warn" && warnings <= TOLD_WARNINGS_MAX;
  };
  const timer = setInterval(() => {
    draw();
    if (isAsking(io)) toldAt = now();
    // The next chance is a tick later.
    const isSilent = now() - toldAt >= SILENCE_MAX_MS - TICK_MS;
    if (isSilent && live === undefined)
      say({ level: "info", text: progressLine(progress.view(now())) });
  }, TICK_MS);
  draw();
  return {
    onEvent(event) {
      progress.add(event, now());
      if (event.kind === "work" && event.partitions.length > TOLD_PARTITIONS_MAX) isLarge = true;
      if (event.kind === "phase") draw();
      const record = eventRecord(event, new Date(realClock.wallTime()).toISOString());
      if (record !== undefined) io.stdout.event?.(record);
      const line = eventLine(event);
      if (line === undefined) return;
      if (isOnScreen(event, line)) say(line);
      else io.log.record(line.level, line.text);
    },
    stop() {
      clearInterval(timer);
      live?.(undefined);
      for (const one of held) io.log[one.level](one.text);
      held = [];
    },
  };
}
