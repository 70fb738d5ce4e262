import type { DrawLive } from "../commands/command.js";
import { messageOf } from "../errors.js";
import { clipped, printable, safe } from "../util/text.js";
import { createLiveArea, type LiveArea } from "./live-area.js";

/** Characters of a line on stderr. A longer one is cut: it is text from outside, not a message. */
const LINE_MAX = 20_000;

/**
 * The streams of the process, guarded against readers that go away, and the one gate to them: all
 * text is made {@link printable} here, whatever its writer did.
 */
export interface ProcessIo {
  /** Writes to stdout; never throws. */
  out(text: string): void;
  /** Writes to stdout, and resolves when it is through or stdout is closed; never rejects. */
  print(text: string): Promise<void>;
  /** Writes to stderr, each line up to a limit; never throws. */
  err(text: string): void;
  /** Writes a control sequence of this tool to stdout or stderr (cursor, clearing), as it is. */
  control(stream: "stdout" | "stderr", sequence: string): void;
  /** Draws lines at the lower end of the terminal that stderr is; see `TextOut.live`. Drawn anew when its size changes. */
  live(draw: DrawLive | undefined): void;
  /** Whether anything was written to stdout. */
  hasWritten(): boolean;
  /** Whether the reader of stdout has gone away, so that nothing written is seen. */
  isClosed(): boolean;
  /** Why the result did not get through, in words; undefined if it did or stdout is closed. */
  failure(): string | undefined;
}

/**
 * Guards stdout and stderr. A reader that has seen enough (EPIPE, as with `| head`) is no error
 * and ends nothing: a recovery must go on. A full disk behind `> file` is one.
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
    // No stream is left to report it on.
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

/** The live area of stderr: gone when the process ends, and while it is stopped (Ctrl-Z). */
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

/** Waits, within a bound, until what was written to stdout is through or has failed. */
export async function stdoutDrained(limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  const drained = new Promise<void>((resolve) => {
    process.stdout.write("", () => setImmediate(resolve));
  });
  await Promise.race([drained, limit]);
  clearTimeout(timer);
}
