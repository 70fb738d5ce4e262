/** The properties of a column that {@link fitColumns} uses. */
interface Fittable {
  readonly align?: "left" | "right";
  readonly isExtra?: boolean;
}

/** Columns of text are not made narrower than this. */
const TEXT_MIN = 12;
/** The number of spaces between two columns. */
const SPACES = 2;

/**
 * Computes the widths of a table's columns on a screen. If they do not all fit: extra columns are left
 * out, the last one first; then text is shortened, the widest column first; then columns are left out
 * from the right. Numbers are never shortened, and the first column stays.
 *
 * @param widths The width that each column needs.
 * @param screen Columns of the terminal; infinite if nothing is to be left out.
 * @returns A width for each column; undefined for one that is left out.
 */
export function fitColumns(
  columns: readonly Fittable[],
  widths: readonly number[],
  screen: number,
): (number | undefined)[] {
  const fitted: (number | undefined)[] = [...widths];
  const isTooWide = () => {
    const shown = fitted.filter((width) => width !== undefined);
    return shown.reduce((sum, width) => sum + width + SPACES, -SPACES) > screen;
  };
  const leaveOut = (isMeant: (index: number) => boolean) => {
    for (let index = fitted.length - 1; index > 0 && isTooWide(); index -= 1) {
      if (isMeant(index)) fitted[index] = undefined;
    }
  };
  leaveOut((index) => columns[index]?.isExtra === true);
  while (isTooWide()) {
    const widest = widestText(columns, fitted);
    if (widest === undefined) break;
    fitted[widest] = (fitted[widest] ?? 0) - 1;
  }
  leaveOut(() => true);
  return fitted;
}

function widestText(
  columns: readonly Fittable[],
  widths: readonly (number | undefined)[],
): number | undefined {
  let found: number | undefined;
  let most = TEXT_MIN;
  for (const [index, width = 0] of widths.entries()) {
    if (columns[index]?.align === "right" || width <= most) continue;
    found = index;
    most = width;
  }
  return found;
}
