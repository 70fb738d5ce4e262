import type { Work } from "./work.js";

/**
 * What a way to go on needs first: `nothing`: its command can be typed at once; `server`: something has
 * to be done to a server; `thought`: a person has to find something out, or to decide.
 */
export type Needs = "nothing" | "server" | "thought";

/** One way to go on. */
export interface Way {
  /** An imperative, such as `start tablet 10.0.0.1:9527, then run`; empty if the command says it all. */
  readonly what: string;
  /** The command to type; undefined if there is none. */
  readonly command: string | undefined;
  readonly needs: Needs;
  /** Whether the command changes the cluster. */
  readonly changes: boolean;
}

/** What to do next: the way that is advised first, then the other ways. Empty: there is nothing to do. */
export type Advice = readonly Way[];

/** Nothing has to be done. */
export const NO_ADVICE: Advice = [];

/** A way without a command. */
export function doing(what: string, needs: Needs): Way {
  return { what, command: undefined, needs, changes: false };
}

/** A way that ends with a command that only looks. */
export function looking(what: string, command: string): Way {
  return { what, command, needs: "nothing", changes: false };
}

/** A way that ends with a command that changes the cluster. */
export function changing(what: string, command: string, needs: Needs = "nothing"): Way {
  return { what, command, needs, changes: true };
}

/**
 * Ways, each with what comes after it. One that ends with a command of its own stays as it is: what
 * comes after it is seen then.
 *
 * @param after Follows a comma, such as `then run`.
 * @param command The command that changes the cluster, behind it; undefined if there is none.
 */
export function followed(ways: Advice, after: string, command?: string): Advice {
  return ways.map((way) =>
    way.command === undefined
      ? { ...way, what: `${way.what}, ${after}`, command, changes: command !== undefined }
      : way,
  );
}

/** A way as people read it: the command stands behind a colon. */
export function wayText({ what, command }: Way): string {
  if (command === undefined) return what;
  return what === "" ? command : `${what}: ${command}`;
}

/** An advice as people read it; empty if there is nothing to do. */
export function adviceText(advice: Advice): string {
  return advice.map(wayText).join("; or, ");
}

/** The same advice for many, once, in the order in which it was met first. */
export function* grouped<T>(
  all: Iterable<T>,
  adviceOf: (one: T) => Advice,
): Work<{ readonly advice: Advice; readonly of: readonly T[] }[]> {
  const groups = new Map<string, { readonly advice: Advice; readonly of: T[] }>();
  for (const one of all) {
    yield undefined;
    const advice = adviceOf(one);
    const text = adviceText(advice);
    const group = groups.get(text);
    if (group === undefined) groups.set(text, { advice, of: [one] });
    else group.of.push(one);
  }
  return [...groups.values()];
}
