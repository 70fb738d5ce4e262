import wrapAnsi from "wrap-ansi";
import { unpainted } from "./text.js";
import { textWidth } from "./width.js";

/** The part of a line, with its colours, that one row of the screen holds. */
export function firstRow(line: string, columns: number): string {
  return wrapAnsi(line, columns, { hard: true, trim: false, wordWrap: false }).split("\n")[0] ?? "";
}

/** What the text is shown on. */
export interface Screen {
  readonly hasColor: boolean;
  /** Width in columns; infinite where lines are not to be broken (files, pipes). */
  readonly columns: number;
}

/**
 * Breaks a sentence at its spaces, so that it fits the screen. Words that are too long stay whole.
 *
 * @param text Made safe already.
 * @param indent What the first line begins with, and all others.
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

/** Columns by which the rest of a broken line is set in beyond its beginning. */
const HANGING = 2;
/** A command of this tool as it is printed, to be typed. */
const COMMAND = /openmldb-ops (?:--cmd=|[a-z_]+ -|[a-z_]+$)/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are the subject.
const PAINTED = /^(\x1b\[\d+m)([^\x1b]*)(\x1b\[0m)$/;

/**
 * Breaks the lines of a text that are too long for a terminal at their spaces. A command, with all behind it, stays
 * whole on a line of its own: the terminal breaks it, and what is copied there is one line.
 *
 * @param text With the colours of `paint`; those inside of a line that is broken are lost.
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
  const command = plain.search(COMMAND);
  const head = command < 0 ? plain : plain.slice(0, command);
  const first = /^ */.exec(plain)?.[0] ?? "";
  const rest = first + " ".repeat(HANGING);
  // The space at the end is for an answer that is typed behind a question.
  const space = command < 0 && plain.endsWith(" ") ? " " : "";
  const lines = head.trim() === "" ? [] : wrapped(head.trim(), { first, rest }, { columns });
  const tail = command < 0 ? [] : [(lines.length === 0 ? first : rest) + plain.slice(command)];
  return [...lines, ...tail].map((one) => begin + one + end).join("\n") + space;
}
