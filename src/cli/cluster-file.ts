import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { usageError } from "../errors.js";
import { checkDocument, type DocumentKind } from "../util/document.js";
import { safe } from "../util/text.js";
import { readUserFile } from "../util/user-file.js";
import { type CommandLine, type Environment, givenText, type Settings } from "./flag-parse.js";
import { shown } from "./flag-values.js";
import { readOpenmldbHome } from "./openmldb-conf.js";

const FILE_BYTES_MAX = 1_000_000;
/** Number of names that a message shows. */
const NAMES_SHOWN = 20;

/** The fields of a cluster in the file: the connection flags, without secrets. */
const FIELDS = [
  "zk_cluster",
  "zk_root_path",
  "zk_auth_schema",
  "zk_timeout",
  "zk_session_timeout",
  "user",
  "password_file",
  "rpc_timeout",
  "max_answer",
  "ns_concurrency",
  "openmldb_home",
] as const;

interface ClusterFile {
  readonly clusters: Readonly<
    Record<string, Readonly<Partial<Record<(typeof FIELDS)[number], string>>>>
  >;
}

const CLUSTER_FILE: DocumentKind<ClusterFile> = {
  maxBytes: FILE_BYTES_MAX,
  maxDepth: 4,
  schema: (z) => {
    const text = z.string().min(1).optional();
    const cluster = z.strictObject(Object.fromEntries(FIELDS.map((name) => [name, text])));
    const name = z.string().regex(/^[\w.-]{1,100}$/);
    return z.strictObject({ clusters: z.record(name, cluster) });
  },
};

/**
 * Path of the default file of named clusters: below `XDG_CONFIG_HOME`, else in `~/.config`. Never in the working
 * directory, because a folder that another user prepared must not determine which cluster is changed.
 */
function defaultConfigFile(environment: Environment): string {
  const xdg = environment["XDG_CONFIG_HOME"] ?? "";
  // The XDG base directory specification requires that a relative path is ignored.
  const base = isAbsolute(xdg) ? xdg : join(environment["HOME"] || homedir(), ".config");
  return join(base, "openmldb-ops", "config.json");
}

/**
 * Reads the settings of the cluster `--cluster` from the file of named clusters, and those of OpenMLDB's own
 * configuration below `--openmldb_home`; the former take precedence. Empty, without reading a file, if neither flag is
 * given.
 *
 * @throws OpsError `usage` if a file cannot be read, is invalid, or has no such cluster.
 */
export function readSettings(line: CommandLine, environment: Environment): Settings {
  const [cluster, config, home] = ["cluster", "config", "openmldb_home"].map((name) =>
    givenText(name, line, environment),
  );
  // JSON given by mistake can contain a secret, so it is not echoed.
  if (config?.trimStart().startsWith("{") === true) {
    throw usageError(
      "--config names a file, and was given JSON",
      "write that into a file, and give its path",
    );
  }
  if (cluster === undefined && config !== undefined) {
    throw usageError(
      `--config=${shown(config)} is given without --cluster`,
      "say which of its clusters is meant: --cluster=NAME",
    );
  }
  const named = cluster === undefined ? new Map() : readCluster(cluster, config, environment);
  const homeOf = home ?? named.get("openmldb_home")?.text;
  const own = homeOf && readOpenmldbHome(homeOf, `--openmldb_home=${shown(homeOf)}`);
  return new Map([...(own || []), ...named]);
}

function readCluster(name: string, config: string | undefined, environment: Environment): Settings {
  const path = config ?? defaultConfigFile(environment);
  if (config === undefined && !existsSync(path)) {
    throw usageError(
      `--cluster=${shown(name)}: there is no ${safe(path)}`,
      "write it, or name another file with --config",
    );
  }
  const where = `--config=${shown(path)}`;
  const read = checkDocument(CLUSTER_FILE, readUserFile(path, { where, maxBytes: FILE_BYTES_MAX }));
  if ("problem" in read) {
    throw usageError(
      `${where}: ${safe(read.problem)}`,
      `such as {"clusters": {"prod": {"zk_cluster": "zk1:2181", "zk_root_path": "/openmldb"}}}; secrets do not belong there`,
    );
  }
  const { clusters } = read.value;
  const fields = Object.hasOwn(clusters, name) ? clusters[name] : undefined;
  if (fields === undefined) {
    const names = Object.keys(clusters);
    const known = names.length === 0 ? "none" : names.slice(0, NAMES_SHOWN).join(", ");
    throw usageError(`${where}: there is no cluster "${shown(name)}"`, `it has: ${safe(known)}`);
  }
  return new Map(
    Object.entries(fields).map(([field, text]) => [
      field,
      { text, source: `${safe(path)}: clusters.${name}.${field}` },
    ]),
  );
}

/**
 * True if the command line or the environment overrides ZooKeeper or root path of the files, so that the cluster's
 * name must not be shown.
 */
export function overridesCluster(
  line: CommandLine,
  environment: Environment,
  settings: Settings,
): boolean {
  return ["zk_cluster", "zk_root_path"].some((name) => {
    const given = givenText(name, line, environment);
    return given !== undefined && given !== settings.get(name)?.text;
  });
}
