import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type RunResult, runBin, runNode } from "./helpers/run-bin.js";
import { closedPort, startTcp } from "./helpers/tcp.js";
import { startTurnClock } from "./helpers/turn-clock.js";

const folder = mkdtempSync(join(tmpdir(), "openmldb-ops-cli-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Checks that a text has no stack trace and no control character. */
function expectPlainLines(text: string): void {
  expect(text).not.toMatch(/^\s+at /m);
  expect(text).not.toContain("\x1b");
}

/** Checks that stdout is empty, stderr is one line, and the exit code is 2. */
function expectUsageError(result: RunResult, text: string): void {
  expect(result.stderr).toContain(text);
  expect(result).toMatchObject({ code: 2, stdout: "" });
  expect(result.stderr).toMatch(/^openmldb-ops: [^\n]+\n$/);
  expectPlainLines(result.stderr);
}

const dataModule = (code: string) => `data:text/javascript,${encodeURIComponent(code)}`;

/** Arguments of node that print the address of every module that is loaded to stderr. */
const traceImports = [
  "--import",
  dataModule(`
    import fs from "node:fs";
    import { createRequire, register } from "node:module";
    const tell = (path) => fs.writeSync(2, "import file://" + path + "\\n");
    const { readFileSync } = fs;
    fs.readFileSync = (path, ...rest) => {
      if (/\\.cjs$/.test(path)) tell(path);
      return readFileSync(path, ...rest);
    };
    const { cache } = createRequire("/");
    process.on("exit", () => Object.keys(cache).forEach(tell));
    register(${JSON.stringify(
      dataModule(`
        import { writeSync } from "node:fs";
        export async function resolve(specifier, context, next) {
          const found = await next(specifier, context);
          writeSync(2, "import " + found.url + "\\n");
          return found;
        }
      `),
    )});
  `),
];

/** Packages and own modules that a run imported. */
function importsOf({ stderr }: RunResult): { packages: Set<string>; own: string[] } {
  const urls = stderr.match(/^import .*$/gm) ?? [];
  const packages = urls.flatMap((url) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? []);
  const own = urls.flatMap((url) => /\/dist\/(.*)$/.exec(url)?.[1] ?? []);
  return { packages: new Set(packages), own };
}

/** Files of the bundle that only some commands need: packages, and the commands themselves. */
const HEAVY = /^bundle\/(grpc|zookeeper|log-file|log|recoverdata|confget|protect|connect|sandbox)-/;

describe.concurrent("help and version", () => {
  it("--help shows the commands by task, then ten lines of examples, on stdout, and nothing else", async () => {
    const { code, stdout, stderr } = await runBin(["--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(
      /^openmldb-ops \d+\.\d+\.\d+: [^\n]+\n\nRecover after an outage:\n {2}recoverdata /,
    );
    const [commands = "", examples = ""] = stdout.split("\nExamples:\n");
    expect(commands).toMatch(/^ {2}completion /m);
    expect(examples.trimEnd().split("\n")).toHaveLength(10);
    expect(stdout.split("\n").every((line) => line.length <= 84)).toBe(true);
    expectPlainLines(stdout);
  });

  it("recoverdata --help shows each of its flags with its default", async () => {
    const { code, stdout, stderr } = await runBin(["--cmd=recoverdata", "--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout.indexOf("Examples:")).toBeGreaterThan(stdout.indexOf("Exit codes:"));
    expect(stdout).toMatch(/--concurrency=N +partitions worked on at the same\s+time \[128\]/);
    expect(stdout).toMatch(/--zk_cluster=HOST:PORT,\.\.\. +[^\n]*\s+\(required\)/);
    expect(stdout).toMatch(/^ {2}9 +auto_failover could not be restored/m);
  });

  it("without a command the help is shown and the exit code is not 0", async () => {
    const { code, stdout, stderr } = await runBin([]);
    expect({ code, stderr }).toEqual({ code: 2, stderr: "openmldb-ops: no command given\n" });
    expect(stdout).toContain("Examples:");
  });

  it("--version is that of the package", async () => {
    const { version } = JSON.parse(
      readFileSync(new URL("../package.json", import.meta.url), "utf8"),
    ) as { version: string };
    const result = await runBin(["--version"]);
    expect(result).toEqual({ code: 0, stdout: `openmldb-ops ${version}\n`, stderr: "" });
  });

  it("--help loads no command, none of the heavy libraries, and no package by itself", async () => {
    const { packages, own } = importsOf(await runBin(["help"], { nodeArgs: traceImports }));
    expect(own).toContain("cli.js");
    expect([...packages]).toEqual([]);
    expect(own.filter((path) => HEAVY.test(path))).toEqual([]);
  });

  it("the tables of character widths are not loaded before a command's first output: 20 ms of its 100", async () => {
    const ofWidths = async (args: readonly string[]) =>
      importsOf(await runBin(args, { nodeArgs: traceImports })).own.filter((path) =>
        path.startsWith("bundle/width-"),
      );
    expect(await ofWidths(["--version"])).toEqual([]);
    expect(await ofWidths(["help"])).not.toEqual([]);
  });

  it("a command loads them, so the test above can fail", async () => {
    const port = await closedPort();
    const args = [
      "confget",
      `--zk_cluster=127.0.0.1:${port}`,
      "--zk_root_path=/x",
      "--zk_timeout=1",
    ];
    const loaded = async (more: readonly string[]) =>
      importsOf(await runBin([...args, ...more], { nodeArgs: traceImports })).own.flatMap(
        (path) => HEAVY.exec(path)?.[1] ?? [],
      );
    const needed = ["confget", "connect", "grpc", "log", "protect", "zookeeper"];
    expect([...new Set(await loaded([]))].sort()).toEqual(needed);
    expect(await loaded(["--log_file=/dev/null"])).toContain("log-file");
  });
});

describe.concurrent("wrong command lines get one line and exit 2", () => {
  const cluster = ["--zk_cluster=127.0.0.1:1", "--zk_root_path=/openmldb"];

  // The messages for wrong values are tested in flags.test.ts; these are the forms in which they are printed.
  it.each([
    { args: ["recverdata"], text: 'unknown command "recverdata": did you mean recoverdata?' },
    {
      args: ["recoverdata", "--zk_clutser=h:1"],
      text: "unknown flag --zk_clutser: did you mean --zk_cluster?",
    },
    { args: ["recoverdata"], text: "--zk_cluster and --zk_root_path are missing" },
    { args: ["recoverdata", ...cluster, "--concurrency=0"], text: "--concurrency=0: not a whole" },
    {
      args: ["inspect", "--zk_cluster=", "--zk_root_path=/x"],
      text: "--zk_cluster: it needs a value",
    },
    { args: ["inspect", ...cluster, "--password_file=/none"], text: "there is no such file" },
    {
      args: ["inspect", ...cluster, "--log_file=/none/log"],
      text: "there is no such file or folder",
    },
    { args: ["inspect", ...cluster, "--user=a b"], text: "the user name may only hold" },
    { args: ["confset", "ttl", "1", ...cluster], text: '"ttl": not one of auto_failover' },
    { args: ["sandbox", "--tablets=0"], text: "--tablets=0: not a whole number from 1 to 100" },
  ])("$args", async ({ args, text }) => {
    const result = await runBin(args);
    // A wrong user is found after the command has printed its first line.
    const stderr = result.stderr.replace(/^openmldb-ops inspect: connecting [^\n]*\n/, "");
    expectUsageError({ ...result, stderr }, text);
  });

  it("with --output=json one JSON document is written", async () => {
    const { code, stdout, stderr } = await runBin(["recoverdata", "--output=json", "--dbb=x"]);
    expect(JSON.parse(stdout)).toEqual({
      schemaVersion: 1,
      error: { code: "usage", message: "unknown flag --dbb: did you mean --db?" },
      exitCode: 2,
    });
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: "openmldb-ops: unknown flag --dbb: did you mean --db?\n",
    });
  });
});

describe.concurrent("a cluster that cannot be reached", () => {
  it("ends within --zk_timeout with exit 4 and lists the attempts", async () => {
    const port = await closedPort();
    const log = join(folder, "unreachable.log");
    const result = await runBin(["--cmd=recoverdata", "--openmldb_bin_path=/old/bin"], {
      env: {
        OPENMLDB_OPS_ZK_CLUSTER: `127.0.0.1:${port}`,
        OPENMLDB_OPS_ZK_ROOT_PATH: "/openmldb",
        OPENMLDB_OPS_ZK_TIMEOUT: "1s",
        OPENMLDB_OPS_ZK_CERT: "user:hush-hush",
        OPENMLDB_OPS_LOG_FILE: log,
        OPENMLDB_OPS_CONCURENCY: "1",
      },
    });
    expect(result).toMatchObject({ code: 4, stdout: "" });
    expectPlainLines(result.stderr);
    const lines = result.stderr.trimEnd().split("\n");
    expect(lines).toHaveLength(4);
    expect(lines[1]).toContain("note: --openmldb_bin_path is not needed and ignored");
    expect(lines[2]).toContain("did you mean OPENMLDB_OPS_CONCURRENCY?");
    expect(lines[0]).toBe(
      `openmldb-ops recoverdata: connecting to ZooKeeper 127.0.0.1:${port}/openmldb`,
    );
    expect(lines[3]).toMatch(
      new RegExp(`^openmldb-ops: no ZooKeeper answered within 1 s: 127\\.0\\.0\\.1:${port} `),
    );
    const logged = readFileSync(log, "utf8");
    expect(logged).not.toContain("hush");
    const messages = logged
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).message);
    expect(messages.at(-2)).toContain("no ZooKeeper answered within 1 s");
    expect(messages.at(-1)).toBe("exit code 4");
  });

  it("that is no ZooKeeper is reported in one JSON document", async () => {
    const server = await startTcp((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    const result = await runBin([
      "inspect",
      "--output=json",
      `--zk_cluster=127.0.0.1:${server.port}`,
      "--zk_root_path=/openmldb",
      "--zk_timeout=1500ms",
    ]);
    await server.close();
    expect(result.code).toBe(4);
    expect(JSON.parse(result.stdout)).toMatchObject({
      schemaVersion: 1,
      error: { code: "zookeeper-unreachable", hint: expect.stringContaining("--zk_cluster") },
      exitCode: 4,
    });
    expect(result.stdout.trimEnd()).not.toContain("\n");
  });
});

describe.concurrent("signals", () => {
  /** A run that waits for a ZooKeeper that never answers, until a signal comes. */
  async function runStuck(
    onConnected: (send: (signal: NodeJS.Signals) => void) => void,
    nodeArgs: readonly string[] = [],
  ): Promise<RunResult & { readonly tookMs: number }> {
    let send: (signal: NodeJS.Signals) => void = () => {};
    let began: (() => number) | undefined;
    const server = await startTcp(() => {
      if (began !== undefined) return;
      began = startTurnClock();
      onConnected(send);
    });
    const args = ["--zk_root_path=/x", "--zk_timeout=60", "--output=json"];
    const result = await runBin(["confget", `--zk_cluster=127.0.0.1:${server.port}`, ...args], {
      nodeArgs,
      onStart: (child) => {
        send = (signal) => child.kill(signal);
      },
    });
    await server.close();
    return { ...result, tookMs: began?.() ?? Number.NaN };
  }

  it.each([
    { signal: "SIGINT" as const, code: 130 },
    { signal: "SIGTERM" as const, code: 143 },
    { signal: "SIGHUP" as const, code: 129 },
  ])("$signal stops cleanly with $code", async ({ signal, code }) => {
    const result = await runStuck((send) => send(signal));
    expect(result.code).toBe(code);
    // Far less than --zk_timeout, also on a busy machine.
    expect(result.tookMs).toBeLessThan(30_000);
    expect(result.stderr).toContain(`${signal}: stopping (again to exit at once)\n`);
    expect(result.stderr).toMatch(new RegExp(`openmldb-ops: stopped by ${signal}\n$`));
    expect(JSON.parse(result.stdout)).toMatchObject({
      error: { code: "interrupted" },
      exitCode: code,
    });
  });

  it("a second one runs the registered handler and exits at once", async () => {
    const module = JSON.stringify(new URL("../dist/cli/signals.js", import.meta.url).href);
    const script = `
      const { watchSignals } = await import(${module});
      const watch = watchSignals((line) => process.stderr.write(line + "\\n"));
      watch.onSecond(() => { process.stderr.write("restore it by hand\\n"); return true; });
      process.stderr.write("watching\\n");
      setInterval(() => {}, 1000);
    `;
    let sent = 0;
    const result = await runNode(["--input-type=module", "--eval", script], {
      onStderr: (text, child) => {
        const wanted = text.includes("again to exit at once") ? 2 : 1;
        if (sent < wanted) child.kill(sent === 0 ? "SIGINT" : "SIGTERM");
        sent = wanted;
      },
    });
    expect(result).toEqual({
      code: 143,
      stdout: "",
      stderr:
        "watching\nSIGINT: stopping, restoring auto_failover (again to exit at once)\nrestore it by hand\n",
    });
  });

  it("an uncaught error stops the run in the same way, with exit 1", async () => {
    const thrower = dataModule(`
      const timer = setInterval(() => {
        if (process.listenerCount("uncaughtException") === 0) return;
        clearInterval(timer);
        throw new Error("out of the blue");
      }, 10);
    `);
    const result = await runStuck(() => {}, ["--import", thrower]);
    expect(result.code).toBe(1);
    expectPlainLines(result.stderr);
    expect(result.stderr.match(/out of the blue/g)).toHaveLength(1);
    expect(result.stderr).toContain("run again with --log_level=debug");
    expect(JSON.parse(result.stdout)).toMatchObject({ exitCode: 1 });
  });
});

describe.concurrent("stdout", () => {
  it("whose reader closes is no error", async () => {
    const result = await runBin(["--help"], { onStart: (child) => child.stdout?.destroy() });
    expect(result).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  it("that cannot be written is an error", async () => {
    const full = openSync("/dev/full", "w");
    const { code, stderr } = await runBin(["--help"], { stdio: ["ignore", full, "pipe"] });
    closeSync(full);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^openmldb-ops: cannot write the result to stdout: [^\n]*ENOSPC[^\n]*\n$/,
    );
  });
});
