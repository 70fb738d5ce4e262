import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { inspectionScreen } from "../src/inspect/text-overview.js";
import { finish } from "../src/model/work.js";
import { reportText } from "../src/report/recovery-report.js";
import { allLines } from "./helpers/all-lines.js";
import { flagsOf } from "./helpers/flags-of.js";
import { inspectionOf } from "./helpers/inspected.js";
import { SITUATIONS } from "./helpers/runbook-clusters.js";
import type { VirtualCluster } from "./helpers/virtual-cluster.js";

const DOCS = new URL("../docs/", import.meta.url);
const ENVIRONMENT = {
  OPENMLDB_OPS_ZK_CLUSTER: "127.0.0.1:2181",
  OPENMLDB_OPS_ZK_ROOT_PATH: "/openmldb",
};

/** English pages with their Chinese twin, as paths below docs. */
const TWINS: readonly (readonly [string, string])[] = [
  ...readdirSync(new URL("runbooks/", DOCS)).map(
    (name) => [`runbooks/${name}`, `zh/runbooks/${name}`] as const,
  ),
  ["../README.md", "zh/README.md"],
  ["reference/recoverdata.md", "zh/reference/recoverdata.md"],
];

/** Parts about the repository: they are in English only, and not in the package. */
const REPOSITORY = /<!-- repository:begin -->\n[\s\S]*?<!-- repository:end -->\n\n?/g;

const read = (path: string): string =>
  readFileSync(new URL(path, DOCS), "utf8").replaceAll(REPOSITORY, "");

/** Blocks between fences, with the fence's language. */
function blocksOf(text: string): string[] {
  return [...text.matchAll(/^```\w*\n[\s\S]*?^```$/gm)].map(([block]) => block);
}

/** Indented command lines between paragraphs. */
function indentedOf(text: string): string[] {
  return [...text.matchAll(/^ {4}((?:npx )?openmldb-ops .*)$/gm)].map(([, line]) => line ?? "");
}

/** Levels of the headings outside blocks, in order. */
function headingsOf(text: string): string[] {
  const prose = text.replaceAll(/^```\w*\n[\s\S]*?^```$/gm, "");
  return [...prose.matchAll(/^(#+) /gm)].map(([, level]) => level ?? "");
}

/**
 * Commands of this tool in shell blocks, after the prompt in output, and on indented lines, without comments, `<cluster>`
 * and synopses.
 */
function commandsOf(text: string): string[] {
  const lines = blocksOf(text).flatMap((block) => block.split("\n"));
  return [...lines, ...indentedOf(text)]
    .flatMap(
      (line) => /^(?:\$ )?openmldb-ops (.*?)(?: <cluster>)?(?:\s+#.*)?$/.exec(line)?.[1] ?? [],
    )
    .filter((command) => !command.includes("["));
}

/** Removes times and numbers of calls from the output of a run, which do not belong to the situation. */
const withoutEffort = (line: string): string => line.replace(/; [\d.]+ m?s, \d+ calls\)$/, ")");

async function inspectLines(virtual: VirtualCluster): Promise<string[]> {
  const inspection = await inspectionOf(virtual);
  const effort = { tookMs: 0, calls: 0 };
  const screen = { hasColor: false, columns: 100, rows: Number.POSITIVE_INFINITY };
  return finish(inspectionScreen(inspection, effort, screen, false));
}

async function recoverLines(virtual: VirtualCluster): Promise<string[]> {
  const result = await virtual.recover();
  if (!("report" in result)) throw new Error("the recovery ended early");
  return allLines(reportText(result.report));
}

/** The commands whose output a page shows, each with the function that renders it. */
const SHOWN = { inspect: inspectLines, recoverdata: recoverLines } as const;

/** The page with the output of those commands as it is now. */
async function rendered(page: string, virtual: VirtualCluster): Promise<string> {
  let text = page;
  for (const [command, print] of Object.entries(SHOWN)) {
    const block = new RegExp(
      `^(\`\`\`text\\n\\$ openmldb-ops ${command}\\n)[\\s\\S]*?^\`\`\`$`,
      "m",
    );
    if (!block.test(text)) continue;
    const lines = (await print(virtual)).map(withoutEffort).join("\n");
    text = text.replace(block, (_, head: string) => `${head}${lines}\n\`\`\``);
  }
  return text;
}

describe("runbooks show real output", () => {
  test("each situation has a page", () => {
    const names = readdirSync(new URL("runbooks/", DOCS)).filter((name) => name !== "README.md");
    expect(names).toEqual(
      Object.keys(SITUATIONS)
        .map((name) => `${name}.md`)
        .sort(),
    );
  });

  // The page holds its own expected output: `npx vitest run test/runbooks.test.ts -u` rewrites it.
  test.each(
    Object.keys(SITUATIONS).flatMap((name) => ["runbooks", "zh/runbooks"].map((at) => [at, name])),
  )("%s/%s", async (at, name) => {
    const path = `${at}/${name}.md`;
    const start = SITUATIONS[name as string];
    if (start === undefined) throw new Error(`no situation ${name}`);
    const virtual = await start();
    const page = await rendered(read(path), virtual);
    await expect(page).toMatchFileSnapshot(fileURLToPath(new URL(path, DOCS)));
    expect(page).toContain("$ openmldb-ops inspect\n");
    // No row is given up before the operator accepts it.
    expect(virtual.model.rows().filter((one) => one.lost > 0)).toEqual([]);
  });
});

describe("the two languages", () => {
  test.each(TWINS)("%s and %s have the same commands and headings", (english, chinese) => {
    const [one, other] = [read(english), read(chinese)];
    expect(blocksOf(other)).toEqual(blocksOf(one));
    expect(indentedOf(other)).toEqual(indentedOf(one));
    expect(headingsOf(other)).toEqual(headingsOf(one));
    expect(other).toMatch(/[\u4e00-\u9fff]/);
  });

  test("every Chinese page has an English one", () => {
    const pages = readdirSync(new URL("zh/", DOCS), { recursive: true }).map(String);
    const known = TWINS.map(([, chinese]) => chinese.replace(/^zh\//, ""));
    expect(pages.filter((path) => path.endsWith(".md")).sort()).toEqual([...known].sort());
  });
});

test.each(TWINS)("every command in %s parses", (english) => {
  const commands = commandsOf(read(english));
  expect(commands.length).toBeGreaterThan(0);
  for (const command of commands) {
    // A command with a placeholder, such as HOST or "...", cannot be typed as it is; --version is no command.
    if (/\.\.\.|\bCOMMAND\b|^--version$/.test(command)) continue;
    const words = command
      .replace(":PORT", ":2181")
      .split(/\s+/)
      .map((word) => word.replaceAll(/^'|'$/g, ""));
    // A file that a command reads is not there; its name is right.
    const isMissing = (thrown: unknown) => /there is no such file or folder/.test(String(thrown));
    try {
      flagsOf(words, ENVIRONMENT);
    } catch (thrown) {
      expect(isMissing(thrown), `${command}: ${thrown}`).toBe(true);
    }
  }
});
