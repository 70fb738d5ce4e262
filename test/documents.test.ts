import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import type { Command, CommandIo } from "../src/commands/command.js";
import * as history from "../src/commands/history.js";
import { OPERATIONS } from "../src/commands/operations.js";
import { planDigest } from "../src/commands/plan-store.js";
import { recoverDataCommand } from "../src/commands/recover.js";
import * as verify from "../src/commands/verify.js";
import { OpsError } from "../src/errors.js";
import { exitCodeOf } from "../src/exit-codes.js";
import { idOf } from "../src/planning/saved-plan.js";
import { cpuTimer } from "./helpers/cpu-time.js";
import { flagsOf } from "./helpers/flags-of.js";
import "./helpers/fixed-cases.js";

const base = mkdtempSync(join(tmpdir(), "openmldb-ops-documents-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));

/** No server listens there, so a document that is accepted ends the command with another exit code. */
const NOWHERE = ["--zk_cluster=127.0.0.1:1", "--zk_root_path=/openmldb", "--zk_timeout=100ms"];
const [TABLET] = ["--endpoints=127.0.0.1:1"];

/** Every document that a flag names. */
const DOCUMENTS: readonly {
  readonly name: string;
  readonly command: unknown;
  readonly argv: (path: string) => readonly string[];
}[] = [
  {
    name: "plan of a recovery",
    command: recoverDataCommand,
    argv: (path) => ["recoverdata", `--apply=${path}`],
  },
  {
    name: "plan of an operation",
    command: OPERATIONS.scaleIn,
    argv: (path) => ["scalein", TABLET, `--apply=${path}`],
  },
  {
    name: "decisions of the operator",
    command: recoverDataCommand,
    argv: (path) => ["recoverdata", `--decisions=${path}`],
  },
  {
    name: "file of named clusters",
    command: verify,
    argv: (path) => ["verify", "--cluster=prod", `--config=${path}`],
  },
  {
    name: "statfile of pre-upgrade",
    command: OPERATIONS.preUpgrade,
    argv: (path) => ["pre-upgrade", TABLET, `--statfile=${path}`],
  },
  {
    name: "statfile of post-upgrade",
    command: OPERATIONS.postUpgrade,
    argv: (path) => ["post-upgrade", TABLET, `--statfile=${path}`],
  },
];

let files = 0;

function processIo() {
  const output: string[] = [];
  const add = (text: string) => output.push(text);
  const io: CommandIo = {
    stdout: { write: add },
    stderr: { write: add },
    stdin: Readable.from([]),
    isInteractiveStdin: false,
    isInteractiveStderr: false,
    isInteractiveStdout: false,
    hasColor: false,
    columns: 80,
    rows: 24,
    log: { error: add, warn: add, info: add, debug: () => {}, record: () => {} },
    signal: new AbortController().signal,
    onSecondSignal: () => {},
  };
  return { io, output: () => output.join("\n") };
}

/**
 * The limit of processor time to refuse a document, milliseconds. It takes half a second at most on a slow machine; work that
 * grows with the square of the size takes minutes.
 */
const REFUSAL_MS = 10_000;

/** Runs a command with a document. @returns The error that it ends with. */
async function refusalOf(
  { command, argv }: (typeof DOCUMENTS)[number],
  content: string | Uint8Array,
): Promise<OpsError> {
  const path = join(base, `d${files++}`);
  writeFileSync(path, content);
  const spentMs = cpuTimer();
  try {
    const words = [...argv(path), ...NOWHERE, `--state_dir=${base}/state`];
    await (command as Command<unknown>).run(flagsOf(words), processIo().io);
  } catch (error) {
    if (!(error instanceof OpsError)) throw error;
    expect(spentMs()).toBeLessThan(REFUSAL_MS);
    return error;
  } finally {
    rmSync(path);
  }
  throw new Error("it was taken");
}

async function expectRefusal(one: (typeof DOCUMENTS)[number], content: string | Uint8Array) {
  const error = await refusalOf(one, content);
  expect([2, 6], error.message).toContain(exitCodeOf(error));
  expect(error.message).not.toContain("\n");
  expect(error.message.length).toBeLessThan(1_000);
}

/** Documents with a valid beginning and arbitrary text after it. */
const nearlyRight = fc
  .record(
    {
      kind: fc.constantFrom("openmldb-ops plan", "operation-plan", "recovery-plan"),
      formatVersion: fc.constantFrom(1, 2, "1"),
      schemaVersion: fc.constantFrom(1, 2, "1"),
      rootPath: fc.constantFrom("/openmldb", "/other", 1),
      command: fc.constantFrom("recoverdata", "scalein", 7),
      words: fc.jsonValue(),
      id: fc.jsonValue(),
      only: fc.jsonValue(),
      plan: fc.oneof(fc.jsonValue(), fc.record({ actions: fc.jsonValue(), notes: fc.jsonValue() })),
      partitions: fc.array(fc.jsonValue()),
    },
    { requiredKeys: [] },
  )
  .map((value) => JSON.stringify(value));

const anything = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 500 }),
  fc.json(),
  fc.string({ minLength: 1 }),
  nearlyRight,
);

