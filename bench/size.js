// The time, the memory and the longest block of the event loop of an observation and of whole commands, for clusters of any
// size.
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
/** `@` stands for the folder. */
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

/** Measures the observation of a cluster of so many tables, whose tablets have all restarted. */
export async function measureSize(tables) {
  return withServer({ tables }, async (cluster) => {
    const runs = [];
    for (let run = 0; run < RUNS; run += 1) {
      runs.push(await messageOf(start("size-look.js", cluster), LIMIT_MS));
    }
    return { ...shapeOf(tables), answerBytes: cluster.bytes, ...best(runs) };
  });
}

/** Measures whole commands on such a cluster; one result each. */
export function measureCommands(tables, onResult) {
  return withServer({ tables }, async (cluster) => {
    const rows = [];
    for (const words of COMMANDS) {
      const runs = [];
      for (let run = 0; run < RUNS; run += 1) runs.push(await measureCommand(cluster, words));
      rows.push(onResult({ command: words.join(" ").replace("@/", ""), ...best(runs) }));
    }
    return rows;
  });
}

/** Measures `verify` of a healthy cluster, and its calls to the leaders alone, alternately. */
export function measureHealthy(tables, onResult) {
  return withServer({ tables, isLoaded: true }, async (cluster) => {
    const raw = [];
    const verify = [];
    for (let run = 0; run < RUNS; run += 1) {
      raw.push(await messageOf(start("size-raw.js", { tables, ...cluster }), LIMIT_MS));
      verify.push(await measureCommand(cluster, ["verify"]));
    }
    return [
      onResult({ command: "the calls alone", ...best(raw) }),
      onResult({ command: "verify", ...best(verify) }),
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

/** The shortest times and blocks, since other work on the machine lengthens them, and the most memory. */
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
