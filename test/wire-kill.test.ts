import { mkdtemp, rm } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { ZooKeeper } from "../src/cluster/zookeeper.js";
import { connectZooKeeper } from "../src/cluster/zookeeper-client.js";
import { NameServer } from "../src/gen/openmldb/nameserver_pb.js";
import { type Random, seededRandom } from "../src/sandbox/model/random.js";
import { type Sandbox, startSandbox } from "../src/sandbox/start.js";
import { type RealZookeeper, startRealZookeeper } from "./helpers/real-zookeeper.js";
import { type RunOptions, type RunResult, runBin } from "./helpers/run-bin.js";
import { callSandbox } from "./helpers/sandbox.js";

/** The full numbers: `OPS_KILLS=50 OPS_RACES=100 npx vitest run test/wire-kill.test.ts`. */
const KILLS = Number(process.env["OPS_KILLS"] ?? 6);
const RACES = Number(process.env["OPS_RACES"] ?? 6);
/** `OPS_SEED` gives the same kinds of runs and the same fractions of the measured times again. */
const SEED = Number(process.env["OPS_SEED"] ?? 11);
const LIMIT_MS = 300_000 + 30_000 * (KILLS + RACES);
const MARKER = "/openmldb/ops_tool/auto_failover";
const LOCK = "/openmldb/ops_tool/lock";
const SPEED = 40;
/**
 * The time of a load on the cluster's clock, two seconds in fact: the first run keeps the lock until the second one has
 * asked for it.
 */
const SLOW_LOAD_MS = 2_000 * SPEED;

let zookeeper: RealZookeeper;
let zk: ZooKeeper;
let sandbox: Sandbox;
let stateDir: string;

beforeAll(async () => {
  zookeeper = await startRealZookeeper();
  sandbox = await startSandbox({
    speed: SPEED,
    tables: 1,
    partitions: 2,
    rows: 50,
    seed: SEED,
    zkCluster: [zookeeper.hosts],
  });
  zk = await connectZooKeeper({
    hosts: zookeeper.hosts,
    timeoutMs: 10_000,
    sessionTimeoutMs: 30_000,
  });
  stateDir = await mkdtemp(join(tmpdir(), "openmldb-ops-wire-kill-"));
});

afterAll(async () => {
  await zk?.close();
  await sandbox?.stop();
  await zookeeper?.stop();
  await rm(stateDir, { recursive: true, force: true });
});

afterEach(() => slowLoads(0));

/** A process of the tool, and how long it took. */
interface TimedRun extends RunResult {
  readonly pid: number | undefined;
  /** From the start of the process to its end. */
  readonly tookMs: number;
}

async function tool(args: readonly string[], options: RunOptions = {}): Promise<TimedRun> {
  const startedAt = performance.now();
  let pid: number | undefined;
  const connection = [`--zk_cluster=${sandbox.zkCluster}`, `--zk_root_path=${sandbox.zkRootPath}`];
  const result = await runBin([...args, ...connection], {
    ...options,
    onStart(child) {
      pid = child.pid;
      options.onStart?.(child);
    },
  });
  return { ...result, pid, tookMs: performance.now() - startedAt };
}

function recoverdata(args: readonly string[] = [], options: RunOptions = {}): Promise<TimedRun> {
  return tool(["recoverdata", `--state_dir=${stateDir}`, ...args], options);
}

function slowLoads(ms: number): void {
  for (const name of ["tablet1", "tablet2", "tablet3"]) sandbox.model.slowLoad(name, ms);
}

/** The numbers for docs/reliability.md. */
function report(text: string): void {
  process.stdout.write(`${text}\n`);
}

/**
 * Puts new rows, whose last entries the followers may not have yet, and then kills all tablets at once.
 */
async function breakCluster(): Promise<void> {
  sandbox.model.put(3);
  await sandbox.outage({ withNameservers: false });
  expect(sandbox.model.healthy()).not.toEqual([]);
}

async function autoFailover(): Promise<string | undefined> {
  const address = sandbox.addressOf(sandbox.model.leader?.endpoint ?? "");
  const { conf } = await callSandbox(address, NameServer.method.confGet, {});
  return conf.find((one) => one.key === "auto_failover")?.value;
}

