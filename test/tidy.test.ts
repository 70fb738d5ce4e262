import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { COMMANDS } from "../src/cli/command-table.js";
import { PROBLEM_CODES } from "../src/model/problem.js";
import { importCircles } from "./helpers/import-circles.js";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Folders that are not part of the source: dependencies, build output, git's own files (in a worktree `.git` is a file). */
const SKIPPED = new Set([".git", ".vitest", "coverage", "dist", "node_modules"]);
/** Files that are generated, recorded, or by other authors. */
const FOREIGN = /^(src\/gen\/|test\/recordings\/|LICENSE$|package-lock\.json$)/;
/** This file has to name what it forbids. */
const SELF = "test/tidy.test.ts";

/** A declaration that is exported, with its name. */
const EXPORTED =
  /^export (?:declare )?(?:abstract )?(?:async )?(?:function\*?|const|let|class|interface|type) (\w+)/;

interface TextFile {
  /** Path relative to the repository, with `/`. */
  readonly path: string;
  readonly text: string;
}

/** All text files below a folder of the repository, sorted by path. */
function filesBelow(folder: string): TextFile[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (SKIPPED.has(entry.name)) return [];
      if (entry.isDirectory()) return filesBelow(path);
      if (!entry.isFile() || path.endsWith(".log")) return [];
      const text = readFileSync(join(root, path), "utf8");
      return text.includes("\0") ? [] : [{ path, text }];
    });
}

const everything = filesBelow("");
const written = everything.filter((file) => !FOREIGN.test(file.path) && file.path !== SELF);
const source = written.filter((file) => /^src\/.*\.ts$/.test(file.path));
const tests = written.filter((file) => file.path.startsWith("test/"));
const documents = written.filter((file) => file.path.endsWith(".md"));

/** Every line that matches, as `path:line: text`, so that a failure names the places. */
function linesThatMatch(files: readonly TextFile[], pattern: RegExp): string[] {
  return files.flatMap((file) =>
    file.text
      .split("\n")
      .flatMap((line, index) =>
        pattern.test(line) ? [`${file.path}:${index + 1}: ${line.trim().slice(0, 100)}`] : [],
      ),
  );
}

/** The text with its comments replaced by blanks and its lines kept. An approximation that is sufficient for these scans. */
function withoutComments(file: TextFile): TextFile {
  const text = file.text
    .replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, " "))
    .replaceAll(/(^|\s)\/\/.*$/gm, "$1");
  return { path: file.path, text };
}

it("reads the source tree", () => {
  expect(source.map((file) => file.path)).toContain("src/errors.ts");
  expect(documents.map((file) => file.path)).toContain("docs/architecture.md");
});

describe("one word for each term", () => {
  it.each([
    { word: "master", instead: "leader (of a partition or of the nameservers)" },
    { word: "slave", instead: "follower" },
    { word: "primary", instead: "leader" },
    { word: "shard", instead: "partition" },
  ])("$word is not used; say $instead", ({ word }) => {
    expect(linesThatMatch(written, new RegExp(word, "i"))).toEqual([]);
  });
});

