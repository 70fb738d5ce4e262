import { textWidth } from "../util/text.js";

/** What the text is shown on. */
export interface Screen {
  readonly hasColor: boolean;
  /** Width in columns; infinite where lines are not to be broken (files, pipes). */
  readonly columns: number;
}

/**
 * Breaks a sentence at its spaces, so that it fits the screen. Words that are too long stay whole.
 *
 * @param text Made safe already, without colours.
 * @param indent What the first line begins with, and all others.
 */
export function wrapped(
  text: string,
  indent: { readonly first: string; readonly rest: string },
  { columns }: Pick<Screen, "columns">,
): string[] {
  const lines: string[] = [];
  let line = indent.first;
  let isEmpty = true;
  for (const word of text.split(" ")) {
    if (!isEmpty && textWidth(line) + 1 + textWidth(word) > columns) {
      lines.push(line);
      line = indent.rest;
      isEmpty = true;
    }
    line += isEmpty ? word : ` ${word}`;
    isEmpty = false;
  }
  return [...lines, line];
}
