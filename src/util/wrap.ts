import wrapAnsi from "wrap-ansi";
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
