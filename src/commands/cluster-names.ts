import { readSettings } from "../cli/cluster-file.js";
import { commonSpecs } from "../cli/common-specs.js";
import type { ClusterNames, NameKind } from "../cli/complete.js";
import { type CommandLine, type Environment, readFlags } from "../cli/flag-parse.js";
import { type OpenedCluster, openCluster } from "../cluster/open.js";
import { realClock } from "../cluster/real-clock.js";
import { within } from "../util/within.js";
import { openOptions } from "./connect.js";

/** Limit in milliseconds for a completion, during which the user waits. */
const LIMIT_MS = 300;

// Connection flags only: the others are not needed, and reading --log_file would create the file.
const { output, logLevel, logFile, noColor, ...connectionSpecs } = commonSpecs;

/**
 * Reads names from the cluster of the command line or the environment. Returns none after 300 ms or after any error,
 * because completion cannot report one.
 */
export const namesOf: ClusterNames["namesOf"] = async (kind, line, environment) => {
  const over = new AbortController();
  try {
    const reading = readNames(kind, line, environment, over.signal);
    return await within(realClock, LIMIT_MS, "the cluster", reading);
  } catch {
    return [];
  } finally {
    over.abort();
  }
};

async function readNames(
  kind: NameKind,
  line: CommandLine,
  environment: Environment,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const names: readonly string[] = Object.values(connectionSpecs).map((spec) => spec.name);
  const given = new Map([...line.flags].filter(([name]) => names.includes(name)));
  const flags = readFlags(
    connectionSpecs,
    { words: [], flags: given },
    environment,
    [],
    readSettings(line, environment),
  );
  const limited = { ...flags, zkTimeoutMs: LIMIT_MS, rpcTimeoutMs: LIMIT_MS };
  const opened = await openCluster({
    ...openOptions(limited, { signal }),
    leaderTimeoutMs: LIMIT_MS,
    signal,
  });
  try {
    return await askCluster(opened, kind, line.flags.get("db")?.[0]);
  } finally {
    opened.cluster.close().catch(() => undefined);
  }
}

async function askCluster(
  { cluster, zk, rootPath }: OpenedCluster,
  kind: NameKind,
  db: string | undefined,
): Promise<readonly string[]> {
  switch (kind) {
    case "database":
      // One read of ZooKeeper is faster than finding the nameserver first.
      return (await zk.getChildren(`${rootPath}/db`)) ?? [];
    case "tablet":
      return (await cluster.showTablet()).map((one) => one.endpoint);
    case "table":
      return (await cluster.showTable())
        .filter((one) => db === undefined || one.db === db)
        .map((one) => one.table);
  }
}
