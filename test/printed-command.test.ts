import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { commonSpecs } from "../src/cli/common-specs.js";
import { readFlags, splitCommandLine } from "../src/cli/flag-parse.js";
import { readInvocation, switchesFor } from "../src/cli/invocation.js";
import { commandPrinter, commandWords, TOOL } from "../src/cli/printed-command.js";
import {
  type PartitionRef,
  parsePartitionName,
  readingsOf,
  splitNames,
} from "../src/model/partition-name.js";
import { partitionName } from "../src/model/partition-view.js";
import type { ToolCommand } from "../src/model/tool-command.js";
import "./helpers/fixed-cases.js";

/** Names that a user can give to a table: all characters but NUL, which no argument can hold. */
const name = fc
  .oneof(
    fc.constantFrom(
      "t1",
      "order items",
      "it's",
      "$(touch x)",
      "`id`",
      "-rf",
      "--yes",
      "a,b:0",
      "a.b",
    ),
    fc.constantFrom(
      "",
      "\n",
      " ",
      "'",
      '"',
      "\\",
      "a\tb",
      "\x1b[2J",
      "\u202e",
      "表",
      "é",
      "*",
      "~",
      "#",
      "!",
    ),
    fc.string({ unit: "binary", minLength: 1, maxLength: 8 }),
    fc.string({ unit: fc.constantFrom(..."`.:,'\"$\\ \n-=;|&a"), minLength: 1, maxLength: 8 }),
  )
  .filter((text) => !text.includes("\0"));
const table = name.filter((text) => text !== "");
const endpoint = fc.constantFrom("10.0.0.1:9527", "tablet-1", "[::1]:9527", "tablet_2.pod'$x");
const endpoints = fc.uniqueArray(endpoint, { minLength: 1 });
const pid = fc.nat(999);
const pids = fc.oneof(
  fc.constant("all" as const),
  fc.uniqueArray(pid, { minLength: 1 }).map((all) => all.sort((a, b) => a - b)),
);
const switched = fc.boolean();
const ref: fc.Arbitrary<PartitionRef> = fc.record({ db: name, table, pid });
const accepted = fc
  .array(fc.tuple(ref, endpoint), { maxLength: 3 })
  .map((all) => ({ accept_data_loss: all.map(([one]) => one), leader: all.map(([, to]) => to) }));
const ofTable = { db: fc.option(name, { nil: undefined }), table };
const opId = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const cmd = <const T extends string>(...names: T[]) => fc.constantFrom(...names);

/** Every command that can be printed, with flags of every kind that they take. */
const command: fc.Arbitrary<ToolCommand> = fc.oneof(
  fc
    .tuple(
      fc.record({ cmd: cmd("recoverdata"), db: fc.option(table, { nil: undefined }) }),
      accepted,
    )
    .map(([one, more]) => ({ ...one, ...more })),
  fc
    .tuple(
      fc.record({
        cmd: cmd("recovertable"),
        ...ofTable,
        pid: fc.option(pid, { nil: undefined }),
        endpoint: fc.option(endpoint, { nil: undefined }),
        force: switched,
      }),
      accepted,
    )
    .map(([one, more]) => ({ ...one, ...more })),
  fc.record({ cmd: cmd("inspect", "verify", "restore") }),
  fc.record({ cmd: cmd("confset"), key: cmd("auto_failover"), value: cmd("true", "false") }),
  fc.record({ cmd: cmd("confget"), key: cmd("auto_failover") }),
  fc.record({ cmd: cmd("showopstatus"), filter: fc.constant(["kFailed"]) }),
  fc.record({ cmd: cmd("gettablestatus", "getfollower"), endpoint, tid: fc.nat(), pid }),
  fc.record({
    cmd: cmd("offlineendpoint"),
    endpoint,
    concurrency: fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined }),
    allow_single_replica: switched,
    accept_data_loss: fc.array(ref, { maxLength: 2 }),
  }),
  fc.record({ cmd: cmd("recoverendpoint"), endpoint, need_restore: switched }),
  fc.record({
    cmd: cmd("changeleader"),
    ...ofTable,
    pid,
    candidate: fc.option(endpoint, { nil: undefined }),
    no_recover: switched,
    accept_data_loss: switched,
  }),
  fc.record({ cmd: cmd("addreplica", "delreplica"), ...ofTable, pid: pids, endpoint }),
  fc.record({ cmd: cmd("migrate"), src: endpoint, des: endpoint, ...ofTable, pid: pids }),
  fc.record({
    cmd: cmd("updatetablealive"),
    ...ofTable,
    pid: pids,
    endpoint,
    alive: cmd("yes", "no"),
    force: switched,
  }),
  fc.record({ cmd: cmd("loadtable"), ...ofTable, pid: pids, endpoint, leader: switched }),
  fc.record({ cmd: cmd("movetablet"), from: endpoint, to: fc.constant("10.0.0.9:9527") }),
  fc.record({ cmd: cmd("cancelop"), op_id: opId }),
  fc.oneof(
    fc.record({ cmd: cmd("deleteop"), op_id: opId }),
    fc.record({ cmd: cmd("deleteop"), status: cmd("done", "failed", "canceled") }),
  ),
  fc.record({ cmd: cmd("scaleout"), dry_run: switched, keep_surplus: switched }),
  fc.record({ cmd: cmd("scalein"), endpoints, keep_surplus: switched }),
  fc.record({
    cmd: cmd("pre-upgrade"),
    endpoints: endpoint.map((one) => [one]),
    statfile: table.filter((text) => text.trim() !== ""),
    allow_single_replica: switched,
  }),
);

