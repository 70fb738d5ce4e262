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

/** Longest time in milliseconds without a line on stderr. */
const SILENCE_MAX_MS = 10_000;
/** Interval in milliseconds for redrawing the live block and checking for silence. */
const TICK_MS = 500;
/** With more partitions, the screen shows counts, and only the log file has each step. */
const LISTED_PARTITIONS_MAX = 100;
/** Number of failed steps that the screen shows even then. */
const LISTED_WARNINGS_MAX = 50;

/** The progress display of a command. */
export interface Progress {
  readonly onEvent: OnEvent;
  /** Ends the live block and the periodic lines. The log stays open. */
  stop(): void;
}

/**
 * {@link withCluster} with a progress display.
 *
 * @param use Must stop the progress before it prints.
 * @returns The result of `use`.
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
    return await withCluster(flags, io, (opened) => use(opened, progress), options);
  } finally {
    progress.stop();
  }
}

/**
 * Shows the events of a command on stderr. If a live block can be drawn, it shows the progress, and the log has notes
 * and warnings. Otherwise each step is a line, unless there are many partitions, and a progress line is written after
 * 10 s without output. While a question is open nothing is written; the lines follow after the answer. With
 * `--log_level=debug` each step is a line in any case.
 *
 * @param command The name of the command.
 */
export function startProgress(
  io: CommandIo,
  { logLevel }: Pick<GlobalFlags, "logLevel">,
  command: string,
): Progress {
  const now = () => performance.now();
  const progress = createRunProgress(now());
  let writtenAt = now();
  let isLarge = false;
  let warnings = 0;
  let held: Line[] = [];
  const { live } = io.stderr;
  const draw = () => {
    if (!isAsking(io)) live?.((screen) => progressLines(command, progress.view(now()), screen));
  };
  const write = (line: Line) => {
    if (line.level !== "debug") writtenAt = now();
    if (isAsking(io)) held.push(line);
    else for (const one of [...held.splice(0), line]) io.log[one.level](one.text);
  };
  const isOnScreen = (event: RunEvent, { level }: Line) => {
    const isOfRun = event.kind === "note" || event.kind === "warning";
    if (isOfRun || logLevel === "debug") return true;
    if (live !== undefined) return false;
    if (!isLarge || event.kind === "step-started" || level === "debug") return true;
    if (level === "warn") warnings += 1;
    return level === "warn" && warnings <= LISTED_WARNINGS_MAX;
  };
  const timer = setInterval(() => {
    draw();
    if (isAsking(io)) writtenAt = now();
    // One tick early, because the next check is a tick later.
    const isSilent = now() - writtenAt >= SILENCE_MAX_MS - TICK_MS;
    if (isSilent && live === undefined)
      write({ level: "info", text: progressLine(progress.view(now())) });
  }, TICK_MS);
  draw();
  return {
    onEvent(event) {
      progress.add(event, now());
      if (event.kind === "work" && event.partitions.length > LISTED_PARTITIONS_MAX) isLarge = true;
      if (event.kind === "phase") draw();
      const record = eventRecord(event, new Date(realClock.wallTime()).toISOString());
      if (record !== undefined) io.stdout.event?.(record);
      const line = eventLine(event);
      if (line === undefined) return;
      if (isOnScreen(event, line)) write(line);
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