/** Blank documents are excluded: an empty statfile is valid. */
const isBlank = (content: string | Uint8Array) => Buffer.from(content).toString().trim() === "";

describe.each(DOCUMENTS)("the $name", (one) => {
  test("an invalid document is refused at once, with one line (exit 2 or 6)", async () => {
    await fc.assert(
      fc.asyncProperty(
        anything.filter((content) => !isBlank(content)),
        (content) => expectRefusal(one, content),
      ),
      { numRuns: 60 },
    );
  });

  test.each([
    ["nested 200,000 levels deep", "[".repeat(200_000)],
    ["nested in objects", `{"a":`.repeat(100_000)],
    ["one text of 20 MB", JSON.stringify("x".repeat(20_000_000))],
    ["a million lines", "a,b\n".repeat(1_000_000)],
    [
      "names of inherited object properties",
      '{"__proto__":{"kind":1},"constructor":1,"toString":2}',
    ],
    ["escapes and bidi", '{"kind":"\u001b[2J\u202e","command":"\u001b]0;x\u0007"}\n'],
    ["null", "null"],
    ["half a character", Buffer.from([0xff, 0xfe, 0xc3])],
  ])("%s", async (_what, content) => {
    await expectRefusal(one, content);
  });
});

describe("a plan of 30 MB with a valid beginning and id", () => {
  const [one] = DOCUMENTS as [(typeof DOCUMENTS)[number]];
  const step = '{"kind":"wait-ops","endpoint":null,"why":"","expects":""}';
  const planWith = (list: string, item: string, count: number, last: string, separator = ",") => {
    const items = Array(count).fill(item).join(separator);
    const only = '{"db":null,"table":null,"pids":null,"endpoint":null,"isForced":false}';
    const lists = { accept: "[]", partitions: "[]", others: "[]", facts: "[]", notes: "[]" };
    const [before, behind] = separator === "," ? ["[", "]"] : ["\n[", "\n]"];
    const all = { ...lists, [list]: `${before}${items}${separator}${last}${behind}` };
    const basis = '{"nameserver":"","tablets":[],"autoFailover":true,"partitions":0}';
    const content = `{"command":"recoverdata","words":[],"rootPath":"/openmldb","method":"direct","only":${only},"accept":${all.accept},"madeAt":"","basis":${basis},"partitions":${all.partitions},"others":${all.others},"facts":${all.facts},"notes":${all.notes}}`;
    const id = idOf([content.replaceAll("\n", "")], planDigest);
    return `{"kind":"openmldb-ops plan","formatVersion":2,"id":"${id}",${content.slice(1)}`;
  };

  test.each([
    ["others", step, 500_000, "7", /others\[500000\]: /],
    ["others", "7", 1_000_000, "7", /others\[0\]: /],
    ["notes", '"a note of some length"', 1_000_000, "7", /notes\[1000000\]: /],
    ["accept", "[[[[]]]]", 400_000, "7", /too many empty/],
    ["partitions", '{"id":{"table":"t0","tid":1}}', 400_000, "7", /partitions\[0\]\.id\.db: /],
  ])("%s of %s, %i times", async (list, item, count, last, problem) => {
    const content = planWith(list, item, count, last);
    const error = await refusalOf(one, content);
    expect(error.message).toMatch(problem);
    expect(exitCodeOf(error)).toBe(2);
  });

  // Lines as `--plan_out` writes them, which are read one after another.
  const round = '{"leader":null,"steps":[],"notes":[],"blocked":null}';
  const partition = (end: string) =>
    `{"id":{"db":"d","table":"t","tid":1,"pid":1},"problems":[],"rounds":[${round}],"facts":[${end}]}`;
  test.each([
    ["no object", "7", /partitions\[100000\]: expected object/],
    ["a field of a wrong type", partition('{"fact":"a","value":1}'), /\]\.facts\[0\]\.value: /],
    ["a wrong note", partition("").replace('[],"bl', '[7],"bl'), /\]\.rounds\[0\]\.notes\[0\]: /],
    ["no JSON", '{"id":', /partitions\[100000\]: it is not JSON/],
  ])("100,000 partitions in lines, the last one %s", async (_what, last, problem) => {
    const content = planWith("partitions", partition(""), 100_000, last, "\n,");
    const error = await refusalOf(one, content);
    expect(error.message).toMatch(problem);
    expect(exitCodeOf(error)).toBe(2);
  });

  test.each([
    ["too many partitions", "{}", 400_001, /too many partitions/],
    // Braces in texts are counted too.
    [
      "partitions of too many parts",
      partition(`{"fact":"${"{".repeat(1e6)}","value":""}`),
      6,
      /too many parts/,
    ],
  ])("%s", async (_what, item, count, problem) => {
    const error = await refusalOf(one, planWith("partitions", item, count, item, "\n,"));
    expect(error.message).toMatch(problem);
  });

  test("a large plan that is not in lines is not parsed", async () => {
    const error = await refusalOf(one, planWith("notes", '"12345678901234567"', 1_700_000, '""'));
    expect(error.message).toMatch(/longer than 33554432 characters, and not in lines/);
  });

  test("a truncated or changed document is detected without parsing it", async () => {
    const content = planWith("others", step, 500_000, step);
    await expectRefusal(one, content.slice(0, -1));
    const edited = await refusalOf(one, content.replace("/openmldb", "/openmlda"));
    expect(edited.message).toContain("was edited after it was made");
  });
});

