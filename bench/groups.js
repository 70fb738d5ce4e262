// The groups of the benchmark: the measurements, and their parts of docs/benchmarks.md. The group `quick` is in quick.js.
import { fastWays } from "./quick.js";
import { finder, recoveryTable } from "./recovery-table.js";
import { table, target, time, writeGroup } from "./report.js";
import { measureRows } from "./rows.js";
import { measureCommands, measureHealthy, measureSize } from "./size.js";
import { measureStartup } from "./startup.js";
import { recoverVirtually } from "./virtual.js";
import { recoverOnWire, startWire } from "./wire.js";

const WIRE_SIZES = [27, 130, 1000];
/** Sizes for which the sequences that take minutes are measured in real time. */
const SLOW_WIRE_SIZES = [27, 130];
const VIRTUAL_SIZES = [27, 130, 1_000, 10_000, 100_000, 240_000];
const SLOW_VIRTUAL_SIZES = [27, 130, 1_000];
/** Numbers of tables for 1,008, 10,008, 100,008 and 240,000 replicas. */
const TABLE_COUNTS = [42, 417, 4_167, 10_000];

/** Real sockets, real time. */
export async function wire(onResult) {
  const rows = [];
  for (const replicas of WIRE_SIZES) rows.push(...(await fastWays(onResult, replicas)));
  // They wait nearly all of the time, so they hardly affect each other. Each has its own cluster.
  const slow = SLOW_WIRE_SIZES.flatMap((replicas) =>
    ["documented", "openmldb_ops.py"].map(async (way) => {
      const sandbox = await startWire(replicas);
      const row = onResult({ replicas, way, ...(await recoverOnWire(sandbox, way)) });
      sandbox.stop();
      return row;
    }),
  );
  rows.push(...(await Promise.all(slow)));
  const of = finder(rows);
  const floorRatio = (replicas) => of(replicas, "direct") / of(replicas, "floor");
  const pythonRatio = of(130, "openmldb_ops.py") / of(130, "direct");
  writeGroup(
    "wire",
    "Recovery over sockets, in real time",
    [
      "Medians of three runs for floor and direct; the others were run once, side by side on clusters of their own.",
      'Connections are new in each run. "As a process" is the command from its start to its end, lock, journal and',
      "ZooKeeper session included.",
      "",
      recoveryTable(rows, WIRE_SIZES),
      "",
      ...[130, 1_000].map((replicas) =>
        target(
          `direct within 2 times the floor at ${replicas} replicas`,
          floorRatio(replicas) <= 2,
          floorRatio(replicas).toFixed(2),
        ),
      ),
      target(
        "direct at least 100 times faster than openmldb_ops.py at 130 replicas",
        pythonRatio >= 100,
        pythonRatio.toFixed(0),
      ),
    ].join("\n"),
  );
}

/** The virtual clock. @param max The largest number of replicas. */
export async function virtual(onResult, max = Number.POSITIVE_INFINITY) {
  const rows = [];
  const sizes = VIRTUAL_SIZES.filter((replicas) => replicas <= max);
  const left = VIRTUAL_SIZES.filter((replicas) => replicas > max);
  for (const replicas of sizes) {
    const ways = SLOW_VIRTUAL_SIZES.includes(replicas)
      ? ["floor", "direct", "documented", "openmldb_ops.py"]
      : ["floor", "direct"];
    for (const way of ways)
      rows.push(onResult({ replicas, way, ...(await recoverVirtually(replicas, way)) }));
  }
  const largest = Math.max(...sizes);
  const of = finder(rows);
  const ratio = of(largest, "direct") / of(largest, "floor");
  writeGroup(
    "virtual",
    "Recovery on the virtual clock, at any size",
    [
      "Time is that of the model: calls take 1 ms, loads and ops their time there, and computing takes none. So this",
      "table shows how the sequences scale with the cluster, and not how fast this program is. One tablet for",
      "240 replicas from 10,000 replicas on, three below. The slow sequences are left out above 1,000 replicas.",
      "",
      recoveryTable(rows, sizes),
      "",
      target(
        `direct within 2 times the floor at ${number(largest)} replicas on the virtual clock`,
        ratio <= 2,
        ratio.toFixed(2),
      ),
      "",
      'Why: at most 128 reads are in flight at a time, see docs/decisions.md, "Where the time of a recovery from quick tablets goes".',
      ...(left.length === 0 ? [] : ["", `Not run this time: ${left.join(", ")} replicas.`]),
    ].join("\n"),
  );
}

