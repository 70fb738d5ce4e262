// One row in a million differs, in every kind of table. Measures whether it is found, the time and the memory.
import { messageOf, start } from "./child.js";

const LIMIT_MS = 600_000;
const NO_TTL = { kind: "absolute", minutes: 0, latest: 0 };
/** A TTL in minutes, and a number of rows, with which no row expires during the measurement. */
const YEAR = 525_600;
const MANY = 1_000;
const TTLS = {
  "": NO_TTL,
  ", absolute": { kind: "absolute", minutes: YEAR, latest: 0 },
  ", latest": { kind: "latest", minutes: 0, latest: MANY },
  ", absandlat": { kind: "absandlat", minutes: YEAR, latest: MANY },
  ", absorlat": { kind: "absorlat", minutes: YEAR, latest: MANY },
};

/** Tables of both storage modes with every TTL, and one with two indexes; then a larger one. */
export async function measureRows(onResult, rows) {
  const kinds = ["memory", "hdd"].flatMap((storageMode) => [
    ...Object.entries(TTLS).map(([name, ttl]) => ({
      name: `${storageMode}${name}`,
      args: { rows, storageMode, ttl, indexCount: 1 },
    })),
    {
      name: `${storageMode}, two indexes`,
      args: { rows, storageMode, ttl: NO_TTL, indexCount: 2 },
    },
  ]);
  const large = { rows: 10 * rows, storageMode: "memory", ttl: NO_TTL, indexCount: 1 };
  const results = [];
  for (const { name, args } of [...kinds, { name: "memory, ten times as large", args: large }]) {
    const child = start("rows-run.js", args);
    results.push(onResult({ name, ...(await messageOf(child, LIMIT_MS)) }));
  }
  return results;
}
