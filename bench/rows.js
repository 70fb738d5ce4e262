// One row in a million differs, in every kind of table: is it found, how fast, and with how much memory?
import { messageOf, start } from "./child.js";

const LIMIT_MS = 600_000;
const NO_TTL = { kind: "absolute", minutes: 0, latest: 0 };
/** So long and so many that nothing expires meanwhile. */
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
export async function measureRows(tell, rows) {
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
    results.push(tell({ name, ...(await messageOf(child, LIMIT_MS)) }));
  }
  return results;
}