/** Characters that must not reach a terminal, except line breaks. */
const UNSAFE = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/u;

/** Lists the runs of a folder, as a table and as JSON. */
async function listed(stateDir: string) {
  for (const more of [[], ["--output=json"]]) {
    const { io, output } = processIo();
    const spentMs = cpuTimer();
    const flags = flagsOf(["history", `--state_dir=${stateDir}`, ...more]);
    const exitCode = await (history as unknown as Command<unknown>).run(flags, io);
    expect(spentMs()).toBeLessThan(REFUSAL_MS);
    expect(exitCode).toBe(0);
    expect(output()).not.toMatch(UNSAFE);
    if (more.length > 0) JSON.parse(output());
  }
}

const RUN = "20260101T000000Z-0000000";
const START = {
  kind: "run",
  journalVersion: 1,
  time: "2026-01-01T00:00:00.000Z",
  host: "h",
  pid: 1,
  user: "u",
  version: "0.1.0",
  command: "recoverdata",
  commandLine: [],
  flags: {},
  cluster: { zkCluster: ["zk1:2181"], zkRootPath: "/openmldb" },
};

describe("any files in the state folder: history lists the runs, and its output is safe", () => {
  const line = fc.oneof(
    fc.json(),
    fc.string(),
    fc
      .record({
        kind: fc.constantFrom("run", "intent", "outcome", "plan", "step-ended", "end", "toString"),
        time: fc.constantFrom("2026-01-01T00:00:00.000Z", "never", 7),
        text: fc.string(),
        call: fc.constantFrom("c1", 1),
        isOk: fc.jsonValue(),
        exitCode: fc.jsonValue(),
        counts: fc.jsonValue(),
        args: fc.jsonValue(),
        target: fc.jsonValue(),
      })
      .map((value) => JSON.stringify(value)),
    fc
      .record({
        host: fc.string({ unit: "binary" }),
        user: fc.string({ unit: "binary" }),
        pid: fc.integer(),
      })
      .map((more) => JSON.stringify({ ...START, id: `${RUN}0`, ...more })),
  );

  test("names, lines and bytes of any kind", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(line), { maxLength: 6 }),
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 3 }),
        fc.array(fc.string({ unit: "binary", minLength: 1, maxLength: 20 }), { maxLength: 3 }),
        async (journals, garbage, names) => {
          const stateDir = join(base, `s${files++}`);
          mkdirSync(join(stateDir, "runs"), { recursive: true });
          const put = (name: string, content: string | Uint8Array) =>
            writeFileSync(join(stateDir, "runs", name), content);
          for (const [index, lines] of journals.entries())
            put(`${RUN}${index}.jsonl`, lines.join("\n"));
          for (const [index, bytes] of garbage.entries()) put(`${RUN}${index + 6}.jsonl`, bytes);
          for (const name of names)
            put(`${encodeURI(name.replaceAll(/[\0/\ud800-\udfff]/g, "_"))}.jsonl`, "{}\n");
          await listed(stateDir);
          rmSync(stateDir, { recursive: true });
        },
      ),
      { numRuns: 60 },
    );
  });

  test("devices, pipes, folders, links, a name with escapes, and a journal of 600 MB that is empty space", async () => {
    const stateDir = join(base, "odd");
    const runs = join(stateDir, "runs");
    mkdirSync(join(runs, `${RUN}1.jsonl`), { recursive: true });
    execFileSync("mkfifo", [join(runs, `${RUN}2.jsonl`)]);
    symlinkSync("/dev/zero", join(runs, `${RUN}3.jsonl`));
    symlinkSync(runs, join(runs, "loop"));
    writeFileSync(join(runs, "\u001b[2J\u202e.jsonl"), "{}\n");
    const large = join(runs, `${RUN}4.jsonl`);
    writeFileSync(large, "");
    truncateSync(large, 600 * 2 ** 20);
    writeFileSync(join(runs, `${RUN}5.jsonl`), `${JSON.stringify({ ...START, id: `${RUN}5` })}\n`);
    await listed(stateDir);
    const { io, output } = processIo();
    const flags = flagsOf(["history", `--state_dir=${stateDir}`, "--output=json"]);
    await (history as unknown as Command<unknown>).run(flags, io);
    const { runs: shown } = JSON.parse(output()) as {
      runs: { id: string; command: string | null; result: string }[];
    };
    expect(shown.map((one) => one.result)).toEqual(["unfinished", ...Array(4).fill("unknown")]);
    expect(shown.filter((one) => one.command !== null)).toMatchObject([{ id: `${RUN}5` }]);
  });
});
