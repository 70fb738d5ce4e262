import { messageOf } from "../errors.js";
import { clipped, printable, safe } from "../util/text.js";

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
  return {
    out(text) {
      hasWritten = true;
      process.stdout.write(printable(text));
    },
    print(text) {
      hasWritten = true;
      return new Promise((resolve) => {
        process.stdout.write(printable(text), () => resolve());
      });
    },
    err(text) {
      const lines = text.length > LINE_MAX ? text.split("\n") : [text];
      process.stderr.write(printable(lines.map((line) => clipped(line, LINE_MAX)).join("\n")));
    },
    control(stream, sequence) {
      process[stream].write(sequence);
    },
    hasWritten: () => hasWritten,
    isClosed: () => isClosed,
    failure: () => failure,
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
