const UNITS: readonly (readonly [unit: string, ms: number])[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1_000],
];

/** Durations below this number of milliseconds are shown in seconds only. */
const SECONDS_MS = 120_000;

/**
 * A duration as every message, table and report shows it: `78 ms`, `1.5 s`, `64 s`, `3 min 20 s`, `2 d 5 h`.
 *
 * @param ms Milliseconds. From two minutes on the two largest units are shown, and the rest is cut off.
 */
export function durationText(ms: number): string {
  if (!(ms >= 0)) return "0 s";
  if (ms < 999.5 && ms > 0) return `${Math.round(ms)} ms`;
  const tenths = Math.round(ms / 100) / 10;
  if (ms < SECONDS_MS) return `${Number.isInteger(tenths) ? tenths : tenths.toFixed(1)} s`;
  const first = UNITS.findIndex(([, size]) => ms >= size);
  let rest = ms;
  return UNITS.slice(first, first + 2)
    .flatMap(([unit, size]) => {
      const count = Math.floor(rest / size);
      rest -= count * size;
      return count === 0 ? [] : [`${count} ${unit}`];
    })
    .join(" ");
}

/**
 * A duration measured by another machine's clock, in whole seconds: `0 s`, `64 s`, `3 min 20 s`.
 *
 * @param ms Milliseconds; below zero counts as zero.
 */
export function ageText(ms: number | bigint): string {
  const seconds = typeof ms === "bigint" ? Number(ms / 1000n) : Math.trunc(ms / 1000);
  return durationText(Math.max(0, seconds) * 1_000);
}

/** {@link ageText} without spaces, for table cells that scripts parse: `0s`, `3m20s`, `2d5h`. */
export function ageCell(ms: bigint): string {
  return ageText(ms).replaceAll("min", "m").replaceAll(" ", "");
}
