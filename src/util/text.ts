/**
 * Characters that must not reach a terminal, a table or a log line as they are: control characters
 * (escape sequences and line breaks begin with one), line and paragraph separators, characters
 * that are invisible or turn the direction of writing, and halves of surrogate pairs.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}]/gu;

/** Text without unsafe characters, detected much faster than by {@link UNSAFE}. */
const PLAIN_LINE = /^[ -~]*$/;
const PLAIN_LINES = /^[\n -~]*$/;

const NAMED: ReadonlyMap<string, string> = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

/**
 * Makes text of unknown origin (names, messages of peers, file names) safe for one line of a terminal:
 * characters that could break the line, move the cursor or hide text are shown as an escape such as
 * `\n`, `\x1b` or `\u202e`. Applying it twice changes nothing more.
 */
export function safe(text: string): string {
  if (PLAIN_LINE.test(text)) return text;
  return text.replaceAll(UNSAFE, (char) => NAMED.get(char) ?? escapeOf(char));
}

/** The colours that {@link paint} writes: the only control sequences that text may carry. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are the subject.
const OWN_COLOR = /(\x1b\[(?:0|2|31|32|33)m)/;

/**
 * Makes text of several lines safe for a terminal: line breaks and the colours of {@link paint} stay,
 * everything else that {@link safe} escapes is escaped. All output passes through this last, so that a
 * missing `safe` shows an escape and cannot move the cursor.
 */
export function printable(text: string): string {
  if (PLAIN_LINES.test(text)) return text;
  return text
    .split(OWN_COLOR)
    .map((part, index) => (index % 2 === 1 ? part : part.split("\n").map(safe).join("\n")))
    .join("");
}

/** Text without the colours of {@link paint}. */
export function unpainted(text: string): string {
  return text
    .split(OWN_COLOR)
    .filter((_, index) => index % 2 === 0)
    .join("");
}

/** Number of characters that {@link oneLine} keeps. */
const LINE_MAX = 500;

/** The text of a peer for the middle of a message: made safe, on one line, and cut if it is long. */
export function oneLine(text: string): string {
  return clipped(safe(text.replaceAll(/\s+/g, " ").trim()), LINE_MAX);
}

