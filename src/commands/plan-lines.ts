import type { SavedPlan } from "../planning/saved-plan.js";
import { type Checked, checkDocument, checkItems } from "../util/document.js";
import { PLAN_PARTITION, PLAN_REST } from "./plan-schema.js";

// The text directly before and after the partitions of a plan in lines.
const BEFORE = '"partitions":\n[';
const BEHIND = "\n]";
/** Limit of partitions: more than the largest cluster that this tool is measured with. */
const PARTITIONS_MAX = 400_000;

/** A plan in lines, split into its parts. */
export interface PlanLines {
  /** JSON up to the bracket that opens the list of partitions, without white space. */
  readonly before: string;
  readonly partitions: readonly string[];
  /** The rest, from the bracket that closes the list. */
  readonly behind: string;
}

/**
 * Formats a plan as JSON in which each partition is on its own line, after the separating character, so that the
 * partitions can be parsed one by one.
 *
 * @param pieces The output of `jsonPieces` without an indent.
 */
export function* inLines(pieces: Iterable<string>): Generator<string> {
  for (const piece of pieces) yield /^(?:[[,]\{|\])/.test(piece) ? `\n${piece}` : piece;
}

/** Splits the output of {@link inLines}; undefined for any other layout, and for a plan without partitions. */
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

/** A plan in lines as JSON without line breaks, in pieces. */
export function* compactLines({ before, partitions, behind }: PlanLines): Generator<string> {
  yield before;
  for (const [index, text] of partitions.entries()) yield index === 0 ? text : `,${text}`;
  yield behind;
}

/** Validates a plan in lines from an untrusted file. Never throws. */
export function checkLines({ before, partitions, behind }: PlanLines): Checked<SavedPlan> {
  if (partitions.length > PARTITIONS_MAX) return { problem: "it has too many partitions" };
  const rest = checkDocument(PLAN_REST, `${before}${behind}`);
  if ("problem" in rest) return rest;
  const items = checkItems(PLAN_PARTITION, partitions);
  if ("problem" in items) return { problem: `partitions${items.problem}` };
  const { plan, ...saved } = rest.value;
  return { value: { ...saved, plan: { ...plan, partitions: items.value } } };
}
