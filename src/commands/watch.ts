import type { CommonFlags } from "../cli/common-specs.js";
import { errorDocument } from "../cli/show-error.js";
import type { OpenedCluster } from "../cluster/open.js";
import { realClock } from "../cluster/real-clock.js";
import { messageOf, OpsError } from "../errors.js";
import { exitCodeOf } from "../exit-codes.js";
import { durationText } from "../model/duration.js";
import type { OnEvent } from "../model/outcome.js";
import { FRAME_MARGIN, frameLines } from "../show/frame.js";
import { safe } from "../util/text.js";
import type { CommandIo } from "./command.js";
import { type ConnectOptions, withCluster } from "./connect.js";
import { withClusterAndProgress } from "./progress.js";
import { settleFirst } from "./protect.js";

// Control sequences: move to the top left corner; clear the rest of the line, the rest of the screen, the whole screen.
const HOME = "\x1b[H";
const CLEAR_LINE = "\x1b[K";
const CLEAR_REST = "\x1b[J";
const CLEAR = "\x1b[H\x1b[2J";
/** The input of Ctrl-C in raw mode. */
const CTRL_C = "\x03";

/**
 * A command that observes once, or repeatedly with `--watch`.
 *
 * @typeParam Observed The result of one observation.
 */
export interface Watch<Observed> {
  /** The name of the command. */
  readonly command: string;
  readonly flags: CommonFlags;
  readonly io: CommandIo;
  /** Pause between two observations in milliseconds; undefined to observe once. */
  readonly watchMs: number | undefined;
  readonly connecting?: ConnectOptions;
  /** Observes once. @param onEvent Receives the progress. */
  observe(opened: OpenedCluster, onEvent: OnEvent): Promise<Observed>;
  /**
   * Prints an observation.
   *
   * @param screen Undefined to observe once.
   * @param end Maps the exit code of the observation to that of the command; see `settleFirst`.
   * @returns The exit code of the command.
   */
  show(
    observed: Observed,
    screen: WatchScreen | undefined,
    end: (exitCode: number) => number,
  ): Promise<number>;
  /** Runs before everything else; optional. */
  readonly begin?: (opened: OpenedCluster, onEvent: OnEvent) => Promise<void>;
}

/**
 * Restores auto_failover after a run that died, then observes once, or repeatedly until a signal, `q` on the terminal,
 * or a closed stdout. If a later observation fails, the error is printed and the watch continues with new connections.
 *
 * @returns The exit code of the first observation.
 * @throws OpsError if the first observation fails; the signal's reason.
 */
export async function observeOrWatch<Observed>(watch: Watch<Observed>): Promise<number> {
  const { watchMs } = watch;
  if (watchMs === undefined) {
    return await firstObservation(watch, undefined, (_opened, exitCode) => exitCode);
  }
  const screen = watchScreen(watch.io, watchMs);
  const keys = watchKeys(watch.io);
  try {
    const first = await firstObservation(watch, screen, async (opened, exitCode) => ({
      exitCode,
      isOver: await again(watch, screen, opened, keys.quit),
    }));
    if (!first.isOver) await reconnecting(watch, screen, keys.quit);
    return first.exitCode;
  } finally {
    keys.stop();
  }
}

/** Connects, observes and prints, with a progress display. @param next Continues with the connection. */
async function firstObservation<Observed, T>(
  { flags, io, command, begin, observe, show, connecting }: Watch<Observed>,
  screen: WatchScreen | undefined,
  next: (opened: OpenedCluster, exitCode: number) => T | Promise<T>,
): Promise<T> {
  return await withClusterAndProgress(
    flags,
    io,
    command,
    async (opened, { onEvent, stop }) => {
      await begin?.(opened, onEvent);
      const end = await settleFirst(opened, flags, io, command);
      const observed = await observe(opened, onEvent);
      stop();
      return await next(opened, await show(observed, screen, end));
    },
    connecting,
  );
}

/** Observes until an observation fails. @returns True if the watch is over. */
async function again<Observed>(
  watch: Watch<Observed>,
  screen: WatchScreen,
  opened: OpenedCluster,
  quit: AbortSignal,
): Promise<boolean> {
  const { io } = watch;
  for (;;) {
    if (await paused(io, screen.everyMs, quit)) return true;
    try {
      const observed = await watch.observe(opened, () => {});
      await watch.show(observed, screen, (exitCode) => exitCode);
    } catch (thrown) {
      io.signal.throwIfAborted();
      if (!(thrown instanceof OpsError)) throw thrown;
      showFailedObservation(watch, thrown, screen);
      return false;
    }
  }
}

