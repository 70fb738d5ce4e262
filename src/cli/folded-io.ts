import { folded } from "../util/wrap.js";
import type { ProcessIo } from "./process-io.js";

/** The streams that are terminals, whose lines are wrapped. */
export interface FoldedStreams {
  readonly stdout: boolean;
  readonly stderr: boolean;
}

/**
 * Wraps lines to the width of the terminal, see {@link folded}.
 *
 * @param columns Returns the current width of the terminal.
 */
export function foldedIo<Io extends ProcessIo>(
  io: Io,
  streams: FoldedStreams,
  columns: () => number,
): Io {
  const foldedIf = (isFolded: boolean) => (text: string) =>
    isFolded ? folded(text, columns()) : text;
  const [toOut, toErr] = [foldedIf(streams.stdout), foldedIf(streams.stderr)];
  return {
    ...io,
    out: (text) => io.out(toOut(text)),
    print: (text) => io.print(toOut(text)),
    err: (text) => io.err(toErr(text)),
  };
}