/** Checks that rows, replicas and auto_failover are as before the outage, and that no lock or marker is left. */
async function expectWhole(why: string): Promise<void> {
  const { model } = sandbox;
  expect(model.healthy(), why).toEqual([]);
  const rows = model.rows();
  expect(
    rows.map((one) => one.served),
    why,
  ).toEqual(rows.map((one) => one.acknowledged));
  expect(await autoFailover(), why).toBe("true");
  expect(await zk.getData(MARKER), why).toBeUndefined();
  expect(await zk.getData(LOCK), why).toBeUndefined();
}

const METHODS = { direct: [], documented: ["--method=documented"] } as const;
type Method = keyof typeof METHODS;

/** The duration of a whole run that is not killed, from the start of its process. */
async function measure(method: Method): Promise<number> {
  await breakCluster();
  const { code, stderr, tookMs } = await recoverdata(METHODS[method]);
  expect(code, stderr).toBe(0);
  return tookMs;
}

/** The state right after a kill: the nodes in ZooKeeper, and whether auto_failover is off. */
interface Killed {
  readonly hasMarker: boolean;
  readonly hasLock: boolean;
  readonly isOff: boolean;
}

/** Breaks the cluster and kills a recovery; if the recovery was quicker, the milliseconds that it took. */
async function killAt(method: Method, momentMs: number): Promise<Killed | number> {
  await breakCluster();
  const args = [...METHODS[method], "--zk_session_timeout=1s"];
  const { code, tookMs } = await recoverdata(args, {
    onStart(child) {
      void sleep(momentMs).then(() => child.kill("SIGKILL"));
    },
  });
  if (code !== undefined) return tookMs;
  return {
    hasMarker: (await zk.getData(MARKER)) !== undefined,
    hasLock: (await zk.getData(LOCK)) !== undefined,
    isOff: (await autoFailover()) === "false",
  };
}

/** Runs the commands after a kill, recoverdata last. */
async function goOn(first: "recoverdata" | "restore" | "inspect", why: string): Promise<void> {
  if (first !== "recoverdata") {
    const { code, stdout, stderr } = await tool([first]);
    const output = `${why}\n${stdout}${stderr}`;
    expect(first === "restore" ? [0] : [0, 10], output).toContain(code);
    expect(await autoFailover(), output).toBe("true");
    expect(await zk.getData(MARKER), output).toBeUndefined();
  }
  const { code, stderr } = await recoverdata();
  expect(code, `${why}\n${stderr}`).toBe(0);
  await expectWhole(`${why}\n${stderr}`);
}

/** One moment in each of `count` equal parts of a run, as a fraction of it, in any order. */
function moments(count: number, random: Random): number[] {
  return Array.from({ length: count }, (_, part) => (part + random.next()) / count)
    .map((fraction) => ({ fraction, order: random.next() }))
    .sort((a, b) => a.order - b.order)
    .map(({ fraction }) => fraction);
}

/** Two runs started at the same moment, in the order in which they ended. */
async function race(): Promise<readonly [loser: TimedRun, winner: TimedRun]> {
  const runs = [recoverdata(), recoverdata()];
  // Both wait for locks at the same time: the first to end is the one that did not get it.
  const first = await Promise.race(runs);
  slowLoads(0);
  const [a, b] = (await Promise.all(runs)) as [TimedRun, TimedRun];
  return a === first ? [a, b] : [b, a];
}

function expectRefusal(loser: TimedRun, winner: TimedRun, why: string): void {
  const both = `${why}\nloser:\n${loser.stderr}\nwinner:\n${winner.stderr}`;
  expect([loser.code, winner.code], both).toEqual([5, 0]);
  expect(loser.stderr, both).toContain(`on host ${hostname()}, pid ${winner.pid},`);
  expect(loser.stderr, both).not.toContain("switching auto_failover off");
  expect(winner.stderr, both).toContain("switching auto_failover off");
}

