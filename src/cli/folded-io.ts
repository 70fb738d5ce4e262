import { folded } from "../util/wrap.js";
import type { ProcessIo } from "./process-io.js";

/** Which streams are a terminal whose lines are to be broken. */
export interface FoldedStreams {
  readonly stdout: boolean;
  readonly stderr: boolean;
}

/**
 * Streams of which those that are a terminal get no line that it has to break, see {@link folded}.
 *
 * @param columns Tells the width of the terminal, which may change.
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
