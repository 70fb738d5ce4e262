import { type ChildProcess, execFile, spawn } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type Packed, packForTest } from "./helpers/packed.js";

const root = fileURLToPath(new URL("..", import.meta.url));

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

let packed: Packed;
beforeAll(async () => {
  packed = await packForTest();
});
afterAll(() => packed.remove());

test("npm packs exactly the packages that are needed to run, in the locked versions", () => {
  const manifest = /^((?:node_modules\/(?:@[^/]+\/)?[^/]+\/)+)package\.json$/;
  const bundled = packed.paths.flatMap((path) => {
    const folder = manifest.exec(path)?.[1];
    return folder === undefined ? [] : [folder.slice(0, -1)];
  });
  expect(bundled.sort()).toEqual(needed.map(([path]) => path).sort());
  for (const [path, { version, integrity }] of needed) {
    expect([path, read(`${path}/package.json`).version]).toEqual([path, version]);
    expect(integrity, path).toMatch(/^sha512-/);
  }
});

test("one package that is needed to run has an install script, which docs/security.md explains", () => {
  const scripted = needed.filter(([, one]) => one.hasInstallScript).map(([path]) => path);
  expect(scripted).toEqual(["node_modules/protobufjs"]);
});

test("docs/security.md lists every direct dependency", () => {
  const text = readFileSync(join(root, "docs/security.md"), "utf8");
  const direct = Object.keys(read("package.json").dependencies as object);
  expect(direct.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
});

describe("the documents in the package", () => {
  const documents = () =>
    packed.paths.filter((path) => path.endsWith(".md") && !path.startsWith("node_modules/"));

  test("link to files of the package only", () => {
    const folders = new Set(packed.paths.map((path) => dirname(path)));
    const isThere = (path: string) => packed.paths.includes(path) || folders.has(path);
    const broken = documents().flatMap((path) =>
      [...packed.read(path).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = ""]) => {
        if (/^(https:|#)/.test(link)) return [];
        const target = normalize(join(dirname(path), decodeURI(link.replace(/#.*$/, ""))));
        return isThere(target.replace(/\/$/, "")) ? [] : [`${path}: ${link}`];
      }),
    );
    expect(documents()).toContain("docs/reference/recoverdata.md");
    expect(broken).toEqual([]);
  });

  test("mention no scripts of the repository", () => {
    const scripts = /npm (?:run|test|start)\b|npx vitest|\.ci\/|repository:begin/;
    expect(documents().filter((path) => scripts.test(packed.read(path)))).toEqual([]);
  });
});

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The environment of a new user, with the global packages in the test's folder. */
function environment(): NodeJS.ProcessEnv {
  const prefix = join(packed.folder, "prefix");
  return {
    PATH: `${prefix}/bin:${process.env["PATH"]}`,
    HOME: packed.folder,
    npm_config_prefix: prefix,
    npm_config_offline: "true",
    npm_config_audit: "false",
  };
}

/** Runs a command line in the folder of the tarball. */
async function runLine(line: string): Promise<Ended> {
  const options = { cwd: packed.folder, env: environment(), timeout: 200_000 };
  try {
    return { code: 0, ...(await promisify(execFile)("sh", ["-c", line], options)) };
  } catch (error) {
    const { code, stdout, stderr } = error as Ended;
    return { code, stdout, stderr };
  }
}

/** Starts the sandbox of the README and types `outage` into it. @returns Its connection flags. */
async function startBroken(line: string): Promise<string> {
  const child: ChildProcess = spawn("sh", ["-c", `exec ${line}`], {
    cwd: packed.folder,
    env: environment(),
    stdio: ["pipe", "pipe", "ignore"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let output = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  await expect.poll(() => output).toContain("ready: ");
  const flags = /ready: (--zk_cluster=\S+ --zk_root_path=[^\s,]+)/.exec(output)?.[1] ?? "";
  output = "";
  child.stdin?.write("outage\n");
  await expect.poll(() => output).not.toBe("");
  return flags;
}

/** Commands in blocks of the README, without comments. */
function commandsOf(text: string): string[] {
  const fenced = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block]) => block ?? "");
  const indented = [...text.matchAll(/^ {4}(npx .*)$/gm)].map(([, line]) => line ?? "");
  return [...indented, ...fenced.flatMap((block) => block.trim().split("\n"))].map((line) =>
    line.replace(/\s+#.*$/, ""),
  );
}

test("every command in the README works from the tarball in an empty folder", async () => {
  const commands = commandsOf(packed.read("README.md"));
  const sandbox = commands.find((line) => line.startsWith("openmldb-ops sandbox")) ?? "";
  const [recoverAtTheTop = "", install = "", version = "", ...others] = commands;
  expect(install).toMatch(/^npm install -g /);
  expect(await runLine(install)).toMatchObject({ code: 0 });
  expect((await runLine(version)).stdout).toMatch(/^openmldb-ops \d/);
  const flags = await startBroken(sandbox);
  const ended: [string, number][] = [];
  for (const line of [...others.filter((one) => one !== sandbox), recoverAtTheTop]) {
    const [name = ""] = line.split(" --zk_cluster=");
    ended.push([name, (await runLine(`${name} ${flags}`)).code]);
  }
  expect(ended).toEqual([
    ["openmldb-ops inspect", 10],
    ["openmldb-ops --cmd=recoverdata", 0],
    ["openmldb-ops verify", 0],
    ["npx openmldb-ops --cmd=recoverdata", 0],
  ]);

  // The TypeScript program, checked against the types of the package.
  const installed = join(packed.folder, "prefix/lib/node_modules/openmldb-ops");
  mkdirSync(join(packed.folder, "node_modules"));
  symlinkSync(installed, join(packed.folder, "node_modules/openmldb-ops"));
  copyFileSync(join(installed, "examples/recover.ts"), join(packed.folder, "recover.mts"));
  const types = `--types node --typeRoots ${root}node_modules/@types`;
  const strict = "--target es2023 --module nodenext --strict --exactOptionalPropertyTypes";
  const checked = await runLine(`${root}node_modules/.bin/tsc ${strict} ${types} recover.mts`);
  expect(checked).toMatchObject({ code: 0, stdout: "" });
  const [zkCluster, zkRootPath] = [...flags.matchAll(/=(\S+)/g)].map(([, value]) => value);
  const healthy = await runLine(`node recover.mjs ${zkCluster} ${zkRootPath}`);
  expect(healthy).toEqual({ code: 0, stdout: "", stderr: "" });
  const nowhere = await runLine("node recover.mjs 127.0.0.1:1 /openmldb");
  expect([nowhere.code, nowhere.stderr.split(":")[0]]).toEqual([4, "zookeeper-unreachable"]);
});
