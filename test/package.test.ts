import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { type Lock, shrinkwrapOf } from "../scripts/shrinkwrap.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "openmldb-ops-package-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const read = (name: string) => JSON.parse(readFileSync(join(root, name), "utf8"));
const lock = read("package-lock.json") as Lock;
const { packages } = shrinkwrapOf(lock);

/** Where Node.js finds a package that another one asks for. */
function found(name: string, from: string): string | undefined {
  for (let at = from; ; at = at.replace(/(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/, "")) {
    const path = `${at === "" ? "" : `${at}/`}node_modules/${name}`;
    if (packages[path] !== undefined) return path;
    if (at === "") return undefined;
  }
}

test("the shrinkwrap has every package that is needed to run, with its checksum, and no other", () => {
  const needed = new Set<string>();
  const visit = (from: string) => {
    for (const name of Object.keys(packages[from]?.dependencies ?? {})) {
      const path = found(name, from);
      expect(path, `${name}, needed by ${from === "" ? "openmldb-ops" : from}`).toBeDefined();
      if (path === undefined || needed.has(path)) continue;
      needed.add(path);
      visit(path);
    }
  };
  visit("");
  expect(
    Object.keys(packages)
      .filter((path) => path !== "")
      .sort(),
  ).toEqual([...needed].sort());
  for (const path of needed) {
    expect(packages[path], path).toEqual(lock.packages[path]);
    expect(packages[path]?.integrity, path).toMatch(/^sha512-/);
  }
  expect(packages[""]?.devDependencies).toBeUndefined();
});

test("one package to run has an install script, which docs/security.md explains", () => {
  const scripted = Object.keys(packages).filter((path) => packages[path]?.hasInstallScript);
  expect(scripted).toEqual(["node_modules/protobufjs"]);
});

test("docs/security.md names every package that is asked for directly", () => {
  const text = readFileSync(join(root, "docs/security.md"), "utf8");
  const direct = Object.keys(packages[""]?.dependencies ?? {});
  expect(direct.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
});

test("npm packs the shrinkwrap", () => {
  const { scripts } = read("package.json") as { scripts: Record<string, string> };
  expect(scripts["prepack"]).toContain("scripts/shrinkwrap.js");
  expect(scripts["postpack"]).toBe("node scripts/shrinkwrap.js --remove");
  cpSync(join(root, "package.json"), join(folder, "package.json"));
  mkdirSync(join(folder, "bin"));
  writeFileSync(join(folder, "npm-shrinkwrap.json"), JSON.stringify(shrinkwrapOf(lock)));
  const args = ["pack", "--dry-run", "--json", "--ignore-scripts", "--offline"];
  const [packed] = JSON.parse(execFileSync("npm", args, { cwd: folder, encoding: "utf8" })) as [
    { readonly files: readonly { readonly path: string }[] },
  ];
  expect(packed.files.map((file) => file.path)).toContain("npm-shrinkwrap.json");
});
