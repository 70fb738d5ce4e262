import type { Endpoint } from "./cluster-state.js";

/** Bounds of how many acknowledged entries are discarded. */
export interface Loss {
  /** Entries that are known to be discarded. */
  readonly atLeast: bigint;
  /** Undefined if there is no upper bound: a replica that may hold more entries is unreachable. */
  readonly atMost: bigint | undefined;
}

/** A sum of losses as `--accept_data_loss=lost=...` names it, such as `lost=3..12` or `lost=3..unknown`. */
export function lossFlagValue({ atLeast, atMost }: Loss): string {
  return `lost=${atLeast}..${atMost ?? "unknown"}`;
}

/** True if the value is a {@link Loss} and not a partition. */
export function isLoss(one: object): one is Loss {
  return "atLeast" in one;
}

/** Parses the output of {@link lossFlagValue}; undefined for any other text. */
export function lossOfFlagValue(text: string): Loss | undefined {
  const [, least, most] = /^lost=(\d{1,20})\.\.(\d{1,20}|unknown)$/.exec(text) ?? [];
  if (least === undefined || most === undefined) return undefined;
  return { atLeast: BigInt(least), atMost: most === "unknown" ? undefined : BigInt(most) };
}

/** The tablets that the operator declared lost, and the losses that are accepted with them. */
export interface Lost {
  readonly tablets: ReadonlySet<Endpoint>;
  /** The largest accepted loss of each partition, by `partitionName`; none where a partition is absent. */
  readonly losses: ReadonlyMap<string, Loss>;
}
