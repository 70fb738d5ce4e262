import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { planDigest } from "../src/commands/plan-store.js";
import { observeAndPlan } from "../src/execution/observe-and-plan.js";
import { inspectionScreen } from "../src/inspect/text-overview.js";
import { verdictText } from "../src/inspect/text-report.js";
import type { OperationReport } from "../src/model/report.js";
import type { Step } from "../src/model/step.js";
import { finish } from "../src/model/work.js";
import { planText, questionText } from "../src/planning/plan-text.js";
import { sizeOf } from "../src/planning/recovery-plan.js";
import { savedPlan } from "../src/planning/saved-plan.js";
import { operationQuestion, operationText } from "../src/report/operation-text.js";
import { reportText } from "../src/report/recovery-report.js";
import { paint, unpainted } from "../src/util/text.js";
import { folded } from "../src/util/wrap.js";
import { allLines } from "./helpers/all-lines.js";
import { inspectionOf } from "./helpers/inspected.js";
import { print } from "./helpers/printing.js";
import { clusterOfScenario } from "./helpers/scenario.js";

const FOLDER = new URL("scenarios/", import.meta.url);
const SCENARIOS = readdirSync(FOLDER).filter((name) => name.endsWith(".scenario"));
const [COLUMNS, ROWS] = [80, 24];
const MAKER = { command: "recoverdata", words: ["recoverdata"], rootPath: "/openmldb" };

/** The lines on a terminal of 80 columns. */
function shown(lines: Iterable<string>): string[] {
  return folded([...lines].join("\n"), COLUMNS).split("\n");
}

/** Lines that are too wide for the terminal, except commands, which stay on one line. */
function tooWide(lines: readonly string[]): string[] {
  return lines.filter((line) => line.length > COLUMNS && !/^ *openmldb-ops /.test(line));
}

test.each(SCENARIOS)(
  "the output for %s fits 80 columns, and the question 24 lines",
  async (name) => {
    const virtual = await clusterOfScenario(readFileSync(new URL(name, FOLDER), "utf8"));
    const { signal } = new AbortController();
    const { plan } = await virtual.clock.run(observeAndPlan(virtual.cluster, { signal }), 600_000);
    const size = finish(sizeOf(plan));
    const saved = finish(savedPlan(plan, MAKER, planDigest));
    const inspection = await inspectionOf(virtual);
    const effort = { tookMs: 12_345, calls: 12_345 };
    const screen = { hasColor: false, columns: COLUMNS, rows: ROWS };
    const question = shown(questionText(plan, size, "production at /openmldb"));
    const ended = await virtual.recover();
    if (!("report" in ended)) throw ended.error;
    const texts = {
      plan: shown(allLines(planText(saved, size))),
      question,
      overview: shown(finish(inspectionScreen(inspection, effort, screen, false))),
      inspection: shown(finish(inspectionScreen(inspection, effort, screen, true))),
      verdict: shown([`verify: ${verdictText(inspection)}`]),
      report: shown(allLines(reportText(ended.report))),
    };
    for (const [what, lines] of Object.entries(texts)) expect(tooWide(lines), what).toEqual([]);
    expect(question.length).toBeLessThanOrEqual(ROWS);
    expect(texts.overview.length).toBeLessThanOrEqual(ROWS);
    expect(question.at(-1)).toMatch(/continue\? \[y\/N\] $/);
  },
);

