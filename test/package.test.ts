import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

interface Packed {
  readonly files: readonly { readonly path: string }[];
}

interface LockedPackage {
  readonly version: string;
  readonly dev?: boolean;
  readonly devOptional?: boolean;
  readonly hasInstallScript?: boolean;
  readonly integrity?: string;
}

const read = (path: string) => JSON.parse(readFileSync(join(root, path), "utf8"));

/** Packages that are needed to run, by path. */
const needed = Object.entries(
  (read("package-lock.json") as { packages: Readonly<Record<string, LockedPackage>> }).packages,
).filter(([path, { dev, devOptional }]) => path !== "" && !dev && !devOptional);

test("npm packs every package that is needed to run, as the lock file names it, and no other", () => {
  const args = ["pack", "--dry-run", "--json", "--ignore-scripts", "--offline"];
  const options = { cwd: root, encoding: "utf8", maxBuffer: 2 ** 26 } as const;
  const [packed] = JSON.parse(execFileSync("npm", args, options)) as [Packed];
  const manifest = /^((?:node_modules\/(?:@[^/]+\/)?[^/]+\/)+)package\.json$/;
  const bundled = packed.files.flatMap(({ path }) => {
    const folder = manifest.exec(path)?.[1];
    return folder === undefined ? [] : [folder.slice(0, -1)];
  });
  expect(bundled.sort()).toEqual(needed.map(([path]) => path).sort());
  for (const [path, { version, integrity }] of needed) {
    expect([path, read(`${path}/package.json`).version]).toEqual([path, version]);
    expect(integrity, path).toMatch(/^sha512-/);
  }
}, 60_000);

test("one package that is needed to run has an install script, which docs/security.md explains", () => {
  const scripted = needed.filter(([, one]) => one.hasInstallScript).map(([path]) => path);
  expect(scripted).toEqual(["node_modules/protobufjs"]);
});

test("docs/security.md names every package that is asked for directly", () => {
  const text = readFileSync(join(root, "docs/security.md"), "utf8");
  const direct = Object.keys(read("package.json").dependencies as object);
  expect(direct.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
});
