/** Names of tables and tablets of a large cluster fit; text without end, from a peer gone wrong, does not pile up. */
const TEXTS_MAX = 100_000;

const texts = new Map<string, string>();

/**
 * One copy of equal texts. Answers name the same tablets and tables 100,000s of times, and each name that is
 * decoded is a text of its own.
 */
export function interned(text: string): string {
  const known = texts.get(text);
  if (known !== undefined) return known;
  if (texts.size >= TEXTS_MAX) texts.clear();
  texts.set(text, text);
  return text;
}
