// A whole outage and its recovery on this machine: starts a sandbox cluster, kills all its processes,
// inspects it, recovers it with the real command, and counts the rows. Ends with exit code 1 as soon as a
// check fails. Needs a build; `npm run demo` makes one.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const BIN = fileURLToPath(new URL("../bin/openmldb-ops.js", import.meta.url));
const SPEED = 10;
const ANSWER_LIMIT_MS = 30_000;
const COMMAND_LIMIT_MS = 120_000;

/** Processes to be ended when the demo ends, successful or not. */
const children = new Set();

function say(text) {
  console.log(`\n# ${text}`);
}

function check(isTrue, promise) {
  if (!isTrue) {
    throw new Error(`check failed: ${promise}`);
  }
  console.log(`  ok: ${promise}`);
}

function withLimit(promise, ms, what) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${ms / 1000} s`)), ms);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

function spawnTool(args, stdio) {
  const child = spawn(process.execPath, [BIN, ...args], { stdio });
  children.add(child);
  child.ended = new Promise((resolve) => {
    child.once("close", (code, signal) => {
      children.delete(child);
      resolve(code ?? signal);
    });
  });
  return child;
}

/** Runs the tool with its output shown here, and returns its exit code. */
function runTool(args) {
  console.log(`$ openmldb-ops ${args.join(" ")}`);
  const child = spawnTool(args, ["ignore", "inherit", "inherit"]);
  return withLimit(child.ended, COMMAND_LIMIT_MS, args[0]);
}

/** Starts the sandbox; `ask` sends it one command and returns the answer. */
async function startSandbox(args) {
  console.log(`$ openmldb-ops sandbox ${args.join(" ")}`);
  const child = spawnTool(["sandbox", ...args], ["pipe", "pipe", "inherit"]);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const nextLine = async (what) => {
    const { value, done } = await withLimit(lines.next(), ANSWER_LIMIT_MS, what);
    if (done) {
      throw new Error(`the sandbox ended with ${await child.ended}`);
    }
    return JSON.parse(value);
  };
  const cluster = await nextLine("starting the sandbox");
  const ask = async (command) => {
    console.log(`sandbox> ${command}`);
    child.stdin.write(`${command}\n`);
    const answer = await nextLine(command);
    if (answer.error !== undefined) {
      throw new Error(`the sandbox refused "${command}": ${answer.error}`);
    }
    return answer;
  };
  const stop = () => {
    child.stdin.write("quit\n");
    return withLimit(child.ended, ANSWER_LIMIT_MS, "stopping the sandbox");
  };
  return { cluster, ask, stop };
}

async function demo() {
  say("A cluster of 2 nameservers and 3 tablets, with ZooKeeper, on this machine");
  console.log(`  Its time runs ${SPEED} times faster than a real cluster's.`);
  const sandbox = await startSandbox([
    "--tables=1",
    "--partitions=4",
    "--replicas=3",
    "--rows=100",
    `--speed=${SPEED}`,
    "--output=json",
  ]);
  const { cluster } = sandbox;
  const where = [`--zk_cluster=${cluster.zk_cluster}`, `--zk_root_path=${cluster.zk_root_path}`];
  console.log(`  ZooKeeper ${cluster.zk_cluster}, tablets ${cluster.tablets.join(" ")}`);

  say("Clients write");
  const put = await sandbox.ask("put 50");
  const before = await sandbox.ask("rows");
  check(put.accepted > 0, `${put.accepted} rows were accepted`);
  check(
    before.served === before.acknowledged,
    `all ${before.acknowledged} acknowledged rows can be read`,
  );

  say("Power failure: every nameserver and every tablet dies at once and starts again");
  await sandbox.ask("outage with-ns");
  const during = await sandbox.ask("rows");
  check(during.served === 0, "no row can be read: a restarted tablet loads nothing by itself");

  say("What is wrong?");
  check((await runTool(["inspect", ...where])) === 10, "inspect finds problems (exit code 10)");

  say("Recovery by the documented method, with the nameserver's own operations");
  const startedAt = Date.now();
  const code = await runTool(["--cmd=recoverdata", "--method=documented", ...where]);
  check(code === 0, `recoverdata succeeded in ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);

  say("Is everything back?");
  const after = await sandbox.ask("rows");
  check(after.acknowledged === before.acknowledged, "the acknowledged rows are the same as before");
  check(after.lost === 0, "no acknowledged row was lost");
  check(after.served === after.acknowledged, `all ${after.served} rows can be read again`);
  check(
    after.partitions.every((p) => p.replicas.every((r) => r.held === p.acknowledged)),
    "and every replica of every partition holds all of its rows",
  );
  check((await runTool(["inspect", ...where])) === 0, "inspect finds nothing wrong (exit code 0)");
  check((await sandbox.stop()) === 0, "the sandbox stopped cleanly");
}

try {
  await demo();
  say("Done.");
} catch (error) {
  console.error(`\nDEMO FAILED: ${error.message}`);
  process.exitCode = 1;
} finally {
  for (const child of children) {
    child.kill("SIGKILL");
  }
}
