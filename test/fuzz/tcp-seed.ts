import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Random, seededRandom } from "../../src/sandbox/model/random.js";
import { type Sandbox, startSandbox } from "../../src/sandbox/start.js";
import { putZnode } from "../../src/sandbox/table-store.js";
import { BIN } from "../helpers/run-bin.js";
import { type FaultyProxy, startFaultyProxy, TCP_FAULTS } from "./faulty-proxy.js";

/** The result of one seed. */
export interface TcpSeedResult {
  readonly seed: number;
  /** Exit codes of the run through the proxies and of the clean ones after it. */
  readonly exitCodes: readonly number[];
  /** The invariants that were violated; empty: none. */
  readonly violations: readonly string[];
  /** The output of the run through the proxies. */
  readonly output: string;
}

/** A run that takes longer counts as unbounded. */
const KILL_MS = 90_000;
/** A second run can be necessary: a run that was cut off leaves ops that the next one waits for. */
const CLEAN_RUNS_MAX = 2;

interface Ended {
  readonly code: number;
  readonly stderr: string;
}

/**
 * Plays one seed: an outage, a recovery through proxies that damage what they carry before ZooKeeper,
 * nameservers and tablets, and then clean runs.
 */
export async function playTcpSeed(seed: number): Promise<TcpSeedResult> {
  const random = seededRandom(seed * 2_654_435_761);
  const sandbox = await startSandbox({
    tables: 1 + random.below(2),
    partitions: 1 + random.below(4),
    rows: 20,
    nameservers: 1 + random.below(2),
    speed: 20,
    loadMs: 20 + random.below(3_000),
    seed,
  });
  const stateDir = mkdtempSync(join(tmpdir(), "openmldb-ops-fuzz-"));
  const proxies: FaultyProxy[] = [];
  try {
    await sandbox.outage({ withNameservers: random.chance(0.5) });
    const zkPort = await setProxies(sandbox, random, proxies);
    const flags = [`--zk_root_path=${sandbox.zkRootPath}`, `--state_dir=${stateDir}`];
    const first = await recoverdata([...flags, `--zk_cluster=127.0.0.1:${zkPort}`, ...QUICK]);
    const violations = firstViolations(first, sandbox);
    for (const proxy of proxies) proxy.mend();
    const exitCodes = [first.code];
    for (let runs = 0; runs < CLEAN_RUNS_MAX && (runs === 0 || exitCodes.at(-1) !== 0); runs += 1) {
      const clean = await recoverdata([
        ...flags,
        `--zk_cluster=${sandbox.zkCluster}`,
        "--wait_lock=30s",
      ]);
      exitCodes.push(clean.code);
      // A flipped bit can show an offset that a replica never had, which is left for a decision.
      if (clean.code === 3 && clean.stderr.includes(": left alone: entries up to")) break;
      if (clean.code !== 0 && runs + 1 === CLEAN_RUNS_MAX) {
        violations.push(`a clean run ends with ${clean.code}: ${lastLines(clean.stderr)}`);
      }
    }
    const unhealthy = sandbox.model.healthy();
    if (exitCodes.at(-1) === 0 && unhealthy.length > 0)
      violations.push(`not healthy in the end: ${unhealthy.slice(0, 3).join("; ")}`);
    if (!isOn(sandbox)) violations.push("auto_failover is off in the end");
    return { seed, exitCodes, violations, output: first.stderr };
  } finally {
    for (const proxy of proxies) await proxy.close();
    await sandbox.stop();
    rmSync(stateDir, { recursive: true, force: true });
  }
}

/** Short limits, so that faults lead to retries and not to long waits. */
const QUICK = [
  "--rpc_timeout=2s",
  "--zk_timeout=5s",
  "--zk_session_timeout=4s",
  "--timeout=20s",
  "--op_timeout=10s",
  "--stall_timeout=10s",
];

/** Starts a proxy in front of every server; the tool finds those of nameservers and tablets under `map/names`. */
async function setProxies(
  sandbox: Sandbox,
  random: Random,
  proxies: FaultyProxy[],
): Promise<number> {
  const faults = TCP_FAULTS.filter(() => random.chance(0.6));
  const rate = 0.001 * 30 ** random.next();
  const open = async (target: number) => {
    const own = seededRandom(random.below(2 ** 31));
    const isSound = faults.length === 0 || random.chance(0.25);
    const proxy = await startFaultyProxy(target, {
      random: own,
      faults,
      rate: isSound ? 0 : rate,
    });
    proxies.push(proxy);
    return proxy.port;
  };
  for (const endpoint of [...sandbox.nameservers, ...sandbox.tablets]) {
    const port = await open(Number(sandbox.addressOf(endpoint).split(":").at(-1)));
    const path = `${sandbox.zkRootPath}/map/names/${endpoint}`;
    putZnode(sandbox.model.tree, path, `127.0.0.1:${port}`);
  }
  return open(Number(sandbox.zkCluster.split(":").at(-1)));
}

function firstViolations({ code, stderr }: Ended, sandbox: Sandbox): string[] {
  const found: string[] = [];
  // The exit codes 2 and 6 would report a network fault as an error of the operator.
  if (![0, 3, 4, 5, 7, 9, 10].includes(code)) {
    found.push(`exit code ${code}: ${lastLines(stderr)}`);
  }
  if (/this is a bug|^\s+at .*:\d+:\d+|NaN|undefined/m.test(stderr)) {
    found.push(`it tells of a bug: ${lastLines(stderr)}`);
  }
  const longest = stderr.split("\n").reduce((most, line) => Math.max(most, line.length), 0);
  if (longest > 5_000) found.push(`a line of ${longest} characters`);
  if (!isOn(sandbox) && code !== 9) {
    found.push(`auto_failover is off after exit code ${code}: ${lastLines(stderr)}`);
  }
  return found;
}

/** True if auto_failover is on, or will be with the next nameserver. */
function isOn({ model }: Sandbox): boolean {
  return model.leader?.autoFailover !== false;
}

function lastLines(text: string): string {
  return text.trim().split("\n").slice(-4).join(" / ");
}

function recoverdata(args: readonly string[]): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const argv = [BIN, "recoverdata", "--yes", ...args];
    const child = spawn(process.execPath, argv, { stdio: ["ignore", "ignore", "pipe"] });
    let stderr = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), KILL_MS);
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? -1, stderr });
    });
  });
}
