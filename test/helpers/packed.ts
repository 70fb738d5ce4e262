import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** The files of the repository that can be packed; package.json selects those that are. */
const PACKABLE = [
  ...["LICENSE", "README.md", "package.json"],
  ...["assets", "bin", "dist", "docs", "examples", "proto", "schemas"],
  // The folder itself is not linked: npm would take its packages for those of another project, and pack few of them.
  "node_modules",
];

/** The package as `npm pack` makes it. */
export interface Packed {
  /** A folder that is empty but for the tarball. */
  readonly folder: string;
  /** Paths inside the package. */
  readonly paths: readonly string[];
  /** Text of a file as it is in the package. */
  read(path: string): string;
  /** Deletes everything. */
  remove(): void;
}

/**
 * Packs what is built, as `npm pack` does after its build. It does so in a copy: the README of the repository
 * stays as it is for tests that run at the same time.
 */
export async function packForTest(): Promise<Packed> {
  const base = mkdtempSync(join(tmpdir(), "openmldb-ops-package-"));
  const [stage, folder] = [join(base, "stage"), join(base, "empty")];
  mkdirSync(folder);
  mkdirSync(join(stage, "scripts"), { recursive: true });
  const run = promisify(execFile);
  // Links are quicker than copies, and nothing writes into the files; another file system takes copies only.
  const copy = (from: readonly string[], to: string) =>
    run("cp", ["-al", ...from, to]).catch(() => run("cp", ["-a", ...from, to]));
  await copy(
    PACKABLE.map((name) => join(root, name)),
    stage,
  );
  await copy([join(root, "scripts/packed-readme.js")], join(stage, "scripts"));
  await run(process.execPath, ["scripts/packed-readme.js", "trim"], { cwd: stage });
  const args = ["pack", "--json", "--ignore-scripts", "--offline", `--pack-destination=${folder}`];
  const { stdout } = await run("npm", args, { cwd: stage, maxBuffer: 2 ** 26 });
  const [{ files }] = JSON.parse(stdout) as [{ files: readonly { path: string }[] }];
  return {
    folder,
    paths: files.map(({ path }) => path),
    read: (path) => readFileSync(join(stage, path), "utf8"),
    remove: () => rmSync(base, { recursive: true, force: true }),
  };
}
