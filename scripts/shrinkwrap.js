// Makes npm-shrinkwrap.json, which goes into the package only: `npx` and `npm install -g` then take exactly the
// versions, with the checksums, that were tested. In the repository npm would take it for the lock file, without the
// packages for development; so it is made before packing and removed afterwards (--remove).
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The lock file without what is for development only. */
export function shrinkwrapOf(lock) {
  const [own, ...packages] = Object.entries(lock.packages);
  const { devDependencies: _, ...self } = own[1];
  const production = packages.filter(([, { dev, devOptional }]) => !dev && !devOptional);
  return { ...lock, packages: Object.fromEntries([[own[0], self], ...production]) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const path = join(root, "npm-shrinkwrap.json");
  if (process.argv.includes("--remove")) rmSync(path, { force: true });
  else {
    const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
    writeFileSync(path, `${JSON.stringify(shrinkwrapOf(lock), null, 2)}\n`);
  }
}
