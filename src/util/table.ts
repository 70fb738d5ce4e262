import { type Color, clipped, paint, safe } from "./text.js";
import { shortened, textWidth } from "./width.js";
import { type Screen, wrapped } from "./wrap.js";

/** Limit of characters of a cell that are shown. */
const CELL_MAX = 2_000;
/** Columns of text are not made narrower than this. */
const TEXT_MIN = 12;
/** The number of spaces between two columns. */
const SPACES = 2;

/** One cell of a table: text of any origin, with a colour if it matters. */
export type Cell = string | { readonly text: string; readonly color: Color };

/** A column of a table. */
export interface Column {
  readonly title: string;
  /** `left` if absent; numbers are aligned to the right. */
  readonly align?: "left" | "right";
  /** Left out first if the table is wider than the screen. */
  readonly isExtra?: boolean;
}

/** The properties of a column that determine its width. */
type Fittable = Pick<Column, "align" | "isExtra">;

/** The properties of the output; infinitely wide if all columns are wanted. */
export interface TableScreen extends Screen {
  /** Lines of the terminal: the titles are repeated on each screenful. Infinite without one. */
  readonly rows: number;
}

/** Not a terminal: all columns, and the titles once. */
const UNBOUNDED = { columns: Number.POSITIVE_INFINITY, rows: Number.POSITIVE_INFINITY };

/** The text of {@link tablePieces} with all its columns. */
export function table(
  columns: readonly Column[],
  rows: Iterable<readonly Cell[]>,
  hasColor = false,
): string {
  return [...tablePieces(columns, rows, { hasColor, ...UNBOUNDED })].join("");
}

/**
 * A table, or, if the screen is too narrow for all its columns, the cells of each row in one line.
 *
 * @returns Lines without line ends.
 */
export function tableOrLines(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  screen: number,
): string[] {
  const lines = table(columns, rows).trimEnd().split("\n");
  if (lines.every((line) => textWidth(line) <= screen)) return lines;
  return rows.map((row) =>
    row
      .filter((cell) => cell !== "")
      .map(safe)
      .join("  "),
  );
}

/**
 * An aligned table of plain text: a line of titles, then one line for each row, two spaces between the
 * columns, no frames, so that `grep` and `awk` can read it. Cells are made safe here.
 *
 * @param rows Cells in the order of `columns`; missing ones are empty. Iterated twice: each row yields
 *   an empty piece first, while the widths are measured.
 * @returns The titles of the columns that do not fit the screen, see {@link fitColumns}.
 */
export function* tablePieces(
  columns: readonly Column[],
  rows: Iterable<readonly Cell[]>,
  screen: TableScreen,
): Generator<string, string[]> {
  const titles = columns.map((column) => column.title);
  const widths = titles.map((title) => textWidth(safe(title)));
  for (const row of rows) {
    for (const [index, width] of widths.entries()) {
      widths[index] = Math.max(width, textWidth(safeCell(row[index] ?? "").text));
    }
    yield "";
  }
  const fitted = fitColumns(columns, widths, screen.columns);
  const shown = columns.flatMap(({ align }, index) => {
    const width = fitted[index];
    const isShortened = width !== undefined && width < (widths[index] ?? 0);
    return width === undefined ? [] : [{ index, width, isRight: align === "right", isShortened }];
  });
  const line = (row: readonly Cell[]) => {
    const cells: string[] = [];
    for (const { index, width, isRight, isShortened } of shown) {
      const cell = safeCell(row[index] ?? "");
      const cut = isShortened ? shortened(cell.text, width) : cell.text;
      const padding = " ".repeat(width - textWidth(cut));
      const text = paint(cut, cell.color, screen.hasColor);
      cells.push(isRight ? padding + text : text + padding);
    }
    return `${cells.join("  ").trimEnd()}\n`;
  };
  // One line is reserved for the prompt of the shell or a pager.
  const screenful = Math.max(2, screen.rows - 1);
  let lines = 1;
  yield line(titles);
  for (const row of rows) {
    if (lines % screenful === 0) {
      yield line(titles);
      lines += 1;
    }
    yield line(row);
    lines += 1;
  }
  return titles.filter((_, index) => fitted[index] === undefined);
}

/**
 * A table as wide as the screen, in pieces, with a line that names the columns that were left out.
 */
export function* fittedTable(
  columns: readonly Column[],
  rows: Iterable<readonly Cell[]>,
  screen: TableScreen,
): Generator<string> {
  const leftOut = yield* tablePieces(columns, rows, screen);
  if (leftOut.length === 0) return;
  const text = `left out: ${leftOut.join(", ")} (--output=wide shows all)`;
  yield `${wrapped(text, { first: "", rest: "  " }, screen).join("\n")}\n`;
}

function safeCell(cell: Cell): { readonly text: string; readonly color: Color | undefined } {
  return typeof cell === "string"
    ? { text: safe(clipped(cell, CELL_MAX)), color: undefined }
    : { text: safe(clipped(cell.text, CELL_MAX)), color: cell.color };
}

/**
 * Computes the widths of a table's columns on a screen. If they do not all fit: extra columns are left
 * out, the last one first; then text is shortened, the widest column first; then columns are left out
 * from the right. Numbers are never shortened, and the first column stays.
 *
 * @param widths The width that each column needs.
 * @param screen Columns of the terminal; infinite if nothing is to be left out.
 * @returns A width for each column; undefined for one that is left out.
 */
export function fitColumns(
  columns: readonly Fittable[],
  widths: readonly number[],
  screen: number,
): (number | undefined)[] {
  const fitted: (number | undefined)[] = [...widths];
  const isTooWide = () => {
    const shown = fitted.filter((width) => width !== undefined);
    return shown.reduce((sum, width) => sum + width + SPACES, -SPACES) > screen;
  };
  const leaveOut = (isMeant: (index: number) => boolean) => {
    for (let index = fitted.length - 1; index > 0 && isTooWide(); index -= 1) {
      if (isMeant(index)) fitted[index] = undefined;
    }
  };
  leaveOut((index) => columns[index]?.isExtra === true);
  while (isTooWide()) {
    const widest = widestText(columns, fitted);
    if (widest === undefined) break;
    fitted[widest] = (fitted[widest] ?? 0) - 1;
  }
  leaveOut(() => true);
  return fitted;
}

function widestText(
  columns: readonly Fittable[],
  widths: readonly (number | undefined)[],
): number | undefined {
  let found: number | undefined;
  let most = TEXT_MIN;
  for (const [index, width = 0] of widths.entries()) {
    if (columns[index]?.align === "right" || width <= most) continue;
    found = index;
    most = width;
  }
  return found;
}
