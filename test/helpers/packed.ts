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
  // The folder itself is not linked: npm would treat its packages as those of another project, and pack few of them.
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
 * Packs the build as `npm pack` does, in a copy, since packing rewrites README.md, which other tests read at the same time.
 */
export async function packForTest(): Promise<Packed> {
  const base = mkdtempSync(join(tmpdir(), "openmldb-ops-package-"));
  const [stage, folder] = [join(base, "stage"), join(base, "empty")];
  mkdirSync(folder);
  mkdirSync(join(stage, "scripts"), { recursive: true });
  const run = promisify(execFile);
  // Hard links are faster than copies, and no file is written to. They are impossible across file systems.
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
