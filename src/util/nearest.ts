import leven from "leven";
import { OpsError } from "../errors.js";

/** Names that a hint lists at most. */
const LISTED = 10;

/** A longer word is no typing error of a name; comparing it would only take time. */
const WORD_MAX = 64;
/** Words that a question offers at most. */
const OFFERED = 3;

/**
 * The known words that a mistyped one may have been meant to be, nearest first, three at most: those
 * with few letters added, left out or replaced, else one that continues the word.
 */
export function nearestOnes(word: string, known: readonly string[]): string[] {
  if (word.length > WORD_MAX) return [];
  const wanted = word.toLowerCase();
  // Two neighbours that are swapped count as two changes.
  const most = wanted.length < 3 ? 1 : Math.max(2, Math.floor(wanted.length / 3));
  const near = known
    .map((name) => ({
      name,
      changes: leven(wanted, name.toLowerCase(), { maxDistance: most + 1 }),
    }))
    .filter(({ changes }) => changes <= most)
    .sort((a, b) => a.changes - b.changes);
  if (near.length > 0) return near.slice(0, OFFERED).map(({ name }) => name);
  if (wanted.length < 3) return [];
  return known
    .filter((name) => name.startsWith(wanted) || wanted.startsWith(name))
    .slice(0, OFFERED);
}

/** The first of {@link nearestOnes}; undefined if none is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  return nearestOnes(word, known)[0];
}

/**
 * The error for a name that the cluster does not have: a typo must not look like "nothing there".
 *
 * @param what What the name should be, such as `database`.
 * @param known The names that there are, in the order in which they are listed.
 */
export function unknownName(what: string, name: string, known: readonly string[]): OpsError {
  const near = nearest(name, known);
  const listed = known.slice(0, LISTED).join(", ") || "none";
  const more = known.length > LISTED ? ` and ${known.length - LISTED} more` : "";
  const question = near === undefined ? "" : `did you mean ${near}? `;
  return new OpsError({
    code: "refused",
    message: `the cluster has no ${what} ${/^\d+$/.test(name) ? name : JSON.stringify(name)}`,
    hint: `${question}it has: ${listed}${more}`,
  });
}
