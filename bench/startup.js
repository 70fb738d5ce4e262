// The time of a process from its start to its end, as the median of several runs.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { startWire } from "./wire.js";

const RUNS = 15;
const LIMIT_MS = 300_000;
const BIN = fileURLToPath(new URL("../bin/openmldb-ops.js", import.meta.url));

/** Runs a command of the tool as a process. @returns Its exit code and its time. */
export async function runTool(args) {
  const began = performance.now();
  const code = await new Promise((resolve) => {
    spawn(process.execPath, args, { stdio: "ignore", timeout: LIMIT_MS }).on("exit", resolve);
  });
  return { tookMs: performance.now() - began, code };
}

/** A command line of the tool against a sandbox. */
export function toolArgs(command, { zkCluster, rootPath }, ...more) {
  return [BIN, command, `--zk_cluster=${zkCluster}`, `--zk_root_path=${rootPath}`, ...more];
}

/** Measures `node -e 0`, `--help`, and `inspect` of a cluster without user tables, alternately. */
export async function measureStartup() {
  const sandbox = await startWire("empty");
  const lines = {
    "node -e 0": ["-e", "0"],
    "openmldb-ops --help": [BIN, "--help"],
    "openmldb-ops inspect, no user tables": toolArgs("inspect", sandbox),
  };
  const times = new Map(Object.keys(lines).map((name) => [name, []]));
  for (let run = 0; run < RUNS; run += 1) {
    for (const [name, args] of Object.entries(lines)) {
      const { tookMs, code } = await runTool(args);
      if (code !== 0) throw new Error(`${name} ended with ${code}`);
      times.get(name).push(tookMs);
    }
  }
  sandbox.stop();
  return [...times].map(([name, all]) => ({ name, tookMs: median(all) }));
}

/** The median of several numbers. */
export function median(numbers) {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
}
