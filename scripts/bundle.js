// Bundles the output of tsc and its packages into a few files in dist/bundle/, which dist/cli.js starts.
// Loading some 700 modules one by one took longer than a command on a small cluster. Modules that a command
// does not need stay in separate files (import()). The files are CommonJS, which loads faster than ES modules,
// each with V8's code cache beside it (load-bundle.cjs). The modules in dist/ that programs outside this
// repository import load the packages themselves, so the packages are dependencies too.
// tsc overwrites dist/cli.js, so a stale bundle never runs.
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import Module from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { Script } from "node:vm";
import { rolldown } from "rolldown";

const at = (path) => fileURLToPath(new URL(`../dist/${path}`, import.meta.url));
const START = 'export { main } from "./bundle/load.cjs";\n';
// zod is loaded where a document is read.
const EXTERNAL = ["zod"];
const PACKAGE = /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+(?=[\\/])/;
const LICENCE = /^(licen[cs]e|copying|notice)([.-].*)?$/i;

/** The name, version, licence and licence texts of the packages of the modules. */
function licencesOf(modules) {
  const folders = new Set(modules.flatMap((module) => PACKAGE.exec(module)?.[0] ?? []));
  return [...folders]
    .sort()
    .map((folder) => {
      const { name, version, license } = JSON.parse(
        readFileSync(join(folder, "package.json"), "utf8"),
      );
      const texts = readdirSync(folder)
        .filter((file) => LICENCE.test(file))
        .map((file) => readFileSync(join(folder, file), "utf8").trim());
      return [`${name} ${version} (${license})`, ...texts].join("\n\n");
    })
    .join(`\n\n${"-".repeat(80)}\n\n`);
}

/**
 * Writes V8's code cache of a file, including functions that are not called yet; see load-bundle.cjs.
 */
function compile(path) {
  setFlagsFromString("--no-lazy");
  const script = new Script(Module.wrap(readFileSync(path, "utf8")), { filename: path });
  setFlagsFromString("--lazy");
  const { platform, arch, version } = process;
  writeFileSync(`${path}.${platform}-${arch}-${version}`, script.createCachedData());
}

if (readFileSync(at("cli.js"), "utf8") !== START || !existsSync(at("bundle/load.cjs"))) {
  rmSync(at("bundle"), { recursive: true, force: true });
  const bundle = await rolldown({
    input: at("cli.js"),
    platform: "node",
    logLevel: "warn",
    external: EXTERNAL,
    // Only the parser of yargs is used; its other imports took 30 ms of the first 100.
    treeshake: { moduleSideEffects: [{ test: /node_modules[\\/]yargs[\\/]/, sideEffects: false }] },
  });
  const { output } = await bundle.write({
    dir: at("bundle"),
    format: "cjs",
    entryFileNames: "[name].cjs",
    chunkFileNames: "[name]-[hash].cjs",
    // Names are kept for readable traces; comments and white space took a third of the compile time.
    minify: { compress: false, mangle: false, codegen: { removeWhitespace: true } },
    comments: { legal: false },
    // Chunks of the large packages are named, so that a test can check which command loads them.
    codeSplitting: {
      groups: [
        { name: "grpc", test: /node_modules[\\/]@(grpc|bufbuild|js-sdsl)[\\/]/ },
        { name: "width", test: /node_modules[\\/](string-width|get-east-asian-width)[\\/]/ },
        { name: "zookeeper", test: /node_modules[\\/](node-zookeeper-client|underscore)[\\/]/ },
      ],
    },
  });
  await bundle.close();
  const modules = output.flatMap((one) => (one.type === "chunk" ? one.moduleIds : []));
  writeFileSync(at("bundle/LICENSES.txt"), `${licencesOf(modules)}\n`);
  for (const { fileName } of output) compile(at(`bundle/${fileName}`));
  copyFileSync(new URL("load-bundle.cjs", import.meta.url), at("bundle/load.cjs"));
  writeFileSync(at("cli.js"), START);
}
