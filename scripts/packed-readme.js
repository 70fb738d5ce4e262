// The package contains README.md without the parts about the repository, which are marked by
// <!-- repository:begin --> and <!-- repository:end -->. npm packs the file on disk: `prepack` runs this
// script with "trim", `postpack` with "restore".
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";

const README = "README.md";
const WHOLE = ".whole-readme.md";
const PART = /<!-- repository:begin -->\n[\s\S]*?<!-- repository:end -->\n\n?/g;

if (existsSync(WHOLE)) renameSync(WHOLE, README);
if (process.argv[2] === "trim") {
  const text = readFileSync(README, "utf8");
  renameSync(README, WHOLE);
  writeFileSync(README, text.replaceAll(PART, ""));
}
