import { type Cell, type Column, fittedTable, type TableScreen } from "../util/table.js";
import { safe } from "../util/text.js";

/** What a command that only shows has to tell, for people and for programs. */
export interface Shown {
  readonly columns: readonly Column[];
  /** One line of the table each, in the order of the columns. Can be gone through again and again. */
  readonly rows: Iterable<readonly Cell[]>;
  /** What is said instead of a table without rows; one line, no final stop. */
  readonly empty: string;
  /** Lines after the table, of any text. Of many the first are shown, and the others counted. */
  readonly notes?: readonly string[];
  /** The fields of the JSON document; 64-bit numbers are bigint here. */
  readonly json: Readonly<Record<string, unknown>>;
}

/** More notes than this are counted for people, and listed in JSON only. */
const NOTES_MAX = 50;

/**
 * The table for people, or one plain line where there is nothing to show, piece by piece. Lines end
 * with `\n`.
 */
export function* shownText(
  { columns, rows, empty, notes = [] }: Shown,
  screen: TableScreen,
): Generator<string> {
  const isEmpty = rows[Symbol.iterator]().next().done === true;
  if (isEmpty) yield `${safe(empty)}\n`;
  else yield* fittedTable(columns, rows, screen);
  for (const note of notes.slice(0, NOTES_MAX)) yield `${safe(note)}\n`;
  const more = notes.length - NOTES_MAX;
  if (more > 0) yield `and ${more} more (--output=json shows all)\n`;
}

/**
 * Columns by title. A `?` before a title marks a column that is left out first where the screen is narrow; a `>` puts
 * the column to the right, as numbers are.
 */
export function columns(...titles: readonly string[]): Column[] {
  return titles.map((given) => {
    const isExtra = given.startsWith("?");
    const name = isExtra ? given.slice(1) : given;
    const isRight = name.startsWith(">");
    return {
      title: isRight ? name.slice(1) : name,
      ...(isRight ? { align: "right" as const } : {}),
      isExtra,
    };
  });
}

/** What stands in a cell where there is nothing to say. */
export const NOTHING = "-";

/** The text, or {@link NOTHING} for an empty or missing one. */
export function orNothing(text: string | undefined): string {
  return text === undefined || text === "" ? NOTHING : text;
}
