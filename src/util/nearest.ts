import leven from "leven";
import { type OpsError, refused } from "../errors.js";

/** Limit of names in a hint. */
const LISTED = 10;

/** A longer word is not compared, because it is not a mistyped name. */
const WORD_MAX = 64;
/** Limit of suggestions. */
const OFFERED = 3;

/**
 * The known words that a mistyped one may stand for, nearest first, three at most: those with few
 * letters added, left out or replaced, else those that continue the word or that the word continues.
 */
export function nearestOnes(word: string, known: readonly string[]): string[] {
  if (word.length > WORD_MAX) return [];
  const wanted = word.toLowerCase();
  // Two swapped letters count as two changes.
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
 * The error for a name that the cluster does not have: a mistyped name must not yield an empty result.
 *
 * @param what What the name should be, such as `database`.
 * @param known The existing names, in the order in which they are listed.
 */
export function unknownName(what: string, name: string, known: readonly string[]): OpsError {
  const near = nearest(name, known);
  const listed = known.slice(0, LISTED).join(", ") || "none";
  const more = known.length > LISTED ? ` and ${known.length - LISTED} more` : "";
  const question = near === undefined ? "" : `did you mean ${near}? `;
  return refused(
    `the cluster has no ${what} ${/^\d+$/.test(name) ? name : JSON.stringify(name)}`,
    `${question}it has: ${listed}${more}`,
  );
}
