import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { Environment } from "../src/cli/flag-parse.js";
import { duration, flagDuration, pidList } from "../src/cli/flag-values.js";
import { notesOn, readInvocation } from "../src/cli/invocation.js";
import { OpsError } from "../src/errors.js";
import { exitCodeOf, interruptedBy } from "../src/exit-codes.js";
import { nearest } from "../src/util/nearest.js";
import { flagsOf } from "./helpers/flags-of.js";

const folder = mkdtempSync(join(tmpdir(), "openmldb-ops-flags-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const NEEDED = ["--zk_cluster=127.0.0.1:2181", "--zk_root_path=/openmldb"];

/** Parses a command line whose words and names must be valid. */
function lineOf(argv: readonly string[]) {
  const invocation = readInvocation(argv);
  if (invocation.kind !== "command") throw new Error(`no command but ${invocation.kind}`);
  return invocation;
}

function recoverFlags(
  argv: readonly string[],
  environment: Environment = {},
  needed = NEEDED,
): Readonly<Record<string, unknown>> {
  return flagsOf(["recoverdata", ...needed, ...argv], environment);
}

/** The error that a command line gives, as `message (hint)`. */
function errorOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (!(error instanceof OpsError)) throw error;
    expect(error.code).toBe("usage");
    return error.hint === undefined ? error.message : `${error.message} (${error.hint})`;
  }
  throw new Error("nothing was thrown");
}

