// Generates src/gen from proto/. With --check it changes nothing and fails if the committed files differ.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import process from "node:process";

const root = new URL("..", import.meta.url).pathname;
const target = join(root, "src/gen");
const check = process.argv.includes("--check");
const out = check ? mkdtempSync(join(tmpdir(), "openmldb-ops-gen-")) : target;

const template = JSON.stringify({
  version: "v2",
  plugins: [{ local: "protoc-gen-es", out, opt: ["target=ts", "import_extension=js"] }],
});
if (!check) rmSync(target, { recursive: true, force: true });
execFileSync(join(root, "node_modules/.bin/buf"), ["generate", "--template", template], {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH}` },
});

if (check) {
  const files = (folder) =>
    readdirSync(folder, { recursive: true })
      .map(String)
      .filter((name) => statSync(join(folder, name)).isFile())
      .sort();
  const wanted = files(out);
  const differs =
    JSON.stringify(wanted) !== JSON.stringify(files(target)) ||
    wanted.some(
      (name) => readFileSync(join(out, name), "utf8") !== readFileSync(join(target, name), "utf8"),
    );
  rmSync(out, { recursive: true, force: true });
  if (differs) {
    console.error(
      `${relative(root, target)} is out of date with proto/: run "npm run generate" and commit the result`,
    );
    process.exit(1);
  }
  console.log("src/gen agrees with proto/");
}
