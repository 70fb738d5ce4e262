/**
 * Characters that must not reach a terminal, a table or a log line as they are: control characters
 * (escape sequences and line breaks begin with one), line and paragraph separators, characters
 * that are invisible or turn the direction of writing, and halves of surrogate pairs.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}]/gu;

/** Text in which there is nothing to escape, found out far quicker than by {@link UNSAFE}. */
const PLAIN_LINE = /^[ -~]*$/;
const PLAIN_LINES = /^[\n -~]*$/;

const NAMED: ReadonlyMap<string, string> = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

/**
 * Text of unknown origin (names, messages of peers, file names) made fit for one line of a
 * terminal: what could break the line, move the cursor or hide is shown as an escape such as `\n`,
 * `\x1b` or `\u202e`. Applying it twice changes nothing more.
 */
export function safe(text: string): string {
  if (PLAIN_LINE.test(text)) return text;
  return text.replaceAll(UNSAFE, (char) => NAMED.get(char) ?? escapeOf(char));
}

/** The colours that {@link paint} writes: the only control sequences that text may carry. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are the subject.
const OWN_COLOR = /(\x1b\[(?:0|2|31|32|33)m)/;

/**
 * Text of several lines as it may reach a terminal: line breaks and the colours of {@link paint} stay,
 * everything else that {@link safe} escapes is escaped. All output passes through this at the last
 * moment, so that a place that forgot `safe` shows an escape and cannot move the cursor.
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

/** The text, or its beginning and how long it is where a line could not bear it. */
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
 * JSON that a terminal can show as well: unsafe characters (see {@link safe}) are written as JSON
 * escapes, which any parser turns back. bigint values become decimal strings, since JSON's numbers
 * would lose digits of 64-bit offsets and terms.
 *
 * @param value Plain data; lists may be made lazily, see {@link lazyList}.
 * @param indent Spaces for each level; 0 for one line.
 */
export function jsonText(value: unknown, indent = 0): string {
  return [...jsonPieces(value, indent)].join("");
}

/**
 * The text of {@link jsonText} in pieces, for documents that are too large to be held as one text.
 * Each item of a list that stands in no other list is a piece of its own.
 */
export function* jsonPieces(value: unknown, indent = 0): Generator<string> {
  for (const piece of rawPieces(value, " ".repeat(indent), "")) {
    // With an indent the line breaks between the values are wanted; inside strings they are escaped.
    yield PLAIN_LINES.test(piece)
      ? piece
      : piece.replaceAll(UNSAFE, (char) => (char === "\n" ? char : unitEscapes(char)));
  }
}

/**
 * A list for {@link jsonPieces} whose items are made when they are written, so that they are never
 * there all at once. Must not stand inside of another list.
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

/** A value as one piece, with the margin that its place in the document has. */
function atOnce(value: unknown, indent: string, margin: string): string {
  const text = JSON.stringify(
    value,
    (_key, item: unknown) => (typeof item === "bigint" ? item.toString() : item),
    indent,
  );
  // Only the line breaks of the indent are left in it: inside strings they are escaped.
  return margin === "" ? (text ?? "null") : (text ?? "null").replaceAll("\n", `\n${margin}`);
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

/** By bytes: what `\\U...` means depends on the locale of the shell. */
function shellEscape(char: string): string {
  const bytes = [...new TextEncoder().encode(char)];
  return (
    NAMED.get(char) ?? bytes.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")
  );
}

/** A colour by what it means. */
export type Color = "good" | "bad" | "doubtful" | "faint";

const SGR: Readonly<Record<Color, number>> = { good: 32, bad: 31, doubtful: 33, faint: 2 };

/** The text in a colour, or as it is if colours are off. */
export function paint(text: string, color: Color | undefined, hasColor: boolean): string {
  return color === undefined || !hasColor ? text : `\x1b[${SGR[color]}m${text}\x1b[0m`;
}

/** What decides about colours. */
export interface ColorOptions {
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
export function allowsColor({ environment, isTerminal, isOff }: ColorOptions): boolean {
  if (isOff) return false;
  const force = environment["FORCE_COLOR"];
  if (force !== undefined) return force !== "0" && force !== "false";
  const noColor = environment["NO_COLOR"];
  if (noColor !== undefined && noColor !== "") return false;
  return isTerminal && environment["TERM"] !== "dumb";
}
