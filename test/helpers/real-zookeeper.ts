import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { findZookeeperClasspath, ZOOKEEPER_MISSING } from "../../scripts/zookeeper-home.js";

/** A real ZooKeeper for one test file. */
export interface RealZookeeper {
  /** `127.0.0.1:port`. */
  readonly hosts: string;
  readonly port: number;
  /** Stops the process (SIGSTOP) until {@link resume}. */
  pause(): void;
  resume(): void;
  /** Ends the process and removes its data. */
  stop(): Promise<void>;
}

const START_MS = 60_000;
const STOP_MS = 3000;

/**
 * Starts a real ZooKeeper server on 127.0.0.1: standalone, small session timeouts (1 s and up), data in
 * a temporary folder.
 *
 * @throws Error with one line that names what to install if there is none on this machine, or with the
 *   last lines of the server's output if it does not start.
 */
export async function startRealZookeeper(): Promise<RealZookeeper> {
  const classpath = findZookeeperClasspath();
  if (classpath === undefined) throw new Error(ZOOKEEPER_MISSING);
  const folder = await mkdtemp(join(tmpdir(), "openmldb-ops-zookeeper-"));
  const port = await freePort();
  const config = join(folder, "zoo.cfg");
  await writeFile(config, configText(folder, port));
  const child = spawn("java", [...javaFlags(folder), "-cp", classpath, MAIN_CLASS, config], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const end = () => void child.kill("SIGKILL");
  // A test run that ends early must not leave the server behind.
  process.once("exit", end);
  let output = "";
  child.on("error", (error) => {
    output += error.message;
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (text) => {
      output = (output + text).slice(-2000);
    });
  }
  const stop = async () => {
    process.removeListener("exit", end);
    await endProcess(child);
    await rm(folder, { recursive: true, force: true });
  };
  const deadline = Date.now() + START_MS;
  while (!(await isServing(port))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await stop();
      throw new Error(`the real ZooKeeper did not start: ${output}`);
    }
    await sleep(50);
  }
  return {
    hosts: `127.0.0.1:${port}`,
    port,
    pause: () => void child.kill("SIGSTOP"),
    resume: () => void child.kill("SIGCONT"),
    stop,
  };
}

const MAIN_CLASS = "org.apache.zookeeper.server.ZooKeeperServerMain";

function javaFlags(folder: string): string[] {
  return [
    "-Xmx128m",
    "-XX:+UseSerialGC",
    // Halves the start-up time.
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    `-Djava.io.tmpdir=${folder}`,
    "-Dzookeeper.jmx.log4j.disable=true",
    "-Dzookeeper.admin.enableServer=false",
    "-Dzookeeper.forceSync=no",
    // Kilobytes; 64 MB if not set.
    "-Dzookeeper.preAllocSize=1024",
  ];
}

function configText(folder: string, port: number): string {
  return [
    `dataDir=${folder}`,
    "clientPortAddress=127.0.0.1",
    `clientPort=${port}`,
    "tickTime=500",
    "minSessionTimeout=1000",
    "maxSessionTimeout=40000",
    "maxClientCnxns=0",
    "admin.enableServer=false",
    "4lw.commands.whitelist=*",
    "",
  ].join("\n");
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

function isServing(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect(port, "127.0.0.1", () => socket.end("ruok"));
    socket.setTimeout(1000, () => socket.destroy());
    socket.on("data", (text) => {
      answer += text;
    });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(answer === "imok"));
  });
}

async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGCONT");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await ended;
  clearTimeout(timer);
}