describe("a line that is too long for the terminal", () => {
  const command = `openmldb-ops --cmd=recoverdata --zk_cluster=${"h:1,".repeat(30)}h:2`;

  test("is broken at its spaces, and its continuation is indented", () => {
    expect(folded("short\n  one two three four\n", 12)).toBe(
      "short\n  one two\n    three\n    four\n",
    );
    expect(folded("go on with all of it? ", 12)).toBe("go on with\n  all of it? ");
  });

  test("keeps a command whole, on a line of its own", () => {
    expect(folded(`next, to see all: ${command}\n`, 80)).toBe(`next, to see all:\n  ${command}\n`);
    expect(folded(`  ${command}`, 80)).toBe(`  ${command}`);
    const long = `${"word ".repeat(30)}: ${command}; then wait`;
    expect(folded(long, 80).split("\n").slice(-2)).toEqual([`  ${command}`, "  ; then wait"]);
    expect(
      folded(`${"word ".repeat(30)}(${command}).`, 80)
        .split("\n")
        .at(-1),
    ).toBe(`  ${command}).`);
  });

  test("has each of several commands on its own line, whatever they quote", () => {
    const names = ["db1.`order items`:0", "it's; --x", "a\nb $(reboot) 'c'", "back\\slash 'd"];
    const commands = names.map((name) => print({ cmd: "recoverdata", db: name }));
    const lines = folded(commands.map((one) => `next: ${one}`).join("; or, if not: "), 40);
    expect(lines.split("\n").filter((line) => line.includes("openmldb-ops"))).toEqual(
      commands.map((one) => `  ${one}`),
    );
  });

  test("that begins with the name of the tool as a message is broken too", () => {
    const text = `openmldb-ops: ${"word ".repeat(30)}`.trim();
    expect(tooWide(folded(text, 80).split("\n"))).toEqual([]);
  });

  test("keeps the colour that all of it has", () => {
    const text = paint("one two three", "bad", true);
    expect(folded(text, 9).split("\n").map(unpainted)).toEqual(["one two", "  three"]);
    expect(folded(text, 9).split("\n")[1]).toBe(paint("  three", "bad", true));
  });
});

describe("an operation of 252 moves", () => {
  const id = (pid: number) => ({ db: "db1", table: "t1", tid: 1, pid });
  const steps = Array.from(
    { length: 252 },
    (_, pid): Step => ({
      kind: "migrate",
      id: id(pid),
      endpoint: "10.120.130.140:9527",
      to: "10.120.130.141:9527",
      why: "moves a follower",
    }),
  );
  const notes = Array.from({ length: 20 }, (_, at) => `${"word ".repeat(20)}${at}`);
  const plan = { steps, notes };
  const report = (failed: number): OperationReport => ({
    plan,
    results: steps.map((step, at) => ({
      step,
      outcome: { result: at < failed ? "failed" : "done", detail: "kMigrateOP 30" },
    })),
    complaints: [],
    conclusions: ["10.120.130.140:9527 is empty: the tablet can be stopped"],
    notRestored: undefined,
    hasChanged: true,
    error: undefined,
    figures: undefined,
    calls: 1,
  });
  const OPTIONS = { goOn: "openmldb-ops scalein", isVerbose: false, areNotesKnown: true };

  test("fits its question on one screen", () => {
    const lines = shown(operationQuestion(plan, "prod at /openmldb"));
    expect(tooWide(lines)).toEqual([]);
    expect(lines.length).toBeLessThanOrEqual(ROWS);
    expect(lines.join("\n")).toContain("all 252: migrate x252; each of them: --dry_run");
  });

  test.each([0, 100])(
    "fits its result with %d failures on one screen, and shows notes once",
    (failed) => {
      const lines = shown(operationText(report(failed), { ...OPTIONS, columns: COLUMNS }));
      expect(tooWide(lines)).toEqual([]);
      expect(lines.length).toBeLessThanOrEqual(ROWS);
      expect(lines.filter((line) => line.startsWith("done: "))).toEqual([
        `done: migrate x${252 - failed}`,
      ]);
      expect(lines.filter((line) => line.startsWith("note: "))).toEqual([]);
      expect(lines.at(-1)).toMatch(new RegExp(`^${252 - failed} of 252 actions done`));
    },
  );

  test("shows each action with --verbose; as a table if it fits", () => {
    const all = operationText(report(0), { ...OPTIONS, isVerbose: true, columns: Infinity });
    expect(all.filter((line) => line.startsWith("migrate db1.t1:"))).toHaveLength(252);
    expect(all[0]).toMatch(/^action +result +detail$/);
  });
});
