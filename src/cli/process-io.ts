import { messageOf } from "../errors.js";
import { safe } from "../util/text.js";

/** The streams of the process, guarded against readers that go away. */
export interface ProcessIo {
  /** Writes to stdout; never throws. */
  out(text: string): void;
  /** Writes to stdout, and resolves when that is through or nobody reads it; never rejects. */
  print(text: string): Promise<void>;
  /** Writes to stderr; never throws. */
  err(text: string): void;
  /** Whether anything was written to stdout. */
  hasWritten(): boolean;
  /** Whether whoever read stdout has gone away, so that nobody sees what is written. */
  isClosed(): boolean;
  /** Why the result did not get through, in words; undefined if it did or nobody reads it. */
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
    // There is nobody left to tell.
  });
  return {
    out(text) {
      hasWritten = true;
      process.stdout.write(text);
    },
    print(text) {
      hasWritten = true;
      return new Promise((resolve) => {
        process.stdout.write(text, () => resolve());
      });
    },
    err(text) {
      process.stderr.write(text);
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
