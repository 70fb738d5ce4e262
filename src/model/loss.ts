import type { Endpoint } from "./cluster-state.js";

/** Bounds of how many acknowledged entries are discarded. */
export interface Loss {
  /** Entries that are known to be discarded. */
  readonly atLeast: bigint;
  /** Undefined if there is no upper bound: a replica that may hold more entries is unreachable. */
  readonly atMost: bigint | undefined;
}

/** True if entries may be given up: some are known, or an unreadable replica may hold more. */
export function mayGiveUp({ atLeast, atMost }: Loss): boolean {
  return atLeast > 0n || atMost !== 0n;
}

/** The numbers in words, such as `at least 5 entries (how many at most is not known)`. */
export function givenUpCount({ atLeast, atMost }: Loss): string {
  if (atMost === undefined) return `at least ${atLeast} entries (how many at most is not known)`;
  return atMost === atLeast ? `${atLeast} entries` : `${atLeast} to ${atMost} entries`;
}

/** Adds the losses of several partitions. */
export function sumOfLosses(losses: readonly Loss[]): Loss {
  return losses.reduce(
    (sum, one) => ({
      atLeast: sum.atLeast + one.atLeast,
      atMost:
        sum.atMost === undefined || one.atMost === undefined ? undefined : sum.atMost + one.atMost,
    }),
    { atLeast: 0n, atMost: 0n },
  );
}

/** True if the accepted loss covers a loss. */
export function isWithin(loss: Loss, accepted: Loss): boolean {
  if (loss.atLeast > accepted.atLeast) return false;
  if (accepted.atMost === undefined) return true;
  return loss.atMost !== undefined && loss.atMost <= accepted.atMost;
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
