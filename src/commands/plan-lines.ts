import type { SavedPlan } from "../planning/saved-plan.js";
import { type Checked, checkDocument, checkItems } from "../util/document.js";
import { PLAN_PARTITION, PLAN_REST } from "./plan-schema.js";

/** What stands before and behind the partitions of a plan in lines. */
const BEFORE = '"partitions":\n[';
const BEHIND = "\n]";
/** More than the largest cluster that this tool is measured with. */
const PARTITIONS_MAX = 400_000;

/** A plan in lines, taken apart. */
export interface PlanLines {
  /** JSON up to the bracket that opens the list of partitions, without white space. */
  readonly before: string;
  readonly partitions: readonly string[];
  /** The rest, from the bracket that closes the list. */
  readonly behind: string;
}

/**
 * Lays out a plan so that each partition has a line of its own, behind the character that separates it from
 * the one before: JSON all the same, whose partitions can be read one by one.
 *
 * @param pieces As `jsonPieces` makes them, without an indent.
 */
export function* inLines(pieces: Iterable<string>): Generator<string> {
  for (const piece of pieces) yield /^(?:[[,]\{|\])/.test(piece) ? `\n${piece}` : piece;
}

/** Undefined if it is laid out in another way: by another program, or because it has no partitions. */
export function planLines(text: string): PlanLines | undefined {
  const found = text.indexOf(BEFORE);
  const end = text.indexOf(BEHIND, found);
  if (found < 0 || end < 0) return undefined;
  const begin = found + BEFORE.length;
  return {
    before: text.slice(0, begin).replaceAll("\n", ""),
    partitions: text.slice(begin, end).split("\n,"),
    behind: text.slice(end).replaceAll("\n", ""),
  };
}

/** A plan in lines as JSON without white space, in pieces. */
export function* compactLines({ before, partitions, behind }: PlanLines): Generator<string> {
  yield before;
  for (const [index, text] of partitions.entries()) yield index === 0 ? text : `,${text}`;
  yield behind;
}

/** Checks a plan in lines, of any origin. Never throws. */
export function checkLines({ before, partitions, behind }: PlanLines): Checked<SavedPlan> {
  if (partitions.length > PARTITIONS_MAX) return { problem: "it has too many partitions" };
  const rest = checkDocument(PLAN_REST, `${before}${behind}`);
  if ("problem" in rest) return rest;
  const items = checkItems(PLAN_PARTITION, partitions);
  if ("problem" in items) return { problem: `partitions${items.problem}` };
  const { plan, ...saved } = rest.value;
  return { value: { ...saved, plan: { ...plan, partitions: items.value } } };
}
