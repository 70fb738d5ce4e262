/** All lines of a text at once, without the places to rest between them; see `Lines` in src/model/work.ts. */
export function allLines(lines: Iterable<string | undefined>): string[] {
  return [...lines].filter((line) => line !== undefined);
}
