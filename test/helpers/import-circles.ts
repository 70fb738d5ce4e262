import { dirname, join } from "node:path/posix";

/** A module: its path, and its text. */
interface Module {
  readonly path: string;
  readonly text: string;
}

/** Imports of any kind: of values, of types, and lazy ones. */
const IMPORT = /(?:\bfrom|\bimport\()\s*"(\.{1,2}\/[^"]+)\.js"/g;

/**
 * Groups of modules that import each other in a circle, directly or through others (Tarjan's strongly connected
 * components). Types count too: a circle of types is a circle to read.
 *
 * @param modules Paths are relative to one folder, with `/`, and end with `.ts`.
 * @returns Sorted paths of each group; empty if there is no circle.
 */
export function importCircles(modules: readonly Module[]): string[][] {
  const known = new Map(modules.map((one) => [one.path, one]));
  const importsOf = ({ path, text }: Module): string[] =>
    [...text.matchAll(IMPORT)]
      .map(([, target = ""]) => `${join(dirname(path), target)}.ts`)
      .filter((target) => known.has(target));
  const order = new Map<string, number>();
  const open: string[] = [];
  const circles: string[][] = [];
  const visit = (path: string): number => {
    const own = order.size;
    order.set(path, own);
    open.push(path);
    let low = own;
    const module = known.get(path);
    for (const target of module === undefined ? [] : importsOf(module)) {
      if (!order.has(target)) low = Math.min(low, visit(target));
      else if (open.includes(target)) low = Math.min(low, order.get(target) ?? low);
    }
    if (low === own) {
      const circle = open.splice(open.indexOf(path));
      if (circle.length > 1) circles.push(circle.sort());
    }
    return low;
  };
  for (const { path } of modules) if (!order.has(path)) visit(path);
  return circles;
}
