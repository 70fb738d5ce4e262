import stringWidth from "string-width";

// Separate from text.ts: the tables of string-width take 20 ms to load, after a command's first output.

/** Text whose characters have width 1, detected much faster. */
const PLAIN_LINE = /^[ -~]*$/;

/** Columns that a terminal needs for text that {@link safe} returned. */
export function textWidth(text: string): number {
  if (PLAIN_LINE.test(text)) return text.length;
  return stringWidth(text);
}

const DOTS = "...";

/**
 * The text cut to a width, with dots in its middle if it is longer: addresses differ at their ends.
 */
export function shortened(text: string, width: number): string {
  if (textWidth(text) <= width) return text;
  const left = Math.max(0, width - DOTS.length);
  const chars = [...text];
  const head = taken(chars, Math.ceil(left / 2));
  const tail = taken(chars.reverse(), Math.floor(left / 2)).reverse();
  return [...head, DOTS.slice(0, width), ...tail].join("");
}

/** The first characters that fit a width. */
function taken(chars: readonly string[], width: number): string[] {
  let used = 0;
  const end = chars.findIndex((char) => {
    used += textWidth(char);
    return used > width;
  });
  return chars.slice(0, end < 0 ? chars.length : end);
}
