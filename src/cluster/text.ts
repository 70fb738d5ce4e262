import { stripVTControlCharacters } from "node:util";

/** Longest text of a peer that is shown; the rest of longer ones is cut off. */
const textMax = 500;

/**
 * Text of a peer made fit for one line of a terminal: without escape sequences, control characters
 * and characters that turn the direction of writing, white space runs as one space, and not longer
 * than 500 characters.
 *
 * @param text Anything that came over the network.
 */
export function oneLine(text: string): string {
  const plain = stripVTControlCharacters(text)
    .replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, " ")
    .replaceAll(/\s+/g, " ")
    .trim();
  return plain.length > textMax ? `${plain.slice(0, textMax)}...` : plain;
}

/**
 * Undoes percent encoding where it is valid and leaves everything else as it is: brpc encodes the
 * details of a gRPC status (`%3a`, `%2f`), and a lone `%` in it must not be an error.
 */
export function percentDecode(text: string): string {
  return text.replaceAll(/(?:%[0-9a-f]{2})+/gi, (run) => {
    try {
      return decodeURIComponent(run);
    } catch {
      return run;
    }
  });
}
