/**
 * Characters that must not reach a terminal, a table or a log line as they are: control characters
 * (escape sequences and line breaks begin with one), line and paragraph separators, characters
 * that are invisible or turn the direction of writing, and halves of surrogate pairs.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}]/gu;

const NAMED: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/**
 * Text of unknown origin (names, messages of peers, file names) made fit for one line of a
 * terminal: what could break the line, move the cursor or hide is shown as an escape such as `\n`,
 * `\x1b` or `\u202e`. Applying it twice changes nothing more.
 */
export function safe(text: string): string {
  return text.replaceAll(UNSAFE, (char) => NAMED[char] ?? escapeOf(char));
}

function escapeOf(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  if (code <= 0xff) return `\\x${code.toString(16).padStart(2, "0")}`;
  if (code <= 0xffff) return `\\u${code.toString(16).padStart(4, "0")}`;
  return `\\u{${code.toString(16)}}`;
}

/**
 * JSON that a terminal can show as well: unsafe characters (see {@link safe}) are written as JSON
 * escapes, which any parser turns back. bigint values become decimal strings, since JSON's numbers
 * would lose digits of 64-bit offsets and terms.
 *
 * @param indent Spaces for each level; 0 for one line.
 */
export function jsonText(value: unknown, indent = 0): string {
  const text = JSON.stringify(
    value,
    (_key, item: unknown) => (typeof item === "bigint" ? item.toString() : item),
    indent,
  );
  // With an indent the line breaks between the values are wanted; inside strings they are escaped.
  return text.replaceAll(UNSAFE, (char) => (char === "\n" ? char : unitEscapes(char)));
}

function unitEscapes(char: string): string {
  return char
    .split("")
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");
}

/**
 * A word of a command line as a shell (bash, zsh) takes it: plain if it can be, quoted otherwise. What
 * {@link safe} would escape is written as the shell's own escape, so that it can be shown and pasted.
 */
export function shellWord(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  if (word.search(UNSAFE) < 0) return `'${word.replaceAll("'", `'\\''`)}'`;
  const escaped = word.replaceAll(/[\\']/g, "\\$&").replaceAll(UNSAFE, shellEscape);
  return `$'${escaped}'`;
}

function shellEscape(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  return NAMED[char] ?? `\\U${code.toString(16).padStart(8, "0")}`;
}

/** Ranges of characters that terminals show two columns wide (Unicode East Asian Width W and F). */
const WIDE: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2e80, 0x303e],
  [0x3041, 0x4dbf],
  [0x4e00, 0xa4cf],
  [0xa960, 0xa97f],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x1f300, 0x1f64f],
  [0x1f680, 0x1f6ff],
  [0x1f900, 0x1faff],
  [0x20000, 0x3fffd],
];

/** Columns that a terminal needs for text that {@link safe} returned. */
export function textWidth(text: string): number {
  let width = 0;
  for (const char of text) {
    width += charWidth(char);
  }
  return width;
}

function charWidth(char: string): number {
  const code = char.codePointAt(0) ?? 0;
  if (code < 0x300) return 1;
  if (/\p{Mark}/u.test(char)) return 0;
  return WIDE.some(([first, last]) => code >= first && code <= last) ? 2 : 1;
}

/** A colour by what it means. */
export type Color = "good" | "bad" | "doubtful" | "faint";

const SGR: Readonly<Record<Color, number>> = { good: 32, bad: 31, doubtful: 33, faint: 2 };

/** The text in a colour, or as it is if colours are off. */
export function paint(text: string, color: Color | undefined, hasColor: boolean): string {
  return color === undefined || !hasColor ? text : `\x1b[${SGR[color]}m${text}\x1b[0m`;
}

/** One cell of a table: text of any origin, with a colour if it matters. */
export type Cell = string | { readonly text: string; readonly color: Color };

/** A column of a table. */
export interface Column {
  readonly title: string;
  /** `left` if left out; numbers go to the right. */
  readonly align?: "left" | "right";
}

/**
 * An aligned table of plain text: a line of titles, then one line for each row, two spaces between
 * the columns, no frames, so that `grep` and `awk` can read it. Cells are made safe here.
 *
 * @param rows Cells in the order of `columns`; missing ones are empty.
 * @returns Lines that each end with `\n`.
 */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  hasColor = false,
): string {
  const lines: Cell[][] = [columns.map((column) => column.title), ...rows.map((row) => [...row])];
  const safeLines = lines.map((line) => columns.map((_, index) => safeCell(line[index] ?? "")));
  const widths = columns.map((_, index) =>
    Math.max(...safeLines.map((line) => textWidth(line[index]?.text ?? ""))),
  );
  return safeLines
    .map((line) => {
      const cells = line.map((cell, index) => {
        const padding = " ".repeat((widths[index] ?? 0) - textWidth(cell.text));
        const text = paint(cell.text, cell.color, hasColor);
        return columns[index]?.align === "right" ? padding + text : text + padding;
      });
      return `${cells.join("  ").trimEnd()}\n`;
    })
    .join("");
}

function safeCell(cell: Cell): { readonly text: string; readonly color: Color | undefined } {
  return typeof cell === "string"
    ? { text: safe(cell), color: undefined }
    : { text: safe(cell.text), color: cell.color };
}

/** What decides about colours. */
export interface ColorWish {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly isTerminal: boolean;
  /** Whether `--no_color` was given. */
  readonly isOff: boolean;
}

/**
 * Whether output may carry colours. `--no_color` is the nearest word and wins; then FORCE_COLOR
 * (it beats NO_COLOR in Node.js too; `0` and `false` force them off); then NO_COLOR if not empty,
 * TERM=dumb, and whether it is a terminal at all.
 */
export function allowsColor({ environment, isTerminal, isOff }: ColorWish): boolean {
  if (isOff) return false;
  const force = environment["FORCE_COLOR"];
  if (force !== undefined) return force !== "0" && force !== "false";
  const noColor = environment["NO_COLOR"];
  if (noColor !== undefined && noColor !== "") return false;
  return isTerminal && environment["TERM"] !== "dumb";
}
