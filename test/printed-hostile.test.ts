import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { COMMANDS } from "../src/cli/command-table.js";
import { TabletServer } from "../src/gen/openmldb/api_pb.js";
import { NameServer } from "../src/gen/openmldb/nameserver_pb.js";
import { type Sandbox, startSandbox } from "../src/sandbox/start.js";
import {
  HOSTILE,
  hostile,
  hostileTransport,
  hostileZooKeeper,
  type Rewrite,
  rawIn,
  textFields,
} from "./helpers/hostile-text.js";
import { expectClean, filesIn, type MainResult, runMain } from "./helpers/run-main.js";

// Many runs in one test: on a busy machine they take a while.
vi.setConfig({ testTimeout: 120_000 });

/** The current rewriting of the cluster's answers. */
const world = vi.hoisted(() => ({
  rewrite: (text: string, _field: string): string => text,
  /** The text fields that were read since the beginning. */
  met: new Set<string>(),
}));

vi.mock(import("../src/cluster/grpc-transport.js"), async (original) => {
  const { createGrpcTransport } = await original();
  const rewrite: Rewrite = (text, field) => {
    world.met.add(field);
    return world.rewrite(text, field);
  };
  return { createGrpcTransport: (of) => hostileTransport(createGrpcTransport(of), rewrite) };
});
vi.mock(import("../src/cluster/zookeeper-client.js"), async (original) => {
  const { connectZooKeeper } = await original();
  const rewrite: Rewrite = (text, field) => world.rewrite(text, field);
  return { connectZooKeeper: async (of) => hostileZooKeeper(await connectZooKeeper(of), rewrite) };
});

/**
 * Fields whose values the tool acts on. With arbitrary values no command could work on the cluster.
 */
const MEANT = /\.(msg|state|opType|status|taskType|key|value|realEndpoint)$/;
const isHostileCluster: Rewrite = (text, field) => (MEANT.test(field) ? text : hostile(text));

const folder = mkdtempSync(join(tmpdir(), "openmldb-ops-printed-"));
const state = join(folder, "state");
let sandbox: Sandbox;
let at: readonly string[] = [];
let files = 0;
/** A path in a new folder, without a file yet. */
const fresh = (name: string): string => {
  const own = join(folder, `f${files++}`);
  mkdirSync(own);
  return join(own, name);
};
const [TABLE, DB] = [`--table=${hostile("t0")}`, `--db=${hostile("db1")}`];
const tablet = (number: number) => hostile(`tablet-${number}`);
/** The flags that every command that changes something takes. */
const CHANGING = ["--yes", `--state_dir=${state}`];