describe("valid command lines", () => {
  it("give the defaults that help shows", () => {
    expect(recoverFlags([])).toEqual({
      zkCluster: ["127.0.0.1:2181"],
      zkRootPath: "/openmldb",
      zkAuthSchema: "digest",
      zkCert: undefined,
      zkTimeoutMs: 10_000,
      zkSessionTimeoutMs: 10_000,
      user: undefined,
      password: { text: "", file: undefined },
      rpcTimeoutMs: 10_000,
      maxAnswerBytes: 128 * 1024 * 1024,
      nsConcurrency: 16,
      output: "table",
      logLevel: "info",
      logFile: undefined,
      noColor: false,
      db: undefined,
      concurrency: 128,
      reportFile: undefined,
      loadsPerTablet: 3,
      opRetries: 3,
      opTimeoutMs: 600_000,
      cancelStuck: false,
      stallTimeoutMs: 600_000,
      timeoutMs: 0,
      acceptDataLoss: [],
      apply: undefined,
      detailedExitcode: false,
      isDeep: false,
      dryRun: false,
      keepOff: false,
      keepsOffUndecided: false,
      leader: [],
      lost: [],
      postHook: undefined,
      report: undefined,
      textfile: undefined,
      decisions: undefined,
      decisionsOut: undefined,
      replaces: false,
      method: undefined,
      noInput: false,
      isVerbose: false,
      planOut: undefined,
      resume: false,
      stateDir: undefined,
      waitLockMs: 0,
      waitTablets: undefined,
      waitTimeoutMs: 300_000,
      cluster: undefined,
      config: undefined,
      openmldbHome: undefined,
      yes: false,
    });
  });

  it.each([
    { argv: ["recoverdata", ...NEEDED] },
    { argv: ["--cmd=recoverdata", ...NEEDED] },
    { argv: ["--cmd", "recoverdata", "recoverdata", ...NEEDED] },
    { argv: [...NEEDED, "recoverdata"] },
    { argv: ["--zk-cluster", "127.0.0.1:2181", "recoverdata", "--zk-root-path", "/openmldb"] },
    { argv: ["--openmldb_bin_path=/x", "--cmd=recoverdata", ...NEEDED, "--no-color=false"] },
    { argv: ["recoverdata", "--zk_cluster=127.0.0.1", "--zk_root_path=/openmldb/"] },
  ])("$argv are equivalent", ({ argv }) => {
    expect(lineOf(argv).entry.name).toBe("recoverdata");
    expect(flagsOf(argv)).toEqual(recoverFlags([]));
  });

  it("of inspect observe once, and warn of a lag of 10000 entries", () => {
    const look = { db: undefined, table: undefined, watchMs: undefined, maxLag: 10_000 };
    expect(flagsOf(["inspect", ...NEEDED])).toMatchObject(look);
    const given = ["--db=d", "--table=t", "--watch=5", "--max_lag=0"];
    expect(flagsOf(["inspect", ...NEEDED, ...given])).toMatchObject({
      db: "d",
      table: "t",
      watchMs: 5_000,
      maxLag: 0,
    });
  });

  it("of single replicas and ops name their target", () => {
    const t1 = ["--table=t1", "--pid=0,2,5-7", ...NEEDED];
    const at = [...t1, "--endpoint=h:1"];
    const meant = { db: undefined, table: "t1", pids: [0, 2, 5, 6, 7], endpoint: "h:1" };
    expect(flagsOf(["addreplica", ...at])).toMatchObject(meant);
    expect(flagsOf(["migrate", ...t1, "--src=a:1", "--des=b:1"])).toMatchObject({
      from: "a:1",
      to: "b:1",
      pids: [0, 2, 5, 6, 7],
    });
    expect(flagsOf(["updatetablealive", ...at, "--alive=no"])).toMatchObject({
      ...meant,
      isAlive: false,
      isForced: false,
    });
    expect(flagsOf(["loadtable", ...at])).toMatchObject({
      ...meant,
      leader: false,
      follower: false,
    });
    const last = 2n ** 64n - 1n;
    expect(flagsOf(["cancelop", `--op_id=${last}`, ...NEEDED])["op"]).toBe(last);
    expect(flagsOf(["deleteop", "--status=kFailed", ...NEEDED])).toMatchObject({
      opId: undefined,
      status: "failed",
    });
    const tooLarge = ["cancelop", `--op_id=${last + 1n}`, ...NEEDED];
    expect(errorOf(() => flagsOf(tooLarge))).toContain("not the id of an op");
  });

  it.each([
    ["0", [0]],
    ["0,2,5-7", [0, 2, 5, 6, 7]],
    ["7,5-6,6,0", [0, 5, 6, 7]],
    ["3-3", [3]],
    ["*", "all"],
  ])("read the partitions %s", (text, pids) => {
    expect(pidList(text, "--pid")).toEqual(pids);
  });

  it.each(["", ",", "1,", "a", "-1", "1-", "7-5", "1.5", "0x1", "1-2-3", "1000000", "*,1", "1 2"])(
    "reject the partitions %j",
    (text) => {
      expect(errorOf(() => pidList(text, "--pid"))).toMatch(
        /^--pid: ".*" is not a partition \(write it like 3, 0,2,5-7 or '\*'\)$/,
      );
    },
  );

  it("keep values as they are", () => {
    expect(recoverFlags(["--db=007"])["db"]).toBe("007");
    expect(recoverFlags(["--db", "1e9"])["db"]).toBe("1e9");
    expect(recoverFlags(["--db=a=b"])["db"]).toBe("a=b");
    expect(recoverFlags(["--zk_cert='u:p'"])["zkCert"]).toBe("'u:p'");
    expect(
      recoverFlags(["--zk_cluster=a:1,[::1]:2"], {}, ["--zk_root_path=/x"])["zkCluster"],
    ).toEqual(["a:1", "[::1]:2"]);
  });

  it("accept words as arguments, with --cmd too", () => {
    const argv = ["--cmd=confset", "auto_failover", "true", ...NEEDED];
    expect(flagsOf(argv)).toMatchObject({ key: "auto_failover", value: "true" });
    expect(flagsOf(["confget", ...NEEDED])["key"]).toBeUndefined();
  });

  it("read switches with and without a value", () => {
    expect(flagsOf(["sandbox", "--server_names"])["serverNames"]).toBe(true);
    expect(flagsOf(["--server-names", "sandbox"])["serverNames"]).toBe(true);
    expect(flagsOf(["sandbox", "--server_names=false"])["serverNames"]).toBe(false);
  });
});

