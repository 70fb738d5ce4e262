import { OpsError } from "../errors.js";

/** Names that a hint lists at most. */
const LISTED = 10;

/**
 * The known word that a mistyped one was meant to be.
 *
 * @returns The one with the fewest changes (letters added, left out, replaced, or two neighbours
 *   swapped), or one that continues the word; undefined if none is near.
 */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const wanted = word.toLowerCase();
  const scored = known.map((candidate) => ({ candidate, changes: changes(wanted, candidate) }));
  const best = scored.reduce<(typeof scored)[number] | undefined>(
    (least, next) => (least === undefined || next.changes < least.changes ? next : least),
    undefined,
  );
  if (best !== undefined && best.changes <= Math.max(1, Math.floor(wanted.length / 3))) {
    return best.candidate;
  }
  return wanted.length < 3
    ? undefined
    : known.find((candidate) => candidate.startsWith(wanted) || wanted.startsWith(candidate));
}

/** Number of changes between two words; neighbours that swapped places count as one. */
function changes(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      current[j] = Math.min(
        at(previous, j) + 1,
        at(current, j - 1) + 1,
        at(previous, j - 1) + (isSame ? 0 : 1),
        isSwap ? at(beforePrevious, j - 2) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    beforePrevious = previous;
    previous = current;
  }
  return at(previous, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
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
