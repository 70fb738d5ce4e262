import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { StepKind } from "../src/model/step.js";
import { STEPS } from "../src/steps/table.js";
import { playScenario } from "./helpers/scenario.js";

const FOLDER = new URL("scenarios/", import.meta.url);
const SCENARIOS = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".scenario"))
  .sort();

// The file holds its own expected output: `npx vitest run test/scenarios.test.ts -u` rewrites it.
test.each(SCENARIOS)("%s", async (name) => {
  const text = readFileSync(new URL(name, FOLDER), "utf8");
  await expect(await playScenario(text)).toMatchFileSnapshot(`scenarios/${name}`);
});

/** Kinds of steps that no recovery plans, only other commands. The tests of those commands cover them. */
const PLANNED_BY_COMMANDS: readonly StepKind[] = [
  "load-table",
  "mark-table",
  "add-replica",
  "del-replica",
  "migrate",
  "move-in-record",
  "offline-replica",
  "offline-endpoint",
  "recover-endpoint",
  "rejoin",
  "cancel-op",
  "delete-op",
];

const PLAYED = new Map(
  SCENARIOS.map((name) => [name, readFileSync(new URL(name, FOLDER), "utf8")] as const),
);

test("every kind of step that a recovery plans is in a scenario", () => {
  const all = [...PLAYED.values()].join("\n");
  const kinds = Object.keys(STEPS) as StepKind[];
  const isPlayed = (kind: StepKind) => new RegExp(`^\\S+  ${kind} .* (done|failed)`, "m").test(all);
  expect(kinds.filter((kind) => !isPlayed(kind)).sort()).toEqual([...PLANNED_BY_COMMANDS].sort());
});

test.each(["blocked", "attempted: ", "left alone"])(
  "the ending `%s` is in a scenario",
  (ending) => {
    expect([...PLAYED.values()].join("\n")).toContain(ending);
  },
);

test("every scenario is run with both methods", () => {
  for (const [name, text] of PLAYED) {
    const isOneMethod = /^> recover documented/m.test(text);
    const sections = text.split("\n").filter((line) => line.startsWith("== "));
    expect.soft(sections, name).toEqual(isOneMethod ? [] : ["== direct", "== documented"]);
  }
});