/** Observe, diagnose, plan; then whole commands on the largest cluster. */
export async function size(onResult) {
  const rows = [];
  for (const tables of TABLE_COUNTS) rows.push(onResult(await measureSize(tables)));
  const commands = await measureCommands(TABLE_COUNTS.at(-1), onResult);
  const last = rows.at(-1);
  writeGroup(
    "size",
    "Large clusters",
    [
      "Each line is three runs, since the machine has other work too: times and blocks are the shortest of them,",
      "memory is the most. Another process answers ShowTable with bytes over gRPC, with 40 columns in each table; every",
      "tablet has its own connection. All tablets have restarted, so every partition has to be recovered. A block is",
      "the time between two turns of the event loop; `computed` is the most that the main thread computed between two turns,",
      "which other work on the machine does not lengthen.",
      "",
      "### Observe, diagnose and plan, by size",
      "",
      "The observation that `recoverdata` makes before its first change.",
      "",
      sizeTable(rows),
      "",
      target("240,000 replicas in less than 5 s", last.tookMs < 5_000, time(last.tookMs)),
      ...sizeTargets(rows),
      "",
      "### Whole commands, at 240,000 replicas",
      "",
      "Processes from start to end, including the loading of modules, connections and output.",
      "",
      commandTable(commands),
      "",
      ...sizeTargets(commands),
    ].join("\n"),
  );
}

/** `verify` of a healthy cluster, which calls every leader. */
export async function healthy(onResult) {
  const rows = await measureHealthy(TABLE_COUNTS.at(-1), onResult);
  const [raw, verify] = rows;
  const ratio = verify.cpuMs / raw.cpuMs;
  const cells = (row) => [
    row.command,
    time(row.tookMs),
    time(row.cpuMs),
    `${number(row.rssMiB)} MiB`,
    time(row.blockMs),
    time(row.computedMs),
    row.code ?? "",
  ];
  const headers = [
    "",
    "wall time",
    "CPU time",
    "peak RSS",
    "longest block",
    "computed",
    "exit code",
  ];
  writeGroup(
    "healthy",
    "A large healthy cluster",
    [
      "`verify` of 240,000 replicas. OpenMLDB returns the replication list of a leader in one call for each partition, so that is",
      "80,000 calls in addition to the observation above. The calls alone: the same with `@grpc/grpc-js` only, alternately. The",
      "server that answers is one process of Node on the same machine, which takes about half of its processors.",
      "",
      table(headers, rows.map(cells)),
      "",
      target("less than 15 s", verify.tookMs < 15_000, time(verify.tookMs)),
      target("at most 2 times the processor time of the calls alone", ratio <= 2, ratio.toFixed(2)),
      target("less than 700 MiB", verify.rssMiB < 700, `${number(verify.rssMiB)} MiB`),
      target("never blocked for more than 100 ms", verify.blockMs <= 100, time(verify.blockMs)),
      target(
        "never computes longer than 100 ms at a stretch",
        verify.computedMs <= 100,
        time(verify.computedMs),
      ),
      "",
      'Why: docs/decisions.md, "What verify of a large healthy cluster costs, and what was tried".',
    ].join("\n"),
  );
}

const number = (value) => Math.round(value).toLocaleString("en-US");
const worstOf = (rows, name) => Math.max(...rows.map((row) => row[name]));

function sizeTargets(rows) {
  const blockMs = worstOf(rows, "blockMs");
  const computedMs = worstOf(rows, "computedMs");
  const rssMiB = worstOf(rows, "rssMiB");
  return [
    target("less than 1 GiB", rssMiB < 1_024, `${number(rssMiB)} MiB`),
    target("the event loop never blocked for more than 100 ms", blockMs <= 100, time(blockMs)),
    target("never computes longer than 100 ms at a stretch", computedMs <= 100, time(computedMs)),
  ];
}

