// Joins what tsc built, and the packages that it uses, into few files in dist/bundle/, and lets dist/cli.js
// start those. Loading some 300 modules one by one cost a command more than its work on a small cluster. What a
// command does not need stays in files of its own (import()); zod stays a package, loaded when a document is read.
// tsc writes dist/cli.js anew, so that what runs is never older than what was built last.
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const at = (path) => fileURLToPath(new URL(`../dist/${path}`, import.meta.url));
const START = 'export { main } from "./bundle/cli.js";\n';

if (readFileSync(at("cli.js"), "utf8") !== START) {
  rmSync(at("bundle"), { recursive: true, force: true });
  const bundle = await rolldown({
    input: at("cli.js"),
    platform: "node",
    logLevel: "warn",
    // Packages stay packages: one copy of each, whoever loads it.
    external: /^(?![./]|node:)/,
  });
  await bundle.write({ dir: at("bundle"), format: "esm" });
  await bundle.close();
  writeFileSync(at("cli.js"), START);
}