describe("environment", () => {
  const environment = {
    OPENMLDB_OPS_ZK_CLUSTER: "zk9:2181",
    OPENMLDB_OPS_ZK_ROOT_PATH: "/nine",
    OPENMLDB_OPS_CONCURRENCY: "7",
    OPENMLDB_OPS_DB: "",
  };

  it("gives defaults that flags override; an empty variable is ignored", () => {
    expect(recoverFlags(["--zk_root_path=/ten"], environment, [])).toMatchObject({
      zkCluster: ["zk9:2181"],
      zkRootPath: "/ten",
      concurrency: 7,
      db: undefined,
    });
  });

  it("names the variable of an invalid value", () => {
    expect(errorOf(() => recoverFlags([], { OPENMLDB_OPS_CONCURRENCY: "0" }))).toBe(
      "OPENMLDB_OPS_CONCURRENCY=0: not a whole number from 1 to 10000",
    );
  });

  it("never makes a sandbox write into a real cluster's ZooKeeper", () => {
    const flags = flagsOf(["sandbox"], environment);
    expect(flags).toMatchObject({ zkCluster: [], zkRootPath: "/openmldb" });
  });

  it("gives the password, which a file overrides", () => {
    const file = join(folder, "password");
    writeFileSync(file, "from file\n");
    const withVariable = { OPENMLDB_OPS_PASSWORD: "from variable" };
    expect(recoverFlags(["--user=u"], withVariable)["password"]).toEqual({
      text: "from variable",
      file: undefined,
    });
    expect(recoverFlags(["--user=u", `--password_file=${file}`], withVariable)["password"]).toEqual(
      { text: "from file", file },
    );
  });

  it("with unknown variables is reported, not refused", () => {
    const { line } = lineOf(["recoverdata", "--openmldb_bin_path=/x"]);
    const odd = { OPENMLDB_OPS_ZK_CLUTSER: "x", OPENMLDB_OPS_TEST_ANY: "x", OTHER: "x" };
    expect(notesOn(line, { ...environment, ...odd, OPENMLDB_OPS_PASSWORD: "x" })).toEqual([
      "--openmldb_bin_path is not needed and ignored: no program of OpenMLDB is started",
      "the environment variable OPENMLDB_OPS_ZK_CLUTSER is unknown and ignored; did you mean OPENMLDB_OPS_ZK_CLUSTER?",
    ]);
  });
});

it("a password file that others can read is reported", () => {
  const [open, closed] = [join(folder, "open one"), join(folder, "closed")];
  writeFileSync(open, "hush\n", { mode: 0o644 });
  writeFileSync(closed, "hush\n", { mode: 0o600 });
  const notes = (path: string) =>
    notesOn(lineOf(["recoverdata", `--password_file=${path}`]).line, {});
  expect(notes(open)).toEqual([`other users can read the password file: chmod 600 '${open}'`]);
  expect(notes(closed)).toEqual([]);
  expect(notes(join(folder, "none"))).toEqual([]);
});

