import { type Cell, type Column, safe, table } from "../text.js";

/** What a command that only shows has to tell, for people and for programs. */
export interface Shown {
  readonly columns: readonly Column[];
  /** One line of the table each, in the order of the columns. */
  readonly rows: readonly (readonly Cell[])[];
  /** What is said instead of a table without rows; one line, no final stop. */
  readonly empty: string;
  /** Lines after the table, of any text. */
  readonly notes?: readonly string[];
  /** The fields of the JSON document; 64-bit numbers are bigint here. */
  readonly json: Readonly<Record<string, unknown>>;
}

/** The table for people, or one plain line where there is nothing to show. Lines end with `\n`. */
export function shownText({ columns, rows, empty, notes = [] }: Shown, hasColor: boolean): string {
  const body = rows.length === 0 ? `${safe(empty)}\n` : table(columns, rows, hasColor);
  return body + notes.map((note) => `${safe(note)}\n`).join("");
}

/** Columns by title; a `>` before a title puts the column to the right, as numbers are. */
export function columns(...titles: readonly string[]): Column[] {
  return titles.map((title) =>
    title.startsWith(">") ? { title: title.slice(1), align: "right" } : { title },
  );
}

/** What stands in a cell where there is nothing to say. */
export const NOTHING = "-";

/** The text, or {@link NOTHING} for an empty or missing one. */
export function orNothing(text: string | undefined): string {
  return text === undefined || text === "" ? NOTHING : text;
}
