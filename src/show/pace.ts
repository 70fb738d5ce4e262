import { durationText } from "../model/duration.js";

/** The numbers of units over which the two compared paces are measured. */
const FEW = 10;
const MORE = 50;
/** An estimate needs at least this much measured time. */
const ELAPSED_MIN_MS = 15_000;
/** If the two paces differ by more, there is no estimate. */
const FACTOR_MAX = 3;

/** Milliseconds that are left, by the faster and by the slower of two measured paces. */
export type TimeLeft = readonly [least: number, most: number];

/** Measures how many units are done per time. */
export interface Pace {
  add(units: number, nowMs: number): void;
  /** Estimate of the remaining time; undefined without a reliable one. */
  left(units: number, nowMs: number): TimeLeft | undefined;
}

/** Starts measuring. */
export function createPace(beganMs: number): Pace {
  let last: { readonly units: number; readonly atMs: number }[] = [];
  /** Time that so many units take at the pace of the last `count` additions. */
  const atPaceOf = (count: number, units: number, nowMs: number) => {
    const these = last.slice(-count);
    const before = last.at(-count - 1)?.atMs ?? beganMs;
    const done = these.reduce((sum, one) => sum + one.units, 0);
    return (units * (nowMs - before)) / done;
  };
  return {
    add(units, nowMs) {
      last.push({ units, atMs: nowMs });
      if (last.length > 2 * MORE) last = last.slice(-MORE - 1);
    },
    left(units, nowMs) {
      if (last.length < FEW || nowMs - beganMs < ELAPSED_MIN_MS || units <= 0) return undefined;
      const [few, more] = [atPaceOf(FEW, units, nowMs), atPaceOf(MORE, units, nowMs)];
      const [least, most] = few < more ? [few, more] : [more, few];
      return most > least * FACTOR_MAX ? undefined : [least, most];
    },
  };
}

/** A range of time, such as `about 2 to 3 min left`. */
export function timeLeftText([least, most]: TimeLeft): string {
  const [from, to] = [rounded(least), rounded(most)].map(durationText);
  if (from === to) return `about ${to} left`;
  const unit = / \w+$/;
  const isSameUnit =
    from?.split(" ").length === 2 && from.match(unit)?.[0] === to?.match(unit)?.[0];
  return `about ${isSameUnit ? from?.replace(unit, "") : from} to ${to} left`;
}

/** Rounds to 5 s, a minute or 5 minutes, depending on the length. */
function rounded(ms: number): number {
  const step = ms < 120_000 ? 5_000 : ms < 3_600_000 ? 60_000 : 300_000;
  return Math.max(1, Math.ceil(ms / step)) * step;
}
