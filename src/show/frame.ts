import type { TableScreen } from "../util/table.js";
import { paint, unpainted } from "../util/text.js";
import { firstRow } from "../util/wrap.js";

/** Columns at the left edge of a frame that are reserved for the marks. */
export const FRAME_MARGIN = 2;

/** One output of a command with `--watch`. */
export interface Frame {
  /** Lines without line ends, made safe, with the colours of `paint`. */
  readonly lines: readonly string[];
  /** Lines of the previous output; undefined for the first one. */
  readonly before: readonly string[] | undefined;
  /** The first line: the time of the output. */
  readonly stamp: string;
}

/**
 * Fits an output to a terminal: each line on one row, with a `*` before each line that the previous
 * output lacked. Of too many lines the first ones and the last one are shown. Changed durations are
 * ignored.
 */
export function frameLines({ lines, before, stamp }: Frame, screen: TableScreen): string[] {
  const isNew = before === undefined ? () => false : newTo(before);
  const marked = lines.map((line) => {
    const mark = isNew(line) ? paint("*", "doubtful", screen.hasColor) : " ";
    return `${mark} ${firstRow(line, Math.max(1, screen.columns - FRAME_MARGIN))}`;
  });
  const changed = before === undefined ? 0 : marked.filter((line) => !line.startsWith(" ")).length;
  const changes =
    before === undefined ? "" : changed === 0 ? ", no change" : `, ${changed} changed (*)`;
  // The stamp and the cursor take one line each.
  const rowsMax = Math.max(3, screen.rows - 2);
  const last = marked.at(-1);
  const shown =
    marked.length <= rowsMax || last === undefined
      ? marked
      : [...marked.slice(0, rowsMax - 2), `  ... ${marked.length - rowsMax + 1} more lines`, last];
  return [firstRow(`${stamp}${changes}`, screen.columns), ...shown];
}

function newTo(before: readonly string[]): (line: string) => boolean {
  const known = new Set(before.map(meaning));
  return (line) => !known.has(meaning(line));
}

/** A line without colours, padding and durations. */
function meaning(line: string): string {
  return unpainted(line)
    .replaceAll(/\b(\d+(\.\d+)? ?(d|h|min|m|s|ms)(?![a-zA-Z]) ?)+/g, "T ")
    .replaceAll(/\b\d+ calls\b/g, "calls")
    .replaceAll(/\s+/g, " ")
    .trim();
}
