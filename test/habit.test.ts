import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { COMMANDS } from "../src/cli/command-table.js";
import { commandHelp, mainHelp } from "../src/cli/help.js";
import { notesOn, readInvocation } from "../src/cli/invocation.js";
import { errorText } from "../src/cli/show-error.js";
import type { OpsError } from "../src/errors.js";
import { flagsOf } from "./helpers/flags-of.js";

const ZK = ["--zk_cluster=127.0.0.1:2181", "--zk_root_path=/openmldb"];
const IP = "172.27.128.31:9527";
const DES = "172.27.128.32:9527";

/** The text of the usage error of a command line. */
function errorOf(...argv: readonly string[]): string {
  try {
    flagsOf(argv);
  } catch (error) {
    expect((error as OpsError).code).toBe("usage");
    return errorText(error);
  }
  throw new Error("nothing was thrown");
}

describe("argument forms of OpenMLDB's own clients", () => {
  // docs/en/maintain/cli.md of OpenMLDB, and its page on recovery.
  it.each([
    { typed: "showtable t1", flags: { table: "t1" } },
    { typed: "changeleader t1 0", flags: { table: "t1", pid: 0, candidate: undefined } },
    { typed: "changeleader t1 0 auto", flags: { table: "t1", pid: 0, candidate: "auto" } },
    { typed: `recovertable t1 1 ${IP}`, flags: { table: "t1", pids: [1], endpoint: IP } },
    { typed: `offlineendpoint ${IP}`, flags: { endpoint: IP, concurrency: undefined } },
    { typed: `offlineendpoint ${IP} 2`, flags: { endpoint: IP, concurrency: 2 } },
    { typed: `recoverendpoint ${IP}`, flags: { endpoint: IP, needRestore: false } },
    {
      typed: `recoverendpoint ${IP} true 2`,
      flags: { endpoint: IP, needRestore: true, concurrency: 2 },
    },
    {
      typed: `updatetablealive t1 * ${IP} no`,
      flags: { table: "t1", pids: "all", endpoint: IP, isAlive: false },
    },
    {
      typed: `loadtable test 1 2 144000 8 --endpoint=${IP}`,
      flags: { table: "test", tid: 1, pids: [2], ttl: "144000", segmentCount: "8", endpoint: IP },
    },
    { typed: `gettablestatus 1 2 --endpoint=${IP}`, flags: { tid: 1, pid: 2, endpoint: IP } },
    { typed: "gettablestatus", flags: { tid: undefined, pid: undefined, endpoint: undefined } },
    { typed: `getfollower 1 2 --endpoint=${IP}`, flags: { tid: 1, pid: 2, endpoint: IP } },
    { typed: "confset auto_failover false", flags: { key: "auto_failover", value: "false" } },
    { typed: "confget auto_failover", flags: { key: "auto_failover" } },
    {
      typed: `migrate ${IP} table1 1-3 ${DES}`,
      flags: { from: IP, table: "table1", pids: [1, 2, 3], to: DES },
    },
    { typed: `addreplica t1 1,3,5 ${IP}`, flags: { table: "t1", pids: [1, 3, 5], endpoint: IP } },
    { typed: `delreplica t1 0 ${IP}`, flags: { table: "t1", pids: [0], endpoint: IP } },
    { typed: "showopstatus", flags: { table: undefined, pid: "all" } },
    { typed: "showopstatus flow 1", flags: { table: "flow", pid: [1] } },
    { typed: "cancelop 5", flags: { op: 5n } },
    { typed: "deleteop 5", flags: { op: 5n } },
    { typed: "deleteop done", flags: { op: "done" } },
  ])("$typed", ({ typed, flags }) => {
    const words = typed.split(" ");
    expect(flagsOf([...words, ...ZK])).toMatchObject(flags);
    expect(flagsOf([...ZK, ...words])).toMatchObject(flags);
    const old = [`--cmd=${typed.replace(/ --.*/, "")}`, "--role=ns_client", "--interactive=false"];
    expect(flagsOf([...old, ...words.filter((one) => one.startsWith("--")), ...ZK])).toMatchObject(
      flags,
    );
  });

  it("are equivalent to the flags", () => {
    const byFlags = ["--table=t1", "--pid=0", "--candidate=auto"];
    expect(flagsOf(["changeleader", "t1", "0", "auto", ...ZK])).toEqual(
      flagsOf(["changeleader", ...byFlags, ...ZK]),
    );
    expect(flagsOf(["changeleader", "t1", "--pid=0", ...ZK])).toMatchObject({
      table: "t1",
      pid: 0,
    });
  });

  it("are refused together with the flag of the same value", () => {
    expect(errorOf("changeleader", "t1", "0", "--table=t1", ...ZK)).toBe(
      '--table: given twice, as the word "t1" too (give the word or the flag)',
    );
  });

  it("report the invalid word", () => {
    expect(errorOf("changeleader", "t1", "x", ...ZK)).toContain('PID "x": not a whole number');
    expect(errorOf("cancelop", "x", ...ZK)).toContain('OP_ID "x": not the id of an op');
    expect(errorOf("showtable", "t1", "t2", ...ZK)).toContain('unexpected word "t2"');
    expect(errorOf("updatetablealive", "t1", "0", IP, "maybe", ...ZK)).toContain("one of yes, no");
    expect(errorOf("showtable", "", ...ZK)).toContain("TABLE: it needs a value");
  });

  it("confuse --endpoint and --endpoints", () => {
    expect(flagsOf(["scalein", `--endpoint=${IP}`, ...ZK])).toMatchObject({ endpoints: [IP] });
    expect(flagsOf(["offlineendpoint", `--endpoints=${IP}`, ...ZK])).toMatchObject({
      endpoint: IP,
    });
    expect(flagsOf(["scalein", `--endpoint=${IP}`, `--endpoints=${DES}`, ...ZK])).toMatchObject({
      endpoints: [IP, DES],
    });
    expect(errorOf("offlineendpoint", `--endpoints=${IP},${DES}`, ...ZK)).toContain(
      "it takes one tablet",
    );
  });

  it("report that there is no prompt", () => {
    for (const argv of [
      ["--role=ns_client"],
      ["--role=client", `--endpoint=${IP}`],
      ["--interactive"],
    ]) {
      expect(errorOf(...argv, ...ZK)).toContain("each command is typed after its name (such as: ");
    }
    const invocation = readInvocation(["showtable", "--role=ns_client", "--interactive=false"]);
    expect(invocation.kind === "command" && notesOn(invocation.line, {})).toEqual([
      "--role and --interactive are not needed and ignored: no program of OpenMLDB is started",
    ]);
    expect(errorOf("use", "demo_db")).toContain("with --db");
    for (const word of ["exit", "quit"])
      expect(errorOf(word)).toContain("(this tool has no prompt");
    expect(errorOf("drop", "t1")).toContain("SQL");
  });
});