/** The text, or its beginning and its length if it is longer than `max`. */
export function clipped(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max)}... (${text.length} characters)`;
}

function escapeOf(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  if (code <= 0xff) return `\\x${code.toString(16).padStart(2, "0")}`;
  if (code <= 0xffff) return `\\u${code.toString(16).padStart(4, "0")}`;
  return `\\u{${code.toString(16)}}`;
}

/**
 * JSON that is safe for a terminal: unsafe characters (see {@link safe}) are written as JSON escapes,
 * which any parser decodes. bigint values become decimal strings, since JSON's numbers would lose
 * digits of 64-bit offsets and terms.
 *
 * @param value Plain data; lists may be lazy, see {@link lazyList}.
 * @param indent Spaces for each level; 0 for one line.
 */
export function jsonText(value: unknown, indent = 0): string {
  return [...jsonPieces(value, indent)].join("");
}

/**
 * The text of {@link jsonText} in pieces, for documents that are too large for one text. Each item of a
 * list that is not nested in another list is a piece of its own.
 */
export function* jsonPieces(value: unknown, indent = 0): Generator<string> {
  for (const piece of rawPieces(value, " ".repeat(indent), "")) {
    // With an indent, line breaks between values stay; inside strings they are escaped.
    yield PLAIN_LINES.test(piece)
      ? piece
      : piece.replaceAll(UNSAFE, (char) => (char === "\n" ? char : unitEscapes(char)));
  }
}

/**
 * A list for {@link jsonPieces} whose items are created when they are written, so that they never exist
 * all at once. Must not be nested in another list.
 */
export function lazyList<T>(items: Iterable<T>, make: (item: T) => unknown): Iterable<unknown> {
  return {
    *[Symbol.iterator]() {
      for (const item of items) yield make(item);
    },
  };
}

function* rawPieces(value: unknown, indent: string, margin: string): Generator<string> {
  if (typeof value !== "object" || value === null || "toJSON" in value) {
    yield atOnce(value, indent, margin);
    return;
  }
  const isList = Symbol.iterator in value;
  const inner = margin + indent;
  const space = indent === "" ? "" : "\n";
  let before = isList ? "[" : "{";
  const parts = isList ? (value as Iterable<unknown>) : Object.entries(value);
  for (const part of parts) {
    if (isList) yield `${before}${space}${inner}${atOnce(part, indent, inner)}`;
    else {
      const [name, held] = part as [string, unknown];
      if (held === undefined) continue;
      yield `${before}${space}${inner}${JSON.stringify(name)}:${indent === "" ? "" : " "}`;
      yield* rawPieces(held, indent, inner);
    }
    before = ",";
  }
  const end = isList ? "]" : "}";
  yield before === "," ? `${space}${margin}${end}` : `${before}${end}`;
}

/** A value as one piece, with the margin of its place in the document. */
function atOnce(value: unknown, indent: string, margin: string): string {
  const text = stringified(value, indent);
  // All remaining line breaks are those of the indent: inside strings they are escaped.
  return margin === "" ? (text ?? "null") : (text ?? "null").replaceAll("\n", `\n${margin}`);
}

/** Most values hold no bigint, and JSON.stringify takes half of the time without a replacer. It throws for a bigint. */
function stringified(value: unknown, indent: string): string | undefined {
  try {
    return JSON.stringify(value, undefined, indent);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
  return JSON.stringify(
    value,
    (_key, item: unknown) => (typeof item === "bigint" ? item.toString() : item),
    indent,
  );
}

function unitEscapes(char: string): string {
  return char
    .split("")
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");
}

/**
 * A word of a command line for a shell (bash, zsh): plain if possible, quoted otherwise. Characters
 * that {@link safe} would escape are written as the shell's own escapes, so that the word can be shown
 * and pasted.
 */
export function shellWord(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  if (word.search(UNSAFE) < 0) return `'${word.replaceAll("'", `'\\''`)}'`;
  const escaped = word.replaceAll(/[\\']/g, "\\$&").replaceAll(UNSAFE, shellEscape);
  return `$'${escaped}'`;
}

/** By bytes: the meaning of `\\U...` depends on the locale of the shell. */
function shellEscape(char: string): string {
  const bytes = [...new TextEncoder().encode(char)];
  return (
    NAMED.get(char) ?? bytes.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")
  );
}

/** A colour by its meaning. */
export type Color = "good" | "bad" | "doubtful" | "faint";

const SGR: Readonly<Record<Color, number>> = { good: 32, bad: 31, doubtful: 33, faint: 2 };

/** The text in a colour, or unchanged if colours are off. */
export function paint(text: string, color: Color | undefined, hasColor: boolean): string {
  return color === undefined || !hasColor ? text : `\x1b[${SGR[color]}m${text}\x1b[0m`;
}

/** The inputs of {@link allowsColor}. */
export interface ColorOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly isTerminal: boolean;
  /** True if `--no_color` was given. */
  readonly isOff: boolean;
}

/**
 * True if output may be coloured. `--no_color` wins; then FORCE_COLOR (it precedes NO_COLOR in Node.js
 * too; `0` and `false` force colours off); then NO_COLOR if not empty, TERM=dumb, and whether the
 * output is a terminal.
 */
export function allowsColor({ environment, isTerminal, isOff }: ColorOptions): boolean {
  if (isOff) return false;
  const force = environment["FORCE_COLOR"];
  if (force !== undefined) return force !== "0" && force !== "false";
  const noColor = environment["NO_COLOR"];
  if (noColor !== undefined && noColor !== "") return false;
  return isTerminal && environment["TERM"] !== "dumb";
}