async function reconnecting<Observed>(
  watch: Watch<Observed>,
  screen: WatchScreen,
  quit: AbortSignal,
): Promise<void> {
  const { flags, io } = watch;
  for (;;) {
    try {
      const use = (opened: OpenedCluster) => again(watch, screen, opened, quit);
      if (await withCluster(flags, io, use, watch.connecting)) return;
    } catch (thrown) {
      io.signal.throwIfAborted();
      if (io.stdout.isClosed?.() === true) return;
      if (!(thrown instanceof OpsError)) throw thrown;
      showFailedObservation(watch, thrown, screen);
      if (await paused(io, screen.everyMs, quit)) return;
    }
  }
}

/** Reports a failed observation of `--watch`: on the screen, or as a JSON document. */
export function showFailedObservation(
  { command, flags, io }: Pick<Watch<unknown>, "command" | "flags" | "io">,
  thrown: OpsError,
  screen: Pick<WatchScreen, "show">,
): void {
  const nowMs = realClock.wallTime();
  if (flags.output === "json") {
    const time = new Date(nowMs).toISOString();
    io.stdout.write(errorDocument(thrown, exitCodeOf(thrown), { command, time }));
    return;
  }
  const hint = thrown.hint === undefined ? "" : ` (${safe(thrown.hint)})`;
  const line = `${command}: this observation failed: ${safe(messageOf(thrown))}${hint}`;
  screen.show([...thrown.details.map(safe), line], nowMs);
}

/** Waits until the next observation. @returns True if the watch is over. @throws The signal's reason. */
async function paused(io: CommandIo, watchMs: number, quit: AbortSignal): Promise<boolean> {
  try {
    await realClock.sleep(watchMs, AbortSignal.any([io.signal, quit]));
  } catch (thrown) {
    io.signal.throwIfAborted();
    if (!quit.aborted) throw thrown;
  }
  return quit.aborted || io.stdout.isClosed?.() === true;
}

/** Reads keys in raw mode: `q` ends the watch, and Ctrl-C sends SIGINT as usual. */
function watchKeys(io: CommandIo): { readonly quit: AbortSignal; stop(): void } {
  const quit = new AbortController();
  const { stdin } = io.isInteractiveStdin && io.stdout.control !== undefined ? io : {};
  if (!(stdin !== undefined && "setRawMode" in stdin)) return { quit: quit.signal, stop: () => {} };
  const terminal = stdin as NodeJS.ReadStream;
  const onKeys = (keys: Buffer | string) => {
    const text = String(keys);
    if (text.includes(CTRL_C)) process.kill(process.pid, "SIGINT");
    else if (/q/i.test(text)) quit.abort();
  };
  terminal.setRawMode(true);
  terminal.on("data", onKeys);
  return {
    quit: quit.signal,
    stop() {
      terminal.off("data", onKeys);
      terminal.setRawMode(false);
      terminal.pause();
    },
  };
}

/** The output of a watch. */
export interface WatchScreen {
  /** Pause between two observations in milliseconds. */
  readonly everyMs: number;
  /** Columns at the edge of a screen that is redrawn; 0 if the observations are written one after another. */
  readonly margin: number;
  /** @param lines Without line ends. */
  show(lines: readonly string[], nowMs: number): void;
}

/** Redraws the screen on a terminal; elsewhere writes each observation as a block with its time. */
function watchScreen(io: CommandIo, watchMs: number): WatchScreen {
  const { control } = io.stdout;
  let before: readonly string[] | undefined;
  let size = "";
  return {
    everyMs: watchMs,
    margin: control === undefined ? 0 : FRAME_MARGIN,
    show(lines, nowMs) {
      const time = new Date(nowMs).toISOString();
      const stamp = `== ${time}, every ${durationText(watchMs)}`;
      if (control === undefined) {
        io.stdout.write(`${[stamp, ...lines].join("\n")}\n\n`);
        return;
      }
      const { hasColor, columns, rows } = io;
      const isSameSize = size === `${columns}x${rows}`;
      // After a change of size all lines can differ, so changes are not marked.
      const compared = isSameSize ? before : undefined;
      const frame = frameLines({ lines, before: compared, stamp }, { hasColor, columns, rows });
      before = lines;
      control(isSameSize ? HOME : CLEAR);
      size = `${columns}x${rows}`;
      for (const line of frame) {
        io.stdout.write(line);
        control(CLEAR_LINE);
        io.stdout.write("\n");
      }
      control(CLEAR_REST);
    },
  };
}
