/**
 * A time in ISO 8601, UTC, such as `2026-01-02T03:04:05Z`.
 *
 * @param seconds Since the epoch; 0 means not yet (nameserver.proto, OPStatus).
 * @returns Undefined for 0, and for a time outside the calendar's range.
 */
export function timeText(seconds: bigint): string | undefined {
  const date = new Date(Number(seconds) * 1000);
  if (seconds === 0n || Number.isNaN(date.getTime())) return undefined;
  return date.toISOString().replace(/\.\d+/, "");
}

const SIZES = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] as const;

/** A size with one decimal in the largest unit that leaves at least 1: `903 B`, `28.0 KiB`. */
export function bytesText(bytes: bigint): string {
  if (bytes < 1024n) return `${bytes} B`;
  let value = Number(bytes) / 1024;
  let unit = 0;
  // 1023.96 would be rounded to "1024.0" of the smaller unit.
  while (value >= 1023.95 && unit < SIZES.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(1)} ${SIZES[unit]}`;
}
