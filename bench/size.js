// Clusters of any size: time, memory, and whether the event loop lives, of a look at them and of
// whole commands.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf, start } from "./child.js";
import { shapeOf } from "./size-data.js";
import { toolArgs } from "./startup.js";

const LIMIT_MS = 300_000;
const RUNS = 3;
const PROBE = fileURLToPath(new URL("size-probe.js", import.meta.url));
/** The folder stands for `@`. */
const COMMANDS = [
  ["recoverdata", "--dry_run"],
  ["recoverdata", "--dry_run", "--output=json"],
  ["recoverdata", "--dry_run", "--plan_out=@/plan.json"],
  ["inspect"],
  ["inspect", "--output=json"],
  ["verify"],
  ["showtable"],
  ["showtablestatus"],
];

/** A cluster of so many tables, whose tablets have all restarted, is looked at. */
export async function measureSize(tables) {
  return withServer({ tables }, async (cluster) => {
    const runs = [];
    for (let run = 0; run < RUNS; run += 1) {
      runs.push(await messageOf(start("size-look.js", cluster), LIMIT_MS));
    }
    return { ...shapeOf(tables), answerBytes: cluster.bytes, ...best(runs) };
  });
}

/** Commands as they are typed, on such a cluster; one result each. */
export function measureCommands(tables, tell) {
  return withServer({ tables }, async (cluster) => {
    const rows = [];
    for (const words of COMMANDS) {
      const runs = [];
      for (let run = 0; run < RUNS; run += 1) runs.push(await measureCommand(cluster, words));
      rows.push(tell({ command: words.join(" ").replace("@/", ""), ...best(runs) }));
    }
    return rows;
  });
}

/** `verify` of a cluster where all is loaded and in order, and its calls to the leaders alone, taking turns. */
export function measureHealthy(tables, tell) {
  return withServer({ tables, isLoaded: true }, async (cluster) => {
    const raw = [];
    const verify = [];
    for (let run = 0; run < RUNS; run += 1) {
      raw.push(await messageOf(start("size-raw.js", { tables, ...cluster }), LIMIT_MS));
      verify.push(await measureCommand(cluster, ["verify"]));
    }
    return [
      tell({ command: "the calls alone", ...best(raw) }),
      tell({ command: "verify", ...best(verify) }),
    ];
  });
}

async function withServer(shape, use) {
  const server = start("size-server.js", shape);
  try {
    return await use(await messageOf(server, LIMIT_MS));
  } finally {
    server.disconnect();
  }
}

/** Other work on the machine only adds to times and blocks; memory is the most that was seen. */
function best(runs) {
  const least = (name) => Math.min(...runs.map((run) => run[name]));
  return {
    ...runs[0],
    tookMs: least("tookMs"),
    cpuMs: least("cpuMs"),
    blockMs: least("blockMs"),
    computedMs: least("computedMs"),
    rssMiB: Math.max(...runs.map((run) => run.rssMiB)),
  };
}

async function measureCommand(cluster, [command, ...flags]) {
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  const args = toolArgs(command, cluster, ...flags.map((flag) => flag.replace("@", folder)));
  const began = performance.now();
  try {
    const child = spawn(process.execPath, ["--import", PROBE, ...args], {
      stdio: ["ignore", "pipe", "ignore", "pipe"],
      timeout: LIMIT_MS,
    });
    let stdoutBytes = 0;
    let cost = "";
    child.stdout.on("data", (bytes) => {
      stdoutBytes += bytes.length;
    });
    child.stdio[3].on("data", (bytes) => {
      cost += bytes;
    });
    const code = await new Promise((resolve) => child.on("close", resolve));
    return { tookMs: performance.now() - began, code, stdoutBytes, ...JSON.parse(cost) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