beforeAll(async () => {
  sandbox = await startSandbox({
    ...{ serverNames: true, tables: 1, partitions: 2, replicas: 2, rows: 10, speed: 20 },
  });
  at = [`--zk_cluster=${sandbox.zkCluster}`, `--zk_root_path=${sandbox.zkRootPath}`];
});
afterAll(async () => {
  await sandbox.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs a command on the cluster, and checks that its output is clean. */
async function on(words: readonly string[]): Promise<MainResult> {
  const argv = [...words, ...at];
  const result = await runMain(argv);
  expectClean(argv, result);
  return result;
}

/** The commands that only read. */
const LOOKS: readonly (readonly string[])[] = [
  ["inspect"],
  ["inspect", "--verbose"],
  ["inspect", TABLE, DB],
  ["verify"],
  ["showns"],
  ["showtablet"],
  ["showdb"],
  ["showtable"],
  ["showtable", TABLE, DB],
  ["showtablestatus"],
  ["showopstatus"],
  ["gettablestatus"],
  ["getfollower", "8", "0", `--endpoint=${tablet(1)}`],
  ["confget"],
  ["config", "show"],
  ["history", `--state_dir=${state}`],
  ["recoverdata", "--dry_run"],
  ["recovertable", TABLE, DB, "--dry_run"],
];

/** Every command that changes the cluster, in an order in which most of them have work to do. */
const CHANGES: readonly (readonly string[])[] = [
  ["recoverdata", "--log_level=debug"],
  ["changeleader", TABLE, DB, "--pid=0", "--candidate=auto"],
  ["updatetablealive", TABLE, DB, "--pid=*", `--endpoint=${tablet(1)}`, "--alive=no"],
  ["recovertable", TABLE, DB],
  ["loadtable", TABLE, DB, "--pid=0", `--endpoint=${tablet(1)}`],
  ["addreplica", TABLE, DB, "--pid=*", `--endpoint=${tablet(3)}`],
  ["addreplica", TABLE, DB, "--pid=*", `--endpoint=${tablet(2)}`],
  ["delreplica", TABLE, DB, "--pid=*", `--endpoint=${tablet(3)}`],
  ["delreplica", TABLE, DB, "--pid=0", `--endpoint=${tablet(2)}`],
  ["migrate", `--src=${tablet(2)}`, `--des=${tablet(3)}`, TABLE, DB, "--pid=*"],
  ["offlineendpoint", tablet(2)],
  ["recoverendpoint", tablet(2)],
  ["pre-upgrade", `--endpoints=${tablet(1)}`, `--statfile=${join(folder, "stat")}`],
  ["post-upgrade", `--endpoints=${tablet(1)}`, `--statfile=${join(folder, "stat")}`],
  ["movetablet", `--from=${tablet(1)}`, `--to=${tablet(9)}`],
  ["scalein", `--endpoints=${tablet(3)}`, "--dry_run"],
  ["scaleout", "--dry_run"],
  ["cancelop", "1"],
  ["deleteop", "failed"],
  ["confset", "auto_failover", "true"],
  ["restore"],
];

describe("a cluster in which every name holds escapes, bidi and zero-width characters", () => {
  beforeAll(() => {
    world.rewrite = isHostileCluster;
  });

  test("the list contains every command that reaches a cluster", () => {
    const tried = new Set([...LOOKS, ...CHANGES].map(([name]) => name));
    const local = ["sandbox", "completion"];
    expect(COMMANDS.map((one) => one.name).filter((one) => !tried.has(one))).toEqual(local);
  });

  test("is inspected after an outage, in every format", async () => {
    await sandbox.outage({ withNameservers: false });
    for (const [index, words] of LOOKS.entries()) {
      await on(words);
      const output = index % 2 === 0 ? "json" : "ndjson";
      const { stdout } = await on([...words, `--output=${output}`]);
      const documents = output === "json" ? [stdout] : stdout.trimEnd().split("\n");
      for (const one of documents) JSON.parse(one);
    }
    const colored = await runMain([...(LOOKS[1] ?? []), ...at], { FORCE_COLOR: "1" });
    expect(colored.stdout).toContain("\x1b[");
    expectClean(["inspect"], colored);
  });

  test("is changed by every command, with every file that a run writes", async () => {
    await on(["recoverdata", `--plan_out=${fresh("plan.json")}`]);
    for (const [index, words] of CHANGES.entries()) {
      const [format = ""] = ["html", "md", "json"].slice(index % 3);
      const isRun = !["confset", "restore"].includes(words[0] ?? "");
      const hook = `env > '${fresh("env")}'; cat > '${fresh("facts.json")}'; echo "$OPENMLDB_OPS_RUN_HEADLINE"`;
      const outputs = [`--report=${fresh(`r.${format}`)}`, `--textfile=${fresh("m.prom")}`];
      await on([
        ...words,
        ...CHANGING.slice(isRun ? 0 : 1),
        `--log_file=${fresh("log")}`,
        ...(isRun ? [...outputs, `--post_hook=${hook}`] : []),
        ...(index % 2 === 0 ? ["--output=ndjson"] : []),
      ]);
    }
    expect(sandbox.model.healthy()).toEqual([]);
    await on(["verify", "--deep", "--show_keys", `--state_dir=${state}`]);
  });

  test("shows its history, and each run", async () => {
    const { stdout } = await on(["history", `--state_dir=${state}`, "--output=json"]);
    const { runs } = JSON.parse(stdout) as { runs: { id: string }[] };
    expect(runs.length).toBeGreaterThan(15);
    for (const { id } of runs.slice(0, 5)) {
      await on(["history", id, `--state_dir=${state}`, `--report=${fresh("r.html")}`]);
      await on(["history", id, `--state_dir=${state}`, "--output=json"]);
    }
  });

  test("completes names", async () => {
    const shownDatabases = ["INFORMATION_SCHEMA", "__INTERNAL_DB", "__PRE_AGG_DB", "db1"].map(
      (db) => `--db=${db}`,
    );
    for (const flag of ["--db=", "--table=", "--endpoint="]) {
      for (const shell of ["", "fish"]) {
        const line = `openmldb-ops addreplica ${at.join(" ")} ${flag}`;
        const result = await runMain(["__complete", line, "", shell]);
        // Names that a terminal cannot show can be neither read in a list nor typed: they are left out.
        const shown = result.stdout.split("\n").map((name) => name.trim());
        expect(shown, flag).toEqual(flag === "--db=" ? [...shownDatabases, ""] : [""]);
        expectClean([line], result);
      }
    }
  });

  test("and no written file contains any of them raw", () => {
    const written = filesIn(folder);
    expect(written.length).toBeGreaterThan(100);
    for (const { path, content } of written) {
      expect(rawIn(content), path).toBeUndefined();
      if (path.endsWith(".html")) expect(content).not.toContain("<img src=x");
    }
  });
});

/** Commands that together read every answer; running them shows which fields each command reads. */
const READERS: readonly (readonly string[])[] = [
  ["inspect", "--output=json"],
  ["showtable"],
  ["showopstatus"],
  ["showdb"],
  ["confget"],
  ["gettablestatus"],
  ["getfollower", "8", "0", "--endpoint=tablet-1"],
  ["showtablet"],
  ["recoverdata", "--dry_run"],
];

/** Fields of calls that only special cases make. Texts of the same kinds are printed by the same code. */
const UNREAD: readonly string[] = [
  "openmldb.api.AddReplicaResponse.msg",
  "openmldb.api.GetManifestResponse.msg",
  "openmldb.api.Manifest.name",
  "openmldb.api.TableMeta.replicas",
  "openmldb.api.TraverseResponse.msg",
  "openmldb.api.TraverseResponse.pk",
  "openmldb.nameserver.GetTablePartitionResponse.msg",
];

describe("each field of text of every answer, one by one", () => {
  const answers = [NameServer, TabletServer].flatMap((service) =>
    Object.values(service.method).map((method) => method.output),
  );
  const met = new Map<string, (readonly string[])[]>();

  beforeAll(async () => {
    world.rewrite = (text) => text;
    await on(["changeleader", "t0", "--db=db1", "--pid=0", "--candidate=auto", ...CHANGING]);
    await sandbox.outage({ withNameservers: false });
  });

  test("commands that only read cover most of them", async () => {
    for (const words of READERS) {
      const fields = new Set<string>();
      world.rewrite = (text, field) => {
        fields.add(field);
        return text;
      };
      await on(words);
      for (const field of fields) met.set(field, [...(met.get(field) ?? []), words]);
    }
    expect(met.size).toBeGreaterThan(25);
  });

  test.each([
    ["hostile", HOSTILE],
    ["100 kB long", "x".repeat(100_000)],
  ])("%s", async (_what, text) => {
    for (const [field, readers] of met) {
      world.rewrite = (old, of) => (of === field ? text : old);
      for (const words of readers.slice(-1)) {
        const { stderr } = await on(words);
        for (const line of stderr.split("\n")) {
          expect(line.length, `${field}: ${line.slice(0, 300)}`).toBeLessThan(2_000);
        }
      }
    }
  });

  test("a recovery covers the others", async () => {
    const others = textFields(answers).filter((field) => !met.has(field));
    // GeneralResponse.msg makes ConfSet fail, without which no change is made.
    const refusal = "openmldb.nameserver.GeneralResponse.msg";
    world.rewrite = (text, field) => (field === refusal ? HOSTILE : text);
    const { stderr } = await on(["confset", "auto_failover", "false", `--state_dir=${state}`]);
    expect(stderr).toContain("was refused");
    for (const which of [/\.msg$/, /(?<!\.msg)$/]) {
      await sandbox.outage({ withNameservers: false });
      const all = others.filter((field) => field !== refusal && which.test(field));
      world.rewrite = (text, field) => (all.includes(field) ? HOSTILE : text);
      await on(["recoverdata", "--timeout=1s", `--report=${fresh("r.html")}`, ...CHANGING]);
    }
    const unread = others.filter((field) => !world.met.has(field));
    expect(UNREAD).toEqual(expect.arrayContaining(unread));
    for (const { path, content } of filesIn(folder)) expect(rawIn(content), path).toBeUndefined();
  });
});