const CONNECTION = ["--zk_cluster=zk1:2181,zk2:2181", "--zk_root_path=/open mldb's", "--user=a b"];
const connection = readFlags(commonSpecs, splitCommandLine(CONNECTION, new Set()), {
  OPENMLDB_OPS_PASSWORD: "hush",
  OPENMLDB_OPS_ZK_CERT: "me:hush",
});
const print = commandPrinter(connection);

const IS_CONNECTION = new Set(Object.values(commonSpecs).map((spec) => spec.name));

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== false && !(Array.isArray(value) && value.length === 0);
}

/** The arguments that the shell passes on for each line. */
function shellArguments(lines: readonly string[]): string[][] {
  const script = [`${TOOL}() { printf '%s\\0' "$@"; printf '%s\\0' '<end>'; }`, ...lines].join(
    "\n",
  );
  const out = execFileSync("bash", ["--norc", "-s"], {
    input: script,
    encoding: "utf8",
    env: { ...process.env, LC_ALL: "C" },
  });
  const calls: string[][] = [[]];
  for (const arg of out.split("\0").slice(0, -1)) {
    if (arg === "<end>") calls.push([]);
    else calls.at(-1)?.push(arg);
  }
  return calls.slice(0, -1);
}

/** The value that the tool's parser returns for `value`. */
function parsed(flag: string, value: unknown, wanted: unknown): unknown {
  if (flag === "alive") return value === "yes";
  if (flag === "filter") return value;
  return Array.isArray(wanted) && !Array.isArray(value) ? [value] : value;
}

/** Parses arguments by the tool's parser. @returns The command, and its flags that are not defaults, by name. */
function readBack(argv: readonly string[]) {
  const invocation = readInvocation(argv);
  if (invocation.kind !== "command") throw new Error(`no command: ${argv.join(" ")}`);
  const { entry, line } = invocation;
  const values = Object.values(entry.prepare(line, {}).flags);
  const flags = new Map(entry.specs.map((spec, index) => [spec.name, values[index] as unknown]));
  return { name: entry.name, specs: entry.specs, flags };
}

describe("a printed command", () => {
  it("has the intended arguments after a shell and the parser have read it, whatever the names", () => {
    const seed = Number(process.env["PRINT_SEED"] ?? 315_707_037);
    const commands = fc.sample(command, { numRuns: 1_500, seed });
    const lines = commands.map(print);
    const passed = shellArguments(lines);
    expect(passed).toHaveLength(commands.length);
    for (const [index, meant] of commands.entries()) {
      const line = `PRINT_SEED=${seed}: ${lines[index]}`;
      const argv = passed[index] ?? [];
      expect(argv.slice(0, commandWords(meant).length), line).toEqual(commandWords(meant));
      const { cmd: wantedName, ...wanted } = meant;
      const { name: given, flags, specs } = readBack(argv);
      expect(given, line).toBe(wantedName);
      for (const spec of specs.filter((one) => !IS_CONNECTION.has(one.name))) {
        const back = flags.get(spec.name);
        const value = (wanted as Readonly<Record<string, unknown>>)[spec.name];
        const absent = "value" in spec.absent ? spec.absent.value : undefined;
        expect(back, line).toEqual(isGiven(value) ? parsed(spec.name, value, back) : absent);
      }
    }
  });

  it("is one line that is safe for a terminal", () => {
    fc.assert(
      fc.property(command, (meant) => {
        expect(print(meant)).toMatch(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$/u);
      }),
    );
  });

  it("reaches the same cluster in the same way, and contains no secret", () => {
    const text = print({ cmd: "inspect" });
    expect(text).toBe(
      `openmldb-ops inspect --zk_cluster=zk1:2181,zk2:2181 '--zk_root_path=/open mldb'\\''s' --zk_auth_schema=digest '--user=a b'`,
    );
    const slow = {
      ...connection,
      rpcTimeoutMs: 60_000,
      password: { text: "hush", file: "/etc/pw" },
    };
    const more = commandPrinter(slow)({ cmd: "inspect" });
    expect(more).toContain("--password_file=/etc/pw --rpc_timeout=1m");
    expect(text + more).not.toContain("hush");
  });

  it("is not printed if a name cannot be an argument", () => {
    expect(print({ cmd: "recovertable", table: "a\0b" })).not.toContain("--table");
  });
});

describe("the name of a partition", () => {
  it("is read back unchanged, alone and in a list, so no two partitions share one", () => {
    fc.assert(
      fc.property(fc.array(ref, { minLength: 1, maxLength: 4 }), (refs) => {
        const text = refs.map(partitionName).join(",");
        expect(splitNames(text).map(parsePartitionName)).toEqual(refs);
      }),
      { numRuns: 2_000 },
    );
  });

  test.each([
    [{ db: "db1", table: "t1", pid: 0 }, "db1.t1:0"],
    [{ db: "", table: "t1", pid: 0 }, "t1:0"],
    [{ db: "a.b", table: "c", pid: 0 }, "`a.b`.c:0"],
    [{ db: "a", table: "b.c", pid: 0 }, "a.`b.c`:0"],
    [{ db: "", table: "a.b", pid: 3 }, "`a.b`:3"],
    [{ db: "a`b", table: "表", pid: 3 }, "`a``b`.表:3"],
  ])("%j is %s", (id, text) => {
    expect(partitionName(id)).toBe(text);
  });

  it("is refused if it is ambiguous, with all candidates", () => {
    expect(readingsOf("a.b.c:0").map(partitionName)).toEqual([
      "a.`b.c`:0",
      "`a.b`.c:0",
      "`a.b.c`:0",
    ]);
    const argv = ["recoverdata", ...CONNECTION, "--accept_data_loss=a.b.c:0", "--leader=x:1"];
    expect(() => readBack(argv)).toThrow(/not the name of one partition/);
    expect(switchesFor(argv).has("yes")).toBe(true);
  });
});