describe("a * that the shell has expanded", () => {
  const before = process.cwd();
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "openmldb-ops-star-"));
    for (const name of ["notes.txt", "plan.json", "zoo.cfg"]) writeFileSync(join(folder, name), "");
    process.chdir(folder);
  });
  afterEach(() => {
    process.chdir(before);
    rmSync(folder, { recursive: true, force: true });
  });

  it("is recognised by the file names in its place", () => {
    const files = ["notes.txt", "plan.json", "zoo.cfg"];
    expect(errorOf("updatetablealive", "t1", ...files, IP, "no", ...ZK)).toBe(
      '"notes.txt" and "plan.json": the shell has put the names of files in place of a * (quote it: \'*\')',
    );
    expect(errorOf("updatetablealive", "t1", "zoo.cfg", IP, "no", ...ZK)).toBe(
      "\"zoo.cfg\": the shell has put the name of a file in place of a * (quote it: '*')",
    );
    writeFileSync(join(folder, "3"), "");
    expect(flagsOf(["updatetablealive", "t1", "3", IP, "no", ...ZK])).toMatchObject({ pids: [3] });
    expect(errorOf("updatetablealive", "t1", "a", "b", IP, "no", ...ZK)).toContain(
      "unexpected word",
    );
  });
});

describe("help", () => {
  it("fits a narrow terminal", () => {
    for (const text of [mainHelp("1.0.0", 80), ...COMMANDS.map((one) => commandHelp(one, 80))]) {
      const lines = text.split("\n").filter((line) => !line.startsWith("More: "));
      expect(lines.filter((line) => line.length > 80)).toEqual([]);
    }
  });

  it.each(COMMANDS.map((entry) => ({ name: entry.name, entry })))(
    "of $name ends with two valid examples and the link of an existing page",
    ({ entry }) => {
      expect(entry.examples.length).toBeGreaterThanOrEqual(2);
      for (const example of entry.examples) {
        const words = example.replace(/ > .*/, "").replaceAll("'", "").split(" ");
        expect(() => flagsOf(words)).not.toThrow();
      }
      // A command that is wrapped for a narrow screen is still one command for a shell.
      const lines = commandHelp(entry, 80)
        .replaceAll(/ \\\n +/g, " ")
        .trimEnd()
        .split("\n");
      expect(lines.at(-1)).toMatch(new RegExp(`^More: /.*/docs/reference/${entry.page}\\.md$`));
      expect(lines.slice(-2 - entry.examples.length, -2)).toEqual(
        entry.examples.map((one) => `  openmldb-ops ${one}`),
      );
    },
  );
});

describe("blanks and invisible characters around a value", () => {
  it.each(["/openmldb\r", " /openmldb", "/openmldb \n", "\ufeff/openmldb"])(
    "%j is the path without them",
    (path) => {
      const environment = {
        OPENMLDB_OPS_ZK_ROOT_PATH: path,
        OPENMLDB_OPS_ZK_CLUSTER: "127.0.0.1:2181\r",
        OPENMLDB_OPS_CONCURRENCY: " 7 ",
      };
      const right = { zkRootPath: "/openmldb", zkCluster: ["127.0.0.1:2181"], concurrency: 7 };
      expect(flagsOf(["recoverdata"], environment)).toMatchObject(right);
    },
  );

  it("inside a value are shown as escapes", () => {
    expect(errorOf("showns", "--zk_cluster=h:1", "--zk_root_path=openml\u200bdb")).toContain(
      "openml\\u200bdb",
    );
    expect(errorOf("recoverdata", "--concurrency=7\u202e", ...ZK)).toContain("7\\u202e");
  });

  it("belong to a name", () => {
    expect(flagsOf(["showtable", "--table= t1 ", ...ZK])).toMatchObject({ table: " t1 " });
  });
});
