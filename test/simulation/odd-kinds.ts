import { moveAddress, withNaming } from "./addresses.js";
import { makeOdd, type Oddity } from "./oddities.js";
import type { Outage } from "./outage.js";
import type { Shape } from "./shape.js";
import type { World } from "./world.js";

/** A kind of oddity that a seed has in addition to its outage. */
interface OddKind {
  /** The cluster in which it can happen. */
  readonly shaped: (shape: Shape) => Shape;
  /** Makes it happen after the outage; tablets that stay away for good are added to `outage.away`. */
  readonly make: (world: World, shape: Shape, outage: Outage) => Oddity;
}

/** By the name that OPS_ODD has: `any` of what does not come back or is not what it seems, or one thing in many ways. */
export const ODD_KINDS = {
  any: { shaped: (shape: Shape) => shape, make: makeOdd },
  addresses: { shaped: withNaming, make: moveAddress },
} satisfies Record<string, OddKind>;

/** One of {@link ODD_KINDS}. */
export type OddName = keyof typeof ODD_KINDS;

/** @throws Error if there is no such kind. */
export function oddNamed(text: string): OddName {
  if (!Object.hasOwn(ODD_KINDS, text))
    throw new Error(`OPS_ODD=${text} is none of ${Object.keys(ODD_KINDS).join(", ")}`);
  return text as OddName;
}
