import { safe } from "../util/text.js";

/** One word of a line that is being typed. */
export interface TypedWord {
  /** With quotes and escapes resolved. Nothing else is: no variables, no commands. */
  readonly text: string;
  /** The quote that is still open at its end; undefined if none is. */
  readonly quote: "'" | '"' | undefined;
  /**
   * Index in `text` from which on the shell replaces what was typed: after the last unquoted
   * character at which it breaks words, or after the open quote.
   */
  readonly replacedFrom: number;
}

/**
 * Takes apart what stands before the cursor.
 *
 * @param line The command line up to the cursor, as typed.
 * @param breaks The characters at which the shell breaks words (bash's COMP_WORDBREAKS); empty for
 *   a shell that replaces whole words.
 * @returns The words; the last one is the one being typed, empty after a blank.
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

/** One way in which the word can go on. */
export interface Candidate {
  /** The whole word, without quotes. */
  readonly text: string;
  /** Whether the word is complete then, so that a blank may follow. */
  readonly isWhole: boolean;
}

/** Characters that a shell takes as they are wherever they stand in a word. */
const PLAIN = /[^\p{L}\p{N}\p{M}_@%+:,./=-]/gu;

/**
 * The candidates that continue the word. A name that a terminal cannot show as it is is left out: it
 * could neither be read in a list nor typed.
 */
export function fittingOnes(word: TypedWord, candidates: readonly Candidate[]): Candidate[] {
  return candidates.filter(({ text }) => text.startsWith(word.text) && safe(text) === text);
}

/** {@link fittingOnes} as bash takes them into its line: what it replaces, quoted where needed. */
export function shellReplies(word: TypedWord, fitting: readonly Candidate[]): string[] {
  return fitting.flatMap(({ text, isWhole }) => {
    const rest = text.slice(word.replacedFrom);
    if (word.quote === undefined) {
      return [rest.replaceAll(PLAIN, (char) => `\\${char}`) + (isWhole ? " " : "")];
    }
    // Within quotes the text stands for itself, unless the quotes give it a meaning.
    const special = word.quote === "'" ? /'/ : /["$`\\!]/;
    return special.test(rest) ? [] : [rest];
  });
}
