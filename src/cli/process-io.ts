import { realClock } from "../cluster/real-clock.js";
import type { DrawLive } from "../commands/command.js";
import { messageOf } from "../errors.js";
import { clipped, printable, safe } from "../util/text.js";
import { within } from "../util/within.js";
import { createLiveArea, type LiveArea } from "./live-area.js";

/** Number of characters of a line on stderr; longer lines, which contain text from outside, are cut. */
const LINE_MAX = 20_000;

/**
 * The output streams of the process, protected against closed readers. All output goes through this interface, which
 * makes it {@link printable}.
 */
export interface ProcessIo {
  /** Writes to stdout; never throws. */
  out(text: string): void;
  /** Writes to stdout; resolves when the text is written or stdout is closed; never rejects. */
  print(text: string): Promise<void>;
  /** Writes to stderr, each line up to a limit; never throws. */
  err(text: string): void;
  /** Writes a control sequence of this tool (cursor, clearing) to stdout or stderr unchanged. */
  control(stream: "stdout" | "stderr", sequence: string): void;
  /** Shows a live block on stderr; see `TextOut.live`. It is redrawn when the size of the terminal changes. */
  live(draw: DrawLive | undefined): void;
  /** True if anything was written to stdout. */
  hasWritten(): boolean;
  /** True if stdout is closed or failed, so that further output is useless. */
  isClosed(): boolean;
  /** Why the result could not be written; undefined if it was written, or if the reader closed stdout. */
  failure(): string | undefined;
}

/**
 * Protects stdout and stderr. A closed reader (EPIPE, as with `| head`) is not an error, because a recovery must
 * continue. A full disk with `> file` is one.
 */
export function guardProcessIo(): ProcessIo {
  let hasWritten = false;
  let failure: string | undefined;
  let isClosed = false;
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    isClosed = true;
    if (error.code !== "EPIPE") failure ??= safe(messageOf(error));
  });
  process.stderr.on("error", () => {
    // Ignored: no stream is left to report it.
  });
  let area: LiveArea | undefined;
  const around = (stream: "stdout" | "stderr", text: string, write: () => void) => {
    if (area === undefined || process[stream].isTTY !== true) write();
    else area.around(text, write);
  };
  return {
    out(text) {
      hasWritten = true;
      around("stdout", text, () => process.stdout.write(printable(text)));
    },
    print(text) {
      hasWritten = true;
      return new Promise((resolve) => {
        around("stdout", text, () => process.stdout.write(printable(text), () => resolve()));
      });
    },
    err(text) {
      const lines = text.length > LINE_MAX ? text.split("\n") : [text];
      const clean = printable(lines.map((line) => clipped(line, LINE_MAX)).join("\n"));
      around("stderr", text, () => process.stderr.write(clean));
    },
    live(draw) {
      area ??= liveArea();
      area.show(draw && ((size) => draw(size).map(safe)));
    },
    control(stream, sequence) {
      process[stream].write(sequence);
    },
    hasWritten: () => hasWritten,
    isClosed: () => isClosed,
    failure: () => failure,
  };
}

/** The live area of stderr. It is removed when the process ends, and while it is suspended (Ctrl-Z). */
function liveArea(): LiveArea {
  const { stderr } = process;
  const area = createLiveArea({
    write: (text) => stderr.write(text),
    size: () => ({ columns: stderr.columns || 80, rows: stderr.rows || 24 }),
  });
  let shown: DrawLive | undefined;
  const again = () => area.show(shown);
  stderr.on("resize", again);
  process.on("exit", () => area.show(undefined));
  process.on("SIGCONT", again);
  process.on("SIGTSTP", () => {
    area.show(undefined);
    process.kill(process.pid, "SIGSTOP");
  });
  return {
    around: area.around,
    show(draw) {
      shown = draw;
      area.show(draw);
    },
  };
}

/** Waits until all output to stdout is written or has failed, for at most `limitMs` milliseconds. */
export async function stdoutDrained(limitMs: number): Promise<void> {
  const drained = new Promise<void>((resolve) => {
    process.stdout.write("", () => setImmediate(resolve));
  });
  await within(realClock, limitMs, "stdout", drained).catch(() => undefined);
}
