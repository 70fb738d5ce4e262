import { type Cell, type Column, fittedTable, type TableScreen } from "../util/table.js";
import { safe } from "../util/text.js";

/** The output of a command that only shows, as a table and as JSON. */
export interface Shown {
  readonly columns: readonly Column[];
  /** One line of the table each, in the order of the columns. Can be iterated repeatedly. */
  readonly rows: Iterable<readonly Cell[]>;
  /** Shown instead of a table without rows; one line without a full stop. */
  readonly empty: string;
  /** Lines after the table, of any text. Of many the first are shown, and the others counted. */
  readonly notes?: readonly string[];
  /** The fields of the JSON document; 64-bit numbers are bigint here. */
  readonly json: Readonly<Record<string, unknown>>;
}

/** Number of notes that are shown in text; JSON lists all. */
const NOTES_MAX = 50;

/** The table, or one plain line if there is nothing to show, in pieces. Lines end with `\n`. */
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
 * Columns by title. A `?` before a title marks a column that is left out first on a narrow screen; a
 * `>` aligns the column to the right, for numbers.
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

/** The content of an empty cell. */
export const NOTHING = "-";

/** The text, or {@link NOTHING} for an empty or missing one. */
export function orNothing(text: string | undefined): string {
  return text === undefined || text === "" ? NOTHING : text;
}
