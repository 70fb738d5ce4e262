import { join } from "node:path";
import { readUserFile } from "../util/user-file.js";
import type { Settings } from "./flag-parse.js";
import { badValue } from "./flag-values.js";

/** Limit in bytes of a configuration file. */
const CONF_BYTES_MAX = 1_000_000;
/** Default port of ZooKeeper (release/conf/openmldb-env.sh, OpenMLDB 0.9.2). */
const ZK_PORT = "2181";
/** Default root path in the same file. */
const ROOT_PATH = "/openmldb";

/**
 * Reads the ZooKeeper settings of an OpenMLDB installation in the same way as its own scripts (release/sbin/init.sh):
 * from `conf/openmldb-env.sh`, and from the section `[zookeeper]` of `conf/hosts` if that file names no servers.
 * Executes nothing: only plain assignments are parsed.
 *
 * @param home The folder that contains `conf`.
 * @param where The flag with its value, escaped for messages.
 * @throws OpsError `usage` if a file cannot be read, or if neither names a ZooKeeper.
 */
export function readOpenmldbHome(home: string, where: string): Settings {
  const envFile = join(home, "conf", "openmldb-env.sh");
  const hostsFile = join(home, "conf", "hosts");
  const read = (path: string) => readUserFile(path, { where, maxBytes: CONF_BYTES_MAX });
  const variables = assignments(read(envFile));
  const rootPath = variables.get("OPENMLDB_ZK_ROOT_PATH") || ROOT_PATH;
  const named = variables.get("OPENMLDB_ZK_CLUSTER") ?? "";
  const port = variables.get("OPENMLDB_ZK_CLUSTER_CLIENT_PORT") || ZK_PORT;
  const servers = named === "" ? zooKeepersIn(read(hostsFile), port).join(",") : named;
  if (servers === "") {
    throw badValue(where, "neither conf/openmldb-env.sh nor conf/hosts names a ZooKeeper");
  }
  return new Map([
    ["zk_cluster", { text: servers, source: named === "" ? hostsFile : envFile }],
    ["zk_root_path", { text: rootPath, source: envFile }],
  ]);
}

/** Plain assignments of a shell script, the last one of each name; `${NAME:=VALUE}` is VALUE. */
function assignments(script: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of script.split(/\r?\n/)) {
    const [, name = "", word = ""] = /^\s*(?:export\s+)?([A-Z_]+)=(\S*)/.exec(line) ?? [];
    if (name === "") continue;
    const bare = unquoted(word);
    values.set(name, unquoted(/^\$\{\w+:[=-](.*)\}$/.exec(bare)?.[1] ?? bare));
  }
  return values;
}

function unquoted(word: string): string {
  return word.replace(/^(["'])(.*)\1$/, "$2");
}

/** The servers of the section `[zookeeper]`, lines such as `host:port:peer_port:election_port DIR`. */
function zooKeepersIn(hosts: string, defaultPort: string): string[] {
  const servers: string[] = [];
  let section = "";
  for (const raw of hosts.split(/\r?\n/)) {
    const line = raw.replace(/#.*/, "").trim();
    const [, name] = /^\[(.*)\]$/.exec(line) ?? [];
    if (name !== undefined) section = name.trim();
    else if (section === "zookeeper" && line !== "") {
      const [host = "", port] = (line.split(/\s+/)[0] ?? "").split(":");
      servers.push(`${host}:${port || defaultPort}`);
    }
  }
  return servers;
}
