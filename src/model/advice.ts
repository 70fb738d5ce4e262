import type { Work } from "./work.js";

/**
 * What a remedy needs first. `nothing`: its command can be run at once. `server`: a server has to be
 * started or repaired. `thought`: the operator has to find something out, or to decide.
 */
export type Needs = "nothing" | "server" | "thought";

/** One remedy. */
export interface Way {
  /** An imperative, such as `start tablet 10.0.0.1:9527, then run`; empty if the command is enough. */
  readonly what: string;
  /** The command to run; undefined if there is none. */
  readonly command: string | undefined;
  readonly needs: Needs;
  /** True if the command changes the cluster. */
  readonly changes: boolean;
}

/** What to do next: the preferred remedy, then the alternatives. Empty if there is nothing to do. */
export type Advice = readonly Way[];

/** There is nothing to do. */
export const NO_ADVICE: Advice = [];

/** A remedy without a command. */
export function doing(what: string, needs: Needs): Way {
  return { what, command: undefined, needs, changes: false };
}

/** A remedy that ends with a read-only command. */
export function looking(what: string, command: string): Way {
  return { what, command, needs: "nothing", changes: false };
}

/** A remedy that ends with a command that changes the cluster. */
export function changing(what: string, command: string, needs: Needs = "nothing"): Way {
  return { what, command, needs, changes: true };
}

/**
 * Appends a next action to each remedy. A remedy that has a command of its own stays as it is.
 *
 * @param after The next action, appended after a comma, such as `then run`.
 * @param command The command of the next action, which changes the cluster; undefined if there is none.
 */
export function followed(ways: Advice, after: string, command?: string): Advice {
  return ways.map((way) =>
    way.command === undefined
      ? { ...way, what: `${way.what}, ${after}`, command, changes: command !== undefined }
      : way,
  );
}

/** A remedy as text: the command follows a colon. */
export function wayText({ what, command }: Way): string {
  if (command === undefined) return what;
  return what === "" ? command : `${what}: ${command}`;
}

/** An advice as text; empty if there is nothing to do. */
export function adviceText(advice: Advice): string {
  return advice.map(wayText).join("; or, ");
}

/** Groups items by the text of their advice, in the order in which each advice occurs first. */
export function* grouped<T>(
  all: Iterable<T>,
  adviceOf: (one: T) => Advice,
): Work<{ readonly advice: Advice; readonly of: readonly T[] }[]> {
  const groups = new Map<string, { readonly advice: Advice; readonly of: T[] }>();
  // Most of very many have one and the same.
  const known = new Map<Advice, T[]>();
  for (const one of all) {
    yield undefined;
    const advice = adviceOf(one);
    const of = known.get(advice);
    if (of !== undefined) {
      of.push(one);
      continue;
    }
    const text = adviceText(advice);
    const group = groups.get(text) ?? { advice, of: [] };
    groups.set(text, group);
    known.set(advice, group.of);
    group.of.push(one);
  }
  return [...groups.values()];
}

/** A remedy, and the items that it is for. */
export interface WayOf<T> {
  readonly way: Way;
  readonly of: readonly T[];
}

/**
 * Joins advice with the same first remedy. Each alternative keeps the items that it is for: all of those of the first
 * remedy, or some.
 */
export function byFirstWay<T>(
  groups: Iterable<{ readonly advice: Advice; readonly of: readonly T[] }>,
): { readonly first: WayOf<T>; readonly others: readonly WayOf<T>[] }[] {
  const joined = new Map<string, Map<string, { readonly way: Way; readonly of: T[] }>>();
  for (const { advice, of } of groups) {
    const key = advice[0] === undefined ? "" : wayText(advice[0]);
    const ways = joined.get(key) ?? new Map();
    joined.set(key, ways);
    for (const way of advice) {
      const known = ways.get(wayText(way)) ?? { way, of: [] };
      ways.set(wayText(way), known);
      for (const one of of) known.of.push(one);
    }
  }
  return [...joined.values()].flatMap((ways) => {
    const [first, ...others] = ways.values();
    return first === undefined ? [] : [{ first, others }];
  });
}
