import type { CommonFlags } from "../cli/common-specs.js";
import type { OpenedCluster } from "../cluster/open.js";
import { realClock } from "../cluster/real-clock.js";
import { OpsError } from "../errors.js";
import { durationText } from "../model/duration.js";
import type { OnEvent } from "../model/outcome.js";
import { frameLines } from "../show/frame.js";
import type { CommandIo } from "./command.js";
import { type ConnectOptions, withCluster } from "./connect.js";
import { withClusterAndProgress } from "./progress.js";

/** The top left corner; the rest of a line, of the screen, and all of it. */
const HOME = "\x1b[H";
const CLEAR_LINE = "\x1b[K";
const CLEAR_REST = "\x1b[J";
const CLEAR = "\x1b[H\x1b[2J";
/** What Ctrl-C sends where the terminal gives keys as they are typed. */
const CTRL_C = "\x03";

/**
 * A command that looks once, or again and again.
 *
 * @typeParam Look What a look brings.
 */
export interface Watch<Look> {
  /** The name of the command. */
  readonly command: string;
  readonly flags: CommonFlags;
  readonly io: CommandIo;
  /** Pause between two looks; undefined to look once. */
  readonly watchMs: number | undefined;
  readonly connecting?: ConnectOptions;
  /** Looks once. @param onEvent Told how far the look is. */
  look(opened: OpenedCluster, onEvent: OnEvent): Promise<Look>;
  /** Prints a look; its exit code. */
  show(look: Look): Promise<number>;
  /** Prepares the first look; returns what makes the exit code of it the command's. */
  begin(opened: OpenedCluster, onEvent: OnEvent): Promise<(exitCode: number) => number>;
  /** Prints why a look failed. */
  failed(error: OpsError): void;
}

/**
 * Looks once, or until a signal, `q` at a terminal, or a reader that has gone ends it. A look after the first one that
 * fails is told, and the watch goes on with new connections.
 *
 * @returns The exit code of the first look.
 * @throws OpsError if the first look fails; the signal's reason.
 */
export async function lookOrWatch<Look>(watch: Watch<Look>): Promise<number> {
  const { watchMs } = watch;
  if (watchMs === undefined) return await firstLook(watch, (_opened, exitCode) => exitCode);
  const keys = watchKeys(watch.io);
  try {
    const first = await firstLook(watch, async (opened, exitCode) => ({
      exitCode,
      isOver: await again(watch, watchMs, opened, keys.quit),
    }));
    if (!first.isOver) await reconnecting(watch, watchMs, keys.quit);
    return first.exitCode;
  } finally {
    keys.stop();
  }
}

/** Connects, looks and shows, telling how far that is. @param next Goes on with the connection. */
async function firstLook<Look, T>(
  { flags, io, command, begin, look, show, connecting }: Watch<Look>,
  next: (opened: OpenedCluster, exitCode: number) => T | Promise<T>,
): Promise<T> {
  return await withClusterAndProgress(
    flags,
    io,
    command,
    async (opened, { onEvent, stop }) => {
      const end = await begin(opened, onEvent);
      const looked = await look(opened, onEvent);
      stop();
      return await next(opened, end(await show(looked)));
    },
    connecting,
  );
}

/** Looks until a look fails. @returns Whether the watch is over. */
async function again<Look>(
  { io, look, show, failed }: Watch<Look>,
  watchMs: number,
  opened: OpenedCluster,
  quit: AbortSignal,
): Promise<boolean> {
  for (;;) {
    if (await paused(io, watchMs, quit)) return true;
    try {
      await show(await look(opened, () => {}));
    } catch (thrown) {
      io.signal.throwIfAborted();
      if (!(thrown instanceof OpsError)) throw thrown;
      failed(thrown);
      return false;
    }
  }
}

async function reconnecting<Look>(
  watch: Watch<Look>,
  watchMs: number,
  quit: AbortSignal,
): Promise<void> {
  const { flags, io } = watch;
  for (;;) {
    try {
      const use = (_cluster: unknown, opened: OpenedCluster) => again(watch, watchMs, opened, quit);
      if (await withCluster(flags, io, use, watch.connecting)) return;
    } catch (thrown) {
      io.signal.throwIfAborted();
      if (io.stdout.isClosed?.() === true) return;
      if (!(thrown instanceof OpsError)) throw thrown;
      watch.failed(thrown);
      if (await paused(io, watchMs, quit)) return;
    }
  }
}

/** Waits for the next look. @returns Whether there is to be none. @throws The signal's reason. */
async function paused(io: CommandIo, watchMs: number, quit: AbortSignal): Promise<boolean> {
  try {
    await realClock.sleep(watchMs, AbortSignal.any([io.signal, quit]));
  } catch (thrown) {
    io.signal.throwIfAborted();
    if (!quit.aborted) throw thrown;
  }
  return quit.aborted || io.stdout.isClosed?.() === true;
}

/** Takes the keys of a terminal as they are typed: `q` ends the watch, Ctrl-C is the signal that it always is. */
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

/** Where the looks of a watch are drawn. */
export interface WatchScreen {
  /** Whether what stands there is drawn anew; else one look is written after the other. */
  readonly isDrawn: boolean;
  /** @param lines Without line ends. */
  show(lines: readonly string[], nowMs: number): void;
}

/** Draws looks one over the other on a terminal; elsewhere each is a block of its own with its time. */
export function watchScreen(io: CommandIo, watchMs: number): WatchScreen {
  const { control } = io.stdout;
  let before: readonly string[] | undefined;
  let size = "";
  return {
    isDrawn: control !== undefined,
    show(lines, nowMs) {
      const time = new Date(nowMs).toISOString();
      const stamp = `== ${time}, every ${durationText(watchMs)}`;
      if (control === undefined) {
        io.stdout.write(`${[stamp, ...lines].join("\n")}\n\n`);
        return;
      }
      const { hasColor, columns, rows } = io;
      const isSameSize = size === `${columns}x${rows}`;
      // After a change of size the lines differ because of it.
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
