import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { COMMANDS } from "../src/cli/command-table.js";
import { variableOf } from "../src/cli/flag-parse.js";
import { confirmed } from "../src/commands/ask.js";
import type { CommandIo } from "../src/commands/command.js";
import { planDigest } from "../src/commands/plan-store.js";
import { idOf } from "../src/planning/saved-plan.js";
import { type Sandbox, startSandbox } from "../src/sandbox/start.js";
import { compactJson } from "../src/util/document.js";
import { printable } from "../src/util/text.js";
import { HOSTILE, rawIn } from "./helpers/hostile-text.js";
import { expectClean, runMain } from "./helpers/run-main.js";

// Many runs in one test: on a busy machine they take a while.
vi.setConfig({ testTimeout: 120_000 });

const folder = mkdtempSync(join(tmpdir(), "openmldb-ops-printed-"));
let sandbox: Sandbox;
let at: readonly string[] = [];
let files = 0;

beforeAll(async () => {
  sandbox = await startSandbox({ tables: 1, partitions: 1, replicas: 2, rows: 5, speed: 20 });
  at = [`--zk_cluster=${sandbox.zkCluster}`, `--zk_root_path=${sandbox.zkRootPath}`];
});
afterAll(async () => {
  await sandbox.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs a command line, and checks that its output is clean. */
async function clean(argv: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const result = await runMain(argv, environment);
  expectClean(argv, result);
  return result;
}

function file(content: string): string {
  const path = join(folder, `d${files++}`);
  writeFileSync(path, content);
  return path;
}

/** A document whose texts and field names are made hostile, except those to be kept. */
function hostileDocument(value: unknown, kept: RegExp, where = ""): unknown {
  if (typeof value === "string") return kept.test(where) ? value : `${value}${HOSTILE}`;
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((one) => hostileDocument(one, kept, where));
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [key, hostileDocument(one, kept, `${where}.${key}`)]),
  );
}

const RUN = "20260101T000000Z-0000000";
const TIME = { time: "2026-01-01T00:00:00.000Z" };
const STEP = { partition: "p", step: "s", endpoint: "e", why: "w" };
const TARGET = { endpoint: "e", db: "d", table: "t", tid: 1, pid: 0 };
const TABLET = { endpoint: "e", health: "ok", detail: "d", replicas: 1, leaders: 1, alive: 1 };
/** A journal with a record of every kind. */
const JOURNAL: readonly object[] = [
  {
    ...{ kind: "run", journalVersion: 1, id: `${RUN}1`, ...TIME, host: "h", pid: 1, user: "u" },
    ...{ version: "0.1.0", command: "recoverdata", commandLine: ["a"], flags: { db: "d" } },
    ...{ cluster: { zkCluster: ["zk1:2181"], zkRootPath: "/openmldb" }, resumes: `${RUN}2` },
  },
  { kind: "note", ...TIME, text: "t" },
  { kind: "warning", ...TIME, text: "t" },
  {
    kind: "observed",
    ...TIME,
    when: "before",
    nameserver: "n",
    tablets: [{ ...TABLET, loaded: 1 }],
  },
  {
    ...{ kind: "plan", ...TIME, partition: "p", round: 1, leader: "l", blocked: "b", notes: ["n"] },
    steps: [{ step: "s", endpoint: "e", why: "w" }],
  },
  { kind: "intent", ...TIME, call: "c1", method: "m", target: TARGET, args: ["a", { b: "c" }] },
  { kind: "outcome", ...TIME, call: "c1", isOk: false, error: "e" },
  { kind: "step-started", ...TIME, ...STEP },
  { kind: "step-ended", ...TIME, ...STEP, result: "failed", detail: "d", tookMs: 1 },
  { kind: "partition-ended", ...TIME, partition: "p", failure: "f" },
  {
    ...{ kind: "end", ...TIME, result: "failed", exitCode: 1, detail: "d" },
    counts: { intents: 1, done: 0, failed: 1 },
  },
];
const KEPT_IN_JOURNAL = /\.(kind|time|when|health|id|call|resumes)$/;

