/** All lines of a text at once, without the yield points between them; see `Lines` in src/model/work.ts. */
export function allLines(lines: Iterable<string | undefined>): string[] {
  return [...lines].filter((line) => line !== undefined);
}
