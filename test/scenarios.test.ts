import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { playScenario } from "./helpers/scenario.js";

const FOLDER = new URL("scenarios/", import.meta.url);
const SCENARIOS = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".scenario"))
  .sort();

// The file holds its own expected output: `npx vitest run test/scenarios.test.ts -u` writes it anew.
test.each(SCENARIOS)("%s", async (name) => {
  const text = readFileSync(new URL(name, FOLDER), "utf8");
  await expect(await playScenario(text)).toMatchFileSnapshot(`scenarios/${name}`);
});

test("every step and every ending of a partition is played by some scenario", () => {
  const all = SCENARIOS.map((name) => readFileSync(new URL(name, FOLDER), "utf8")).join("\n");
  for (const word of [
    "mark-dead",
    "load-leader",
    "change-role",
    "mark-alive",
    "recover-snapshot",
    "recover-table",
    "wait-ops",
    "wait-load",
    "blocked",
    "tried in vain",
  ]) {
    expect.soft(all, word).toContain(word);
  }
});
