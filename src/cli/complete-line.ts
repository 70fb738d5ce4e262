import { safe } from "../util/text.js";

/** One word of the line to complete. */
export interface TypedWord {
  /** Quotes and escapes are resolved; variables and commands are not. */
  readonly text: string;
  /** The quote that is still open at its end; undefined if there is none. */
  readonly quote: "'" | '"' | undefined;
  /**
   * Index in `text` from which the shell replaces the typed text: after the last unquoted word-break character, or
   * after the open quote.
   */
  readonly replacedFrom: number;
}

/**
 * Splits the command line before the cursor into words.
 *
 * @param line The command line up to the cursor, as typed.
 * @param breaks The shell's word-break characters (bash's COMP_WORDBREAKS); empty for a shell that replaces whole
 *   words.
 * @returns The words; the last one is the word to complete, empty after a blank.
 */
export function typedWords(line: string, breaks: string): TypedWord[] {
  const words: TypedWord[] = [];
  const chars = [...line];
  let index = 0;
  while (true) {
    while (isBlank(chars[index])) index += 1;
    const { word, next } = typedWord(chars, index, breaks);
    words.push(word);
    if (next >= chars.length) break;
    index = next;
  }
  return words;
}

function isBlank(char: string | undefined): boolean {
  return char === " " || char === "\t" || char === "\n";
}

function isQuote(char: string): char is "'" | '"' {
  return char === "'" || char === '"';
}

function typedWord(
  chars: readonly string[],
  from: number,
  breaks: string,
): { readonly word: TypedWord; readonly next: number } {
  let text = "";
  let quote: TypedWord["quote"];
  let replacedFrom = 0;
  let index = from;
  for (; index < chars.length; index += 1) {
    const char = chars[index] ?? "";
    const isBare = quote === undefined;
    if (isBare && isBlank(char)) break;
    if (isBare && isQuote(char)) {
      quote = char;
    } else if (char === quote) {
      quote = undefined;
    } else if (char === "\\" && quote !== "'") {
      index += 1;
      text += chars[index] ?? "";
      continue;
    } else {
      text += char;
    }
    if (isBare && breaks.includes(char)) replacedFrom = text.length;
  }
  return { word: { text, quote, replacedFrom }, next: index };
}

/** One possible completion of the word. */
export interface Candidate {
  /** The whole word, without quotes. */
  readonly text: string;
  /** True if the word is complete, so that a blank may follow. */
  readonly isWhole: boolean;
}

/** All characters except those that need no quoting at any position of a shell word. */
const PLAIN = /[^\p{L}\p{N}\p{M}_@%+:,./=-]/gu;

/** The candidates that begin with the word, without names that have control characters and so cannot be typed. */
export function fittingOnes(word: TypedWord, candidates: readonly Candidate[]): Candidate[] {
  return candidates.filter(({ text }) => text.startsWith(word.text) && safe(text) === text);
}

/** Converts candidates to replies for bash: only the part that bash replaces, quoted if necessary. */
export function shellReplies(word: TypedWord, fitting: readonly Candidate[]): string[] {
  return fitting.flatMap(({ text, isWhole }) => {
    const rest = text.slice(word.replacedFrom);
    if (word.quote === undefined) {
      return [rest.replaceAll(PLAIN, (char) => `\\${char}`) + (isWhole ? " " : "")];
    }
    // Within an open quote no escaping is possible, so candidates with special characters are dropped.
    const special = word.quote === "'" ? /'/ : /["$`\\!]/;
    return special.test(rest) ? [] : [rest];
  });
}