describe("never committed", () => {
  it.each([
    { what: "a note to do something later", pattern: /\b(TODO|FIXME|XXX)\b/ },
    { what: "a letter whose key was held down", pattern: /(?<![#\w])[a-z]+([a-eg-z])\1\1/ },
    { what: "a path of one machine", pattern: /(?<![\w.])\/(work|root|home|Users)\// },
    { what: "a path outside the repository", pattern: /(\.\.\/|\b)shared\/|fixtures\/README/ },
    {
      what: "the host of a package registry",
      pattern: /registry\.npm|npmmirror|deb\.debian|security\.debian|:\/\/[\w.]*(registry|mirror)/,
    },
  ])("$what", ({ pattern }) => {
    expect(linesThatMatch(written, pattern)).toEqual([]);
  });

  it("a lock file that names where packages were fetched", () => {
    const lock = everything.filter((file) => file.path === "package-lock.json");
    expect(lock).toHaveLength(1);
    expect(linesThatMatch(lock, /"resolved":/)).toEqual([]);
  });
});

describe("code", () => {
  it("disables neither tests nor the type checker", () => {
    const typescript = written.filter((file) => file.path.endsWith(".ts"));
    const switches =
      /\b(it|test|describe)\.(skip|only|todo|fails|skipIf|runIf)\b|@ts-(ignore|nocheck)|\bas any\b/;
    expect(linesThatMatch(typescript, switches)).toEqual([]);
  });

  it("measures no time on a clock that can be set: the wall clock is for people and records", () => {
    const mayReadIt = [
      "src/cluster/real-clock.ts",
      "src/log-file.ts",
      "src/log.ts",
      "src/run/owner.ts",
      "src/sandbox/model/virtual-clock.ts",
    ];
    const others = source.filter(({ path }) => !mayReadIt.includes(path)).map(withoutComments);
    expect(linesThatMatch(others, /\bDate\.now\b|\bnew Date\(\)/)).toEqual([]);
  });

  it("makes the text of a command in one place, so that it is quoted, complete and read back by a test", () => {
    const commands = COMMANDS.map((entry) => entry.name).join("|");
    const flags = "db|table|pid|tid|endpoints?|accept_data_loss|leader|candidate|src|des|op_id";
    const glued = new RegExp(
      `openmldb-ops (?:--cmd=|(?:${commands})\\b)|map\\(shellWord\\)|--(?:${flags})=\\$\\{(?!lossFlagValue)`,
    );
    const says = source.filter(({ path }) => !/^src\/(cli\/|commands\/completion)/.test(path));
    expect(linesThatMatch(says.map(withoutComments), glued)).toEqual([]);
  });

  it("spreads no list into a call: a long one overflows the stack", () => {
    // The length of rest parameters and of literal lists is given by the code that passes them.
    const own = ["args", "words", "parts", "rest", "more", "tableFlags\\(", "\\["];
    const spread = new RegExp(
      `\\b(?!(?:if|for|while|switch|return)\\b)[\\w#\\])]+\\((?:[^()[\\]{}]|\\([^()]*\\))*?\\.\\.\\.(?!${own.join("|")})`,
    );
    const code = source.map(withoutComments).map(({ path, text }) => ({
      path,
      // Parameters are declared after "function", "constructor" or a name with types.
      text: text.replaceAll(/\.\.\.\w+\??:/g, "").replaceAll(/\(\s*\n\s*\.\.\./g, "(..."),
    }));
    expect(linesThatMatch(code, spread)).toEqual([]);
    expect(linesThatMatch(code, /\.apply\(/)).toEqual([]);
  });

  it("explains every exported symbol of src in a docstring directly above it", () => {
    const bare = source.flatMap(({ path, text }) => {
      const lines = text.split("\n");
      return lines.flatMap((line, index) => {
        const name = EXPORTED.exec(line)?.[1];
        if (name === undefined) return [];
        const above = lines[index - 1] ?? "";
        const isOverload = EXPORTED.exec(above)?.[1] === name;
        return above.trimEnd().endsWith("*/") || isOverload
          ? []
          : [`${path}:${index + 1}: ${name}`];
      });
    });
    expect(bare).toEqual([]);
  });

  it("keeps every file of src within 350 lines", () => {
    const long = source
      .map(({ path, text }) => ({ path, lines: text.trimEnd().split("\n").length }))
      .filter(({ lines }) => lines > 350);
    expect(long).toEqual([]);
  });

  it("imports in one direction: no module imports itself through others, types included", () => {
    expect(importCircles(source)).toEqual([]);
    const one = { path: "src/a/one.ts", text: 'import type { Two } from "../b/two.js";' };
    const two = { path: "src/b/two.ts", text: 'const one = () => import("../a/one.js");' };
    expect(importCircles([one, two])).toEqual([["src/a/one.ts", "src/b/two.ts"]]);
  });

  it("loads modules lazily only where the command line begins", () => {
    const lazy = /^src\/(cli|cli\/\w+-commands)\.ts$/;
    const others = source.filter((file) => !lazy.test(file.path)).map(withoutComments);
    expect(linesThatMatch(others, /(?<!typeof )\bimport\(/)).toEqual([]);
  });

  it("loads commands only when they run, so that --help stays quick", () => {
    const shell = source.filter(({ path }) => path === "src/cli.ts" || /^src\/cli\//.test(path));
    expect(shell.length).toBeGreaterThan(5);
    const loading = /^(import (?!type )|\}).*from "\.\.?\/commands\//;
    expect(linesThatMatch(shell, loading)).toEqual([]);
  });

  it("draws no random numbers that a seed cannot replay", () => {
    expect(linesThatMatch(source.map(withoutComments), /\bMath\.random\b/)).toEqual([]);
  });
});

describe("tests", () => {
  it("generate the same cases in every run", () => {
    const random = tests.filter(({ text }) => /\bfc\.assert\(/.test(text));
    expect(random.length).toBeGreaterThan(5);
    const unfixed = random.filter(({ text }) => !text.includes("/fixed-cases.js"));
    expect(unfixed.map(({ path }) => path)).toEqual([]);
  });

  it("name every problem that diagnose can find", () => {
    expect(PROBLEM_CODES.length).toBeGreaterThan(0);
    const unnamed = PROBLEM_CODES.filter((code) => {
      const word = new RegExp(`(?<![\\w-])${code}(?![\\w-])`);
      return !tests.some((file) => word.test(file.text));
    });
    expect(unnamed).toEqual([]);
  });
});

describe("documents", () => {
  it("link only to files and headings that exist", () => {
    const broken = documents.flatMap(({ path, text }) =>
      [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = ""]) => {
        if (/^[a-z]+:/.test(link)) return [];
        const [file = "", heading] = decodeURI(link).split("#");
        const target = file === "" ? join(root, path) : join(root, dirname(path), file);
        if (!existsSync(target)) return [`${path}: ${link}`];
        const isFound = heading === undefined || headingsOf(target).includes(heading);
        return isFound ? [] : [`${path}: ${link}`];
      }),
    );
    expect(broken).toEqual([]);
  });

  it("give in docs/decisions.md the reason for every dependency, each pinned to one version", () => {
    const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      dependencies: Record<string, string>;
      devDependencies: Record<string, string>;
    };
    const all = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });
    const unpinned = all.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version));
    expect(unpinned).toEqual([]);
    const decisions = readFileSync(join(root, "docs/decisions.md"), "utf8");
    const unexplained = all
      .map(([name]) => name)
      .filter((name) => !decisions.includes(`\`${name}\``));
    expect(unexplained).toEqual([]);
  });

  it("count at most ten invariants", () => {
    const invariants = readFileSync(join(root, "docs/invariants.md"), "utf8");
    const count = invariants.split("\n").filter((line) => /^\d+\. /.test(line)).length;
    expect(count).toBeGreaterThan(0);
    expect(count).toBeLessThanOrEqual(10);
  });
});

/** The anchors of a document's headings: small letters, without punctuation, hyphens for spaces. */
function headingsOf(path: string): string[] {
  return [...readFileSync(path, "utf8").matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, "")
      .replaceAll(" ", "-"),
  );
}
