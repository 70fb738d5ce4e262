// The table of each group of recoveries.
import { table, time } from "./report.js";
import { median } from "./startup.js";

const HEADERS = [
  "replicas",
  "way",
  "time",
  "times the floor",
  "calls",
  "calls per replica",
  "CPU time per replica",
  "problems left",
];

/** The run with the median time. */
export function middle(runs) {
  const tookMs = median(runs.map((run) => run.tookMs));
  return runs.find((run) => run.tookMs === tookMs);
}

/** Returns a function that finds a time by the number of replicas and the sequence. */
export function finder(rows) {
  return (replicas, way) => rows.find((row) => row.replicas === replicas && row.way === way).tookMs;
}

/** Rows of `{ replicas, way, tookMs, calls, cpuMs, left }` as a table, in the order of the sizes. */
export function recoveryTable(rows, sizes, floor = "floor") {
  const of = finder(rows);
  const sorted = sizes.flatMap((replicas) => rows.filter((row) => row.replicas === replicas));
  return table(
    HEADERS,
    sorted.map(({ replicas, way, tookMs, calls, cpuMs, left, tooLong }) => [
      replicas.toLocaleString("en-US"),
      way,
      tookMs === undefined ? `not computed within ${time(tooLong)}` : time(tookMs),
      tookMs === undefined ? "" : (tookMs / of(replicas, floor)).toFixed(2),
      calls === undefined ? "" : calls.toLocaleString("en-US"),
      calls === undefined ? "" : (calls / replicas).toFixed(1),
      cpuMs === undefined ? "" : `${(cpuMs / replicas).toFixed(2)} ms`,
      way === "floor" ? "not a recovery" : (left ?? ""),
    ]),
  );
}
