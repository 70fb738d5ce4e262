import type { Endpoint } from "./cluster-state.js";

/** How many acknowledged entries are given up, or may be. */
export interface Loss {
  /** Entries that are known of. */
  readonly atLeast: bigint;
  /** Undefined: not known, since a replica that may hold more cannot be asked. */
  readonly atMost: bigint | undefined;
}

/** A sum of losses as `--accept_data_loss=lost=...` names it, such as `lost=3..12` or `lost=3..unknown`. */
export function lossFlagValue({ atLeast, atMost }: Loss): string {
  return `lost=${atLeast}..${atMost ?? "unknown"}`;
}

/** Whether it is a sum of losses, and not the name of something. */
export function isLoss(one: object): one is Loss {
  return "atLeast" in one;
}

/** Reads what {@link lossFlagValue} wrote; undefined if it is something else. */
export function lossOfFlagValue(text: string): Loss | undefined {
  const [, least, most] = /^lost=(\d{1,20})\.\.(\d{1,20}|unknown)$/.exec(text) ?? [];
  if (least === undefined || most === undefined) return undefined;
  return { atLeast: BigInt(least), atMost: most === "unknown" ? undefined : BigInt(most) };
}

/** Tablets that will not come back, as the operator says, and what may be given up with them. */
export interface Lost {
  readonly tablets: ReadonlySet<Endpoint>;
  /** What may be given up at most, by `partitionName`; nothing where a partition is absent. */
  readonly losses: ReadonlyMap<string, Loss>;
}
