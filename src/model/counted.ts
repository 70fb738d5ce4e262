import { countBy } from "./groups.js";

/** A number with its noun: `1 partition`, `2 partitions`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** A whole number with separators between thousands: `10,000`. */
export function numberText(value: number): string {
  return value.toLocaleString("en-US");
}

/** Distinct words with their counts, in the order of first occurrence: `not-loaded x3`, `behind`. */
export function tallied(words: Iterable<string>): string[] {
  return [...countBy(words)].map(([word, count]) => (count === 1 ? word : `${word} x${count}`));
}

/** The same as one text: `not-loaded x3, behind`. */
export function tally(words: Iterable<string>): string {
  return tallied(words).join(", ");
}

/** The names of the first `most` items, and the number of further ones: `a, b and 3 more`. */
export function suchAs<T>(
  all: readonly T[],
  most: number,
  nameOf: (one: T) => string = String,
): string {
  const more = all.length - most;
  return `${all.slice(0, most).map(nameOf).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