describe("hostile text in files", () => {
  test("journals, and the names of files beside them", async () => {
    const runs = join(folder, "state", "runs");
    mkdirSync(runs, { recursive: true });
    const lines = JOURNAL.map((one) => JSON.stringify(hostileDocument(one, KEPT_IN_JOURNAL)));
    writeFileSync(join(runs, `${RUN}1.jsonl`), `${lines.join("\n")}\n`);
    writeFileSync(join(runs, `${RUN}3.jsonl`), `${HOSTILE}\n`);
    writeFileSync(join(runs, `${HOSTILE.replaceAll("/", "")}.jsonl`), "{}\n");
    const state = `--state_dir=${join(folder, "state")}`;
    for (const more of [[], ["--output=json"]]) {
      expect((await clean(["history", state, ...more])).stdout).toContain("<img");
      const shown = await clean(["history", `${RUN}1`, state, ...more]);
      for (const text of ["p", "b", "d", "e", "t", "u", "h"]) {
        expect(shown.stdout).toContain(`${text}\\`);
      }
    }
    for (const format of ["html", "md", "json"]) {
      const report = join(folder, `r.${format}`);
      await clean(["history", `${RUN}1`, state, `--report=${report}`]);
    }
    await clean(["recoverdata", "--resume", "--yes", state, ...at]);
  });

  test("plans with a valid id, and changed ones", async () => {
    const path = join(folder, "plan.json");
    await sandbox.outage({ withNameservers: false });
    await clean(["recoverdata", `--plan_out=${path}`, ...at]);
    const plan = JSON.parse(readFileSync(path, "utf8")) as object;
    const keep = /\.(kind|formatVersion|id|command|rootPath|code|method|role|checks)$|\.only\./;
    for (const kept of [keep, /\.(kind|command)$/, /\.(kind|rootPath)$/]) {
      const {
        kind,
        formatVersion,
        id: _,
        ...content
      } = hostileDocument(plan, kept) as Record<string, unknown>;
      const text = JSON.stringify(content);
      const id = idOf([compactJson(text)], planDigest);
      const whole = `{"kind":"${String(kind)}","formatVersion":${String(formatVersion)},"id":"${id}",${text.slice(1)}`;
      const { code, stderr } = await clean([
        "recoverdata",
        `--apply=${file(whole)}`,
        "--yes",
        ...at,
      ]);
      expect([2, 6], stderr).toContain(code);
    }
    const { stderr } = await clean(["recoverdata", `--apply=${file(`{"${HOSTILE}`)}`, ...at]);
    expect(stderr).toContain("not a plan");
  });

  test("decisions, statfiles, named clusters, OpenMLDB's own configuration, recordings", async () => {
    const head = `{"kind":"openmldb-ops decisions","formatVersion":1,"rootPath":"/openmldb"}\n`;
    const decided = {
      partition: { db: HOSTILE, table: HOSTILE, tid: 1, pid: 0 },
      ...{ cause: HOSTILE, why: HOSTILE, choice: HOSTILE },
      candidates: [{ endpoint: HOSTILE, offset: "1", loss: { atLeast: "0", atMost: null } }],
    };
    const json = JSON.stringify(HOSTILE);
    const of: readonly (readonly string[])[] = [
      ["recoverdata", `--decisions=${file(`${head}${JSON.stringify(decided)}\n`)}`, "--yes"],
      ["recoverdata", `--decisions=${file(`{"kind":${json}}\n`)}`],
      ["post-upgrade", "--endpoints=a:1", `--statfile=${file(`a:1,${HOSTILE},t,1,0,x\n`)}`],
      ["post-upgrade", "--endpoints=a:1", `--statfile=${file(`#cluster,${HOSTILE},/x,0,0,\n`)}`],
      ["post-upgrade", "--endpoints=a:1", `--statfile=${file(`${HOSTILE}\n`)}`],
      ["verify", "--cluster=a", `--config=${file(`{"clusters":{"a":{${json}:"x"}}}`)}`],
      ["verify", "--cluster=a", `--config=${file(`{"clusters":{${json}:{}}}`)}`],
      [
        "config",
        "show",
        "--cluster=a",
        `--config=${file(`{"clusters":{"a":{"zk_root_path":${json}}}}`)}`,
      ],
      ["sandbox", `--from=${file(`{"zk_root_path":"/x","znodes":{${json}:1},"rpc":[]}`)}`],
    ];
    for (const words of of) await clean([...words, ...(words[0] === "sandbox" ? [] : at)]);
    const home = join(folder, "home");
    mkdirSync(join(home, "conf"), { recursive: true });
    writeFileSync(join(home, "conf", "openmldb-env.sh"), `export OPENMLDB_ZK_CLUSTER=${HOSTILE}\n`);
    writeFileSync(
      join(home, "conf", "nameserver.flags"),
      `--zk_cluster=${HOSTILE}\n--zk_root_path=/${HOSTILE}\n`,
    );
    await clean(["config", "show", `--openmldb_home=${home}`]);
    await clean(["config", "show", `--openmldb_home=${home}`, "--output=json"]);
  });
});

describe("hostile text in the command line and the environment", () => {
  const nowhere = { zk_cluster: "127.0.0.1:1", zk_root_path: "/x", zk_timeout: "100ms" };
  /** Each flag with the first command that has it, except flags that create files or run hooks. */
  const flags = new Map(
    COMMANDS.filter((one) => one.name !== "sandbox")
      .toReversed()
      .flatMap((entry) => entry.specs.map(({ name }) => [name, entry] as const))
      .filter(([name]) => !/report|textfile|log_file|_out$|post_hook/.test(name)),
  );
  /** A valid command line without one flag, which reaches no cluster. */
  const without = (flag: string, { name: command, specs }: (typeof COMMANDS)[number]) => [
    command,
    ...specs.flatMap(({ name, absent }) => {
      const value = new Map(Object.entries(nowhere)).get(name);
      const needed = value ?? ("example" in absent ? absent.example : undefined);
      return name === flag || needed === undefined ? [] : [`--${name}=${needed}`];
    }),
  ];

  test("in every flag, in every variable, and in place of commands and flags", async () => {
    const shown = new Set<string>();
    for (const [flag, entry] of flags) {
      const words = without(flag, entry);
      for (const result of [
        await clean([...words, `--${flag}=${HOSTILE}`]),
        await clean(words, { [variableOf(flag)]: HOSTILE }),
      ]) {
        expect(result.stderr, flag).not.toMatch(/is a flag of|given 2 times/);
        if (/x1b|u001b/.test(result.stdout + result.stderr)) shown.add(flag);
      }
    }
    expect(flags.size).toBeGreaterThan(70);
    // The other flags accept any text, and are not shown if no cluster is reached.
    expect(shown.size).toBeGreaterThan(50);
    for (const words of [[HOSTILE], [`--${HOSTILE}=1`], ["inspect", HOSTILE], ["help", HOSTILE]]) {
      expect((await clean(words)).code).toBe(2);
    }
  });

  test("in the names of files that are written", async () => {
    for (const flag of [
      "report",
      "textfile",
      "log_file",
      "report_file",
      "decisions_out",
      "plan_out",
    ]) {
      for (const ending of [".html", ".prom"]) {
        await clean([
          "recoverdata",
          "--yes",
          `--${flag}=${folder}/${HOSTILE.replaceAll("/", "")}${ending}`,
          ...at,
        ]);
        await clean(["recoverdata", "--yes", `--${flag}=${folder}/no/${HOSTILE}${ending}`, ...at]);
      }
    }
  });

  test("in a question", async () => {
    let output = "";
    const stdin = new PassThrough();
    stdin.end("no\n");
    const io = {
      stderr: {
        write: (text: string) => {
          output += printable(text);
        },
      },
      ...{ stdin, isInteractiveStdin: true },
    } as unknown as CommandIo;
    const flags = { yes: false, noInput: false };
    const { signal } = new AbortController();
    await expect(confirmed(`change ${HOSTILE}? `, { flags, io, signal })).rejects.toThrow(
      "not yes",
    );
    expect(rawIn(output)).toBeUndefined();
  });
});

/** Commands that read lock and marker of other runs; the last one removes them. */
const LOOKS: readonly (readonly string[])[] = [
  ["inspect", "--output=json"],
  ["recoverdata", "--dry_run"],
  ["restore"],
];

test("hostile text in the znodes of this tool", async () => {
  const root = `${sandbox.zkRootPath}/ops_tool`;
  const owner = { version: 1, runId: "r", host: "h", pid: 1, user: "u", command: "c", time: "t" };
  const of = hostileDocument(owner, /^$/) as object;
  const { tree } = sandbox.model;
  const session = tree.newSession();
  const nodes: readonly (readonly [string, unknown, bigint])[] = [
    ["lock", { ...of, sessionTimeoutMs: 4_000 }, session],
    ["lock", HOSTILE, session],
    ["lock", { ...of, sessionTimeoutMs: 4_000 }, 0n],
    ["auto_failover", { ...of, original: true }, 0n],
    ["auto_failover", { ...of, original: HOSTILE }, 0n],
    ["seen/1_0", { [HOSTILE]: HOSTILE }, 0n],
    [`seen/${"\u202e"}`, HOSTILE, 0n],
    [
      `history/${RUN}1`,
      {
        run: hostileDocument(JOURNAL[0], KEPT_IN_JOURNAL),
        end: hostileDocument(JOURNAL.at(-1), KEPT_IN_JOURNAL),
      },
      0n,
    ],
    [`history/${RUN}2`, HOSTILE, 0n],
  ];
  for (const [name, data, ephemeralOwner] of nodes) {
    const path = `${root}/${name}`;
    if (tree.get(path) !== undefined) tree.remove(path);
    tree.create(path, Buffer.from(JSON.stringify(data)), { parents: true, ephemeralOwner });
    const reads = name.startsWith("history/") ? [["history"], ["history", `${RUN}1`]] : LOOKS;
    for (const words of reads) await clean([...words, ...at]);
    if (tree.get(path) !== undefined) tree.remove(path);
  }
});