function sizeTable(rows) {
  return table(
    [
      "replicas",
      "tables",
      "tablets",
      "ShowTable",
      "wall time",
      "CPU time",
      "per 1,000 replicas",
      "peak RSS",
      "longest block",
      "computed",
    ],
    rows.map((row) => [
      number(row.replicas),
      number(row.tables),
      number(row.tablets),
      `${(row.answerBytes / 1e6).toFixed(1)} MB`,
      time(row.tookMs),
      time(row.cpuMs),
      `${((row.tookMs / row.replicas) * 1_000).toFixed(1)} ms`,
      `${number(row.rssMiB)} MiB`,
      time(row.blockMs),
      time(row.computedMs),
    ]),
  );
}

function commandTable(rows) {
  return table(
    [
      "command",
      "wall time",
      "CPU time",
      "peak RSS",
      "longest block",
      "computed",
      "stdout",
      "exit code",
    ],
    rows.map((row) => [
      `\`${row.command}\``,
      time(row.tookMs),
      time(row.cpuMs),
      `${number(row.rssMiB)} MiB`,
      time(row.blockMs),
      time(row.computedMs),
      `${number(row.stdoutBytes / 1_000)} kB`,
      row.code,
    ]),
  );
}

/** Processes from start to end. */
export async function startup(onResult) {
  const rows = (await measureStartup()).map(onResult);
  const [node, help, inspect] = rows;
  const ratio = help.tookMs / node.tookMs;
  const whole = inspect.tookMs / node.tookMs;
  writeGroup(
    "startup",
    "Start-up",
    [
      "Medians of 15 runs each, alternately.",
      "",
      table(
        ["process", "time", "times `node -e 0`"],
        rows.map(({ name, tookMs }) => [name, time(tookMs), (tookMs / node.tookMs).toFixed(2)]),
      ),
      "",
      target("`--help` within 3 times `node -e 0`", ratio <= 3, ratio.toFixed(2)),
      target("`inspect` within 3.7 times `node -e 0`", whole <= 3.7, whole.toFixed(2)),
      target("`inspect` within 250 ms", inspect.tookMs <= 250, time(inspect.tookMs)),
    ].join("\n"),
  );
}

const ROWS = 1_000_000;
/** Without the rows themselves, which the child keeps for both replicas. */
const ROWS_MIB = 64;

/** One row in a million. */
export async function rows(onResult) {
  const all = await measureRows(onResult, ROWS);
  const extra = (one) => one.rssMiB - one.storeMiB;
  const slowest = Math.min(...all.map((one) => one.bytes / 1e6 / (one.cpuMs / 1_000)));
  const most = Math.max(...all.map(extra));
  const missed = all.filter((one) => !one.isFound).map((one) => one.name);
  const line = (one) => [
    one.name,
    one.rows.toLocaleString("en-US"),
    `${(one.bytes / 1e6).toFixed(0)} MB`,
    time(one.tookMs),
    time(one.cpuMs),
    `${(one.bytes / 1e6 / (one.cpuMs / 1_000)).toFixed(0)} MB/s`,
    `${Math.round(extra(one))} MiB`,
    `${Math.round(one.computedMs)} ms`,
    one.isFound ? "yes" : "**no**",
  ];
  const headers = [
    "table",
    "rows of the leader",
    "read",
    "wall time",
    "CPU time",
    "by CPU time",
    "memory",
    "computed",
    "found",
  ];
  writeGroup(
    "rows",
    "Comparing rows",
    [
      "`verify --deep` of one partition with two replicas, which differ in one row. The rows are created",
      "in advance and served by the process itself, so only the tool's own work is measured: by default it reads 4 MB/s",
      "from a tablet. Memory is without that of the rows.",
      "",
      table(headers, all.map(line)),
      "",
      target(
        "one other row in a million is found in every kind of table",
        missed.length === 0,
        missed.join("; ") || "all",
      ),
      target(
        `less than ${ROWS_MIB} MiB, ten times as many rows or not`,
        most < ROWS_MIB,
        `${Math.round(most)} MiB`,
      ),
      target(
        "at least 10 times the default rate of two tablets",
        slowest >= 80,
        `${slowest.toFixed(0)} MB/s`,
      ),
    ].join("\n"),
  );
}
