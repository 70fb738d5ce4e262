/**
 * Enough for the names of tables and tablets of a large cluster; bounds the memory if a faulty peer
 * sends endless new texts.
 */
const TEXTS_MAX = 100_000;

const texts = new Map<string, string>();

/**
 * Returns one shared copy of equal texts. Answers name the same tablets and tables 100,000s of times,
 * and each decoded name is a separate text.
 */
export function interned(text: string): string {
  const known = texts.get(text);
  if (known !== undefined) return known;
  if (texts.size >= TEXTS_MAX) texts.clear();
  texts.set(text, text);
  return text;
}