describe("invalid values", () => {
  const twoLines = join(folder, "two-lines");
  writeFileSync(twoLines, "a\nb\n");

  it.each([
    { flag: "--concurrency=0", error: "not a whole number from 1 to 10000" },
    { flag: "--concurrency=10001", error: "not a whole number from 1 to 10000" },
    { flag: "--concurrency=1e9", error: "not a whole number from 1 to 10000" },
    { flag: "--concurrency=1.5", error: "not a whole number from 1 to 10000" },
    { flag: "--concurrency=-1", error: "not a whole number from 1 to 10000" },
    { flag: "--concurrency=abc", error: "not a whole number from 1 to 10000" },
    { flag: "--concurrency=99999999999999999999", error: "not a whole number from 1 to 10000" },
    { flag: "--loads_per_tablet=65", error: "not a whole number from 1 to 64" },
    { flag: "--op_retries=21", error: "not a whole number from 0 to 20" },
    { flag: "--output=xml", error: "not one of table, wide, json" },
    { flag: "--log_level=loud", error: "not one of error, warn, info, debug" },
    { flag: "--no_color=maybe", error: "not one of true, false" },
    { flag: "--timeout=soon", error: "not a time (write it like 30, 30s, 500ms, 5m or 1h)" },
    { flag: "--timeout=-5", error: "not a time (write it like 30, 30s, 500ms, 5m or 1h)" },
    { flag: "--max_answer=0M", error: "not between 1M and 1G" },
    { flag: "--max_answer=many", error: "not a size" },
    { flag: "--rpc_timeout=0", error: "not between 100ms and 1h" },
    { flag: "--op_timeout=1000h", error: "not between 1s and 576h" },
    { flag: "--log_file=/nowhere/at/all.log", error: "there is no such file or folder" },
    { flag: `--log_file=${folder}`, error: "it is a folder" },
  ])("$flag: $error", ({ flag, error }) => {
    const text = errorOf(() => recoverFlags([flag]));
    expect(text).toContain(error);
    expect(text).toContain(flag);
  });

  it.each([
    { file: "hush-word", error: "there is no such file or folder" },
    { file: folder, error: "it is a folder" },
    { file: twoLines, error: "the file does not contain exactly one line" },
  ])(
    "--password_file: $error; it may be the password itself, so it is not shown",
    ({ file, error }) => {
      const text = errorOf(() => recoverFlags([`--password_file=${file}`]));
      expect(text).toContain(`--password_file: ${error}`);
      expect(text).not.toContain(file);
    },
  );

  it.each([
    ["zk_cert=user:hush"],
    ["-zk-cert=user:hush"],
    ["password=hush"],
    ["--zk_cert user:hush"],
    ["-phush"],
    ["OPENMLDB_OPS_PASSWORD=hush"],
    ["zk_cert", "user:hush"],
  ])("a secret given in an invalid way is not shown: %s %s", (...words) => {
    const at = ["--zk_cluster=h:1", "--zk_root_path=/x"];
    const show = () => flagsOf(["showtable", ...words, ...at]);
    for (const action of [() => readInvocation(words), () => recoverFlags(words), show]) {
      expect(errorOf(action)).not.toContain("hush");
    }
  });

  it.each([
    { flag: "--zk_cluster=http://h:1", error: "has a scheme" },
    { flag: "--zk_cluster=h:2181/openmldb", error: "give the root path with --zk_root_path" },
    { flag: "--zk_cluster=h:99999", error: "a port is a number from 1 to 65535" },
    { flag: "--zk_cluster=a,,b", error: "empty element" },
  ])("$flag: $error", ({ flag, error }) => {
    expect(errorOf(() => recoverFlags([flag], {}, ["--zk_root_path=/x"]))).toContain(error);
  });

  it.each(["openmldb", "/", "//", "/a//b", "/a/../b"])("--zk_root_path=%s is no path", (path) => {
    const action = () => recoverFlags([`--zk_root_path=${path}`], {}, ["--zk_cluster=h:1"]);
    expect(errorOf(action)).toContain("is not a ZooKeeper path for --zk_root_path");
  });

  it.each(["--zk_cluster=", "--zk_cluster", "--db=", "--concurrency=", "--log_file="])(
    "%s is empty",
    (flag) => {
      const needed = NEEDED.filter((one) => !one.startsWith(flag.replace(/=$/, "")));
      expect(errorOf(() => recoverFlags([flag], {}, needed))).toMatch(
        /: it needs a value \(write --/,
      );
    },
  );

  it("given twice are refused", () => {
    const text = errorOf(() => recoverFlags(["--db=a", "--db=b"]));
    expect(text).toBe("--db: given 2 times");
  });

  it("that are missing are all named, with an example", () => {
    expect(errorOf(() => recoverFlags([], {}, []))).toBe(
      "--zk_cluster and --zk_root_path are missing (such as --zk_cluster=127.0.0.1:2181 --zk_root_path=/openmldb)",
    );
    expect(errorOf(() => flagsOf(["confset", ...NEEDED]))).toBe(
      "KEY and VALUE are missing (such as confset auto_failover true)",
    );
  });

  it("of secrets are not repeated", () => {
    expect(errorOf(() => recoverFlags(["--zk_cert=u:hush", "--zk_cert=u:hush"]))).not.toContain(
      "hush",
    );
  });

  it("leave no file behind if the log cannot be created", () => {
    errorOf(() => recoverFlags([`--log_file=${folder}/none/x.log`]));
    expect(existsSync(join(folder, "none"))).toBe(false);
  });
});

describe("unexpected words and flags", () => {
  it.each([
    { argv: ["recoverdat"], error: 'unknown command "recoverdat": did you mean recoverdata?' },
    { argv: ["--cmd=confgte"], error: 'unknown command "confgte": did you mean confget?' },
    { argv: ["xyzzy"], error: 'unknown command "xyzzy" (openmldb-ops help lists' },
    { argv: ["\x1b[2J"], error: 'unknown command "\\x1b[2J"' },
    { argv: ["--cmd=inspect", "sandbox"], error: "two commands: --cmd=inspect and sandbox" },
    { argv: ["--cmd="], error: "--cmd: it needs a value" },
    { argv: ["--cmd=inspect", "--cmd=inspect"], error: "--cmd: given 2 times" },
    { argv: NEEDED, error: "no command given (openmldb-ops help lists" },
    {
      argv: ["inspect", "--zk_clutser=h:1"],
      error: "unknown flag --zk_clutser: did you mean --zk_cluster?",
    },
    { argv: ["inspect", "--password=x"], error: "did you mean --password_file?" },
    { argv: ["inspect", "--ZK_CLUSTER=x"], error: "did you mean --zk_cluster?" },
    { argv: ["inspect", "--no-zk_cluster"], error: "unknown flag --no_zk_cluster" },
    { argv: ["inspect", "-x"], error: "unknown flag -x (see openmldb-ops help inspect)" },
    { argv: ["inspect", "--__proto__=1"], error: "unknown flag" },
    {
      argv: ["inspect", "--concurrency=1"],
      error: "--concurrency is a flag of recoverdata, recovertable",
    },
    { argv: ["recoverdata", "--statfile=x"], error: "--statfile is a flag of pre-upgrade" },
  ])("$argv: $error", ({ argv, error }) => {
    expect(errorOf(() => readInvocation(argv))).toContain(error);
  });

  it.each([
    { argv: ["recoverdata", "now", ...NEEDED], word: "now" },
    { argv: ["recoverdata", ...NEEDED, "--no_color", "true"], word: "true" },
    { argv: ["recoverdata", ...NEEDED, "--", "--db=x"], word: "--db=x" },
  ])("$argv: $word is unexpected", ({ argv, word }) => {
    expect(errorOf(() => flagsOf(argv))).toContain(`unexpected word "${word}"`);
  });

  it.each([
    { argv: ["--help"], of: undefined },
    { argv: ["help"], of: undefined },
    { argv: ["help", "inspect"], of: "inspect" },
    { argv: ["inspect", "-h", "--rubbish"], of: "inspect" },
    { argv: ["--cmd=sandbox", "--help"], of: "sandbox" },
  ])("$argv asks for help", ({ argv, of }) => {
    const invocation = readInvocation(argv);
    expect(invocation.kind).toBe("help");
    expect(invocation.kind === "help" && invocation.of?.name).toBe(of);
  });

  it.each([
    { argv: ["--replicas=4"], error: "--replicas=4 needs as many tablets, and there are 3" },
    { argv: ["--hdd_tables=9"], error: "--hdd_tables=9 is more than all tables (4)" },
  ])("a sandbox with $argv: $error", ({ argv, error }) => {
    const { entry, line } = lineOf(["sandbox", ...argv]);
    expect(errorOf(() => entry.prepare(line, {}))).toContain(error);
  });

  it("a password without a user is refused", () => {
    const { entry, line } = lineOf(["inspect", ...NEEDED]);
    const environment = { OPENMLDB_OPS_PASSWORD: "x" };
    expect(errorOf(() => entry.prepare(line, environment))).toContain("no user");
  });
});

it.each([
  ["10", 10_000],
  ["10s", 10_000],
  ["500ms", 500],
  ["5m", 300_000],
  ["1h", 3_600_000],
  ["0", 0],
])("the time %s is %i ms", (text, ms) => {
  const read = duration(0, 3_600_000);
  expect(read(text, "x")).toBe(ms);
  expect(read(flagDuration(ms), "x")).toBe(ms);
});

it.each([
  ["zk_clutser", "zk_cluster"],
  ["zkcluster", "zk_cluster"],
  ["rpctimeout", "rpc_timeout"],
  ["outptu", "output"],
  ["db", "db"],
  ["frobnicate", undefined],
  ["x", undefined],
])("the nearest to %s is %s", (word, near) => {
  expect(nearest(word, ["zk_cluster", "zk_root_path", "output", "db", "rpc_timeout"])).toBe(near);
});

it.each([
  { thrown: new OpsError({ code: "usage", message: "x" }), code: 2 },
  { thrown: new OpsError({ code: "zookeeper-unreachable", message: "x" }), code: 4 },
  { thrown: new OpsError({ code: "no-leader", message: "x" }), code: 4 },
  { thrown: new OpsError({ code: "time-limit", message: "x" }), code: 7 },
  { thrown: interruptedBy("SIGINT"), code: 130 },
  { thrown: interruptedBy("SIGTERM"), code: 143 },
  { thrown: interruptedBy("SIGHUP"), code: 129 },
  { thrown: new Error("x"), code: 1 },
  { thrown: undefined, code: 1 },
])("$thrown ends with exit code $code", ({ thrown, code }) => {
  expect(exitCodeOf(thrown)).toBe(code);
});