describe("real processes, a real ZooKeeper", () => {
  test(
    `kill -9 at ${KILLS} moments (seed ${SEED}): the next run restores auto_failover and recovers the cluster`,
    async () => {
      const random = seededRandom(SEED);
      const wholeMs = new Map<Method, number>();
      const found: Killed[] = [];
      let missed = 0;
      const count = (what: keyof Killed) => found.filter((one) => one[what]).length;
      const killOnce = async (fraction: number) => {
        const method = random.chance(0.25) ? "documented" : "direct";
        const first = (["recoverdata", "recoverdata", "restore", "inspect"] as const)[
          random.below(4)
        ];
        for (;;) {
          const wholeRunMs = wholeMs.get(method) ?? (await measure(method));
          wholeMs.set(method, wholeRunMs);
          const momentMs = fraction * wholeRunMs;
          const killed = await killAt(method, momentMs);
          const why = `seed ${SEED}: ${method} killed after ${Math.round(momentMs)} ms: ${JSON.stringify(killed)}; then ${first}`;
          await goOn(first ?? "recoverdata", why);
          if (typeof killed === "number") {
            // The process had ended already: it was not killed.
            missed += 1;
            wholeMs.set(method, killed);
            continue;
          }
          // Without a marker no run would switch it on again.
          expect(killed.isOff && !killed.hasMarker, why).toBe(false);
          found.push(killed);
          return;
        }
      };
      for (const fraction of moments(KILLS, random)) await killOnce(fraction);
      // A machine that became slower since the measurement reaches no change before the kill.
      const wantedOff = KILLS >= 30 ? KILLS / 3 : Math.min(1, KILLS);
      while (count("isOff") < wantedOff && found.length < 2 * KILLS) {
        wholeMs.clear();
        await killOnce(random.next());
      }
      report(
        `seed ${SEED}: ${found.length} kills: ${count("isOff")} with auto_failover off, ${count("hasMarker")} with a marker, ${count("hasLock")} with a lock; ${missed} runs had ended before the kill`,
      );
      expect(count("isOff"), `seed ${SEED}`).toBeGreaterThanOrEqual(wantedOff);
    },
    LIMIT_MS,
  );

  test(
    `two runs at once, ${RACES} times: one proceeds, the other exits 5 while it works`,
    async () => {
      const refusals: number[] = [];
      for (let turn = 1; turn <= RACES; turn += 1) {
        slowLoads(SLOW_LOAD_MS);
        await breakCluster();
        const [loser, winner] = await race();
        expectRefusal(loser, winner, `race ${turn}`);
        refusals.push(loser.tookMs);
        await expectWhole(`race ${turn}\n${winner.stderr}`);
      }
      const sorted = refusals.sort((a, b) => a - b).map(Math.round);
      report(
        `${RACES} races: the refused run ended after ${sorted[sorted.length >> 1]} ms (median), ${sorted.at(-1)} ms (longest)`,
      );
    },
    LIMIT_MS,
  );

  test("two runs at once that find the lock of a killed run: one proceeds, the other does not wait for it", async () => {
    slowLoads(SLOW_LOAD_MS);
    await breakCluster();
    let isKilled = false;
    const killed = await recoverdata(["--zk_session_timeout=8s"], {
      onStderr(text, child) {
        if (isKilled || !text.includes("switching auto_failover off")) return;
        isKilled = true;
        child.kill("SIGKILL");
      },
    });
    expect(killed.code, killed.stderr).toBeUndefined();
    expect(await zk.getData(MARKER)).toBeDefined();
    const [loser, winner] = await race();
    const output = `loser:\n${loser.stderr}\nwinner:\n${winner.stderr}`;
    expect([loser.code, winner.code], output).toEqual([5, 0]);
    expect(loser.stderr, output).toContain(`on host ${hostname()}, pid ${winner.pid},`);
    for (const one of [loser, winner]) {
      expect(one.stderr, output).toContain(`pid ${killed.pid},`);
      expect(one.stderr, output).toContain("its process is gone");
    }
    expect(winner.stderr, output).toContain("ended without restoring auto_failover");
    await expectWhole(output);
  });
});
