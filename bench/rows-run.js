// Compares the rows of one generated partition as `verify --deep` does, in a separate process. Started with fork().
import { realClock } from "../dist/cluster/real-clock.js";
import { RULES } from "../dist/execution/rules.js";
import { compareRows } from "../dist/observe/compare-rows.js";
import { generatedStore } from "./rows-store.js";
import { watchCost } from "./size-cost.js";

const { rows, storageMode, ttl, indexCount } = JSON.parse(process.argv[2]);
const { kind, minutes, latest } = ttl;
const indexes = Array.from({ length: indexCount }, (_, at) => ({
  name: `idx${at}`,
  columns: `c${at}`,
  isDeleted: false,
  ttl: { kind, absMs: BigInt(minutes) * 60_000n, latest: BigInt(latest) },
}));
const store = generatedStore({ rows, storageMode, indexes, nowMs: Date.now() });
const before = process.memoryUsage().rss;
const cost = watchCost();
const began = performance.now();
const found = await compareRows(
  {
    id: { db: "db", table: "table", tid: 1, pid: 0 },
    storageMode,
    leader: "first",
    followers: ["last"],
    missing: [],
  },
  {
    cluster: { clock: realClock, ...store },
    rules: RULES,
    signal: new AbortController().signal,
    bytesPerSecond: Number.MAX_SAFE_INTEGER,
    sampleRows: undefined,
    random: () => 0,
    onRead: () => undefined,
  },
);
const tookMs = performance.now() - began;
const groups = found.differences.flatMap((one) => one.groups);
process.send({
  tookMs,
  ...cost(),
  storeMiB: before / 2 ** 20,
  rows: found.rows,
  bytes: found.bytes,
  // Each index has one row at each replica that the other one lacks.
  isFound: groups.length === 2 * indexCount && groups.every((one) => one.rows === 1),
  reasons: found.reasons,
});
process.disconnect();
