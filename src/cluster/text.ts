import { stripVTControlCharacters } from "node:util";

/** Number of characters of a peer's text that are shown. */
const textMax = 500;

/**
 * Makes a peer's text safe for one line of a terminal: removes escape sequences, control characters and bidirectional
 * formatting, collapses white space, and cuts it to 500 characters.
 *
 * @param text Any text from the network.
 */
export function oneLine(text: string): string {
  const plain = stripVTControlCharacters(text)
    .replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, " ")
    .replaceAll(/\s+/g, " ")
    .trim();
  return plain.length > textMax ? `${plain.slice(0, textMax)}...` : plain;
}

/**
 * Decodes valid percent encoding and leaves everything else unchanged. brpc encodes the details of a gRPC status
 * (`%3a`, `%2f`), and a single `%` in them must not be an error.
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
