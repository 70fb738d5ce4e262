import wrapAnsi from "wrap-ansi";
import { unpainted } from "./text.js";
import { textWidth } from "./width.js";

/**
 * How wrap-ansi ends a colour; `paint` uses one sequence for all, the only one that reaches a terminal.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are the subject.
const COLOR_END = /\x1b\[(?:22|39)m/g;

/** The part of a line, with its colours, that fits one row of the screen. */
export function firstRow(line: string, columns: number): string {
  const rows = wrapAnsi(line, columns, { hard: true, trim: false, wordWrap: false });
  return (rows.split("\n")[0] ?? "").replaceAll(COLOR_END, "\x1b[0m");
}

/** The properties of the output. */
export interface Screen {
  readonly hasColor: boolean;
  /** Width in columns; infinite where lines are not to be broken (files, pipes). */
  readonly columns: number;
}

/**
 * Breaks a sentence at its spaces, so that it fits the screen. Words that are too long stay whole.
 *
 * @param text Made safe already.
 * @param indent The prefix of the first line, and of all others.
 */
export function wrapped(
  text: string,
  indent: { readonly first: string; readonly rest: string },
  { columns }: Pick<Screen, "columns">,
): string[] {
  const { first, rest } = indent;
  const width = Math.max(1, columns - Math.max(textWidth(first), textWidth(rest)));
  const lines = Number.isFinite(width) ? wrapAnsi(text, width).split("\n") : [text];
  return lines.map((line, index) => (index === 0 ? first : rest) + line);
}

/** The additional indent of the continuation of a broken line. */
const HANGING = 2;
/** A printed command of this tool: its name and flags, with quoted words. */
const COMMAND =
  /openmldb-ops(?: [a-z_]+)?(?: (?=\$?'?-)(?:\\.|\$'(?:\\.|[^'\\])*'|'[^']*'|[^\s';\\])+)+/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are the subject.
const PAINTED = /^(\x1b\[\d+m)([^\x1b]*)(\x1b\[0m)$/;

/**
 * Breaks the lines of a text that are too long for a terminal at their spaces. A command stays whole on
 * a line of its own: the terminal wraps it, and a copy of it is one line.
 *
 * @param text With the colours of `paint`; colours inside a broken line are lost.
 */
export function folded(text: string, columns: number): string {
  if (text.length <= columns) return text;
  return text
    .split("\n")
    .map((line) => foldedLine(line, columns))
    .join("\n");
}

function foldedLine(line: string, columns: number): string {
  const plain = unpainted(line);
  if (textWidth(plain) <= columns) return line;
  const [, begin = "", , end = ""] = PAINTED.exec(line) ?? [];
  const first = /^ */.exec(plain)?.[0] ?? "";
  const rest = first + " ".repeat(HANGING);
  const lines: string[] = [];
  const addWords = (text: string) => {
    const words = text.trim();
    const indent = { first: lines.length === 0 ? first : rest, rest };
    // Closing brackets and punctuation stay after their command.
    if (lines.length > 0 && /^[).;,]*$/.test(words)) lines.push(`${lines.pop()}${words}`);
    else if (words !== "") for (const one of wrapped(words, indent, { columns })) lines.push(one);
  };
  let from = 0;
  for (const { 0: command, index } of plain.matchAll(COMMAND)) {
    addWords(plain.slice(from, index));
    lines.push((lines.length === 0 ? first : rest) + command);
    from = index + command.length;
  }
  addWords(plain.slice(from));
  // The trailing space separates a question from the typed answer.
  const space = plain.endsWith(" ") ? " " : "";
  return lines.map((one) => begin + one + end).join("\n") + space;
}
