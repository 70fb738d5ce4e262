import type { CommonFlags } from "../cli/common-specs.js";
import type { Cluster } from "../cluster/cluster.js";
import type { OpenedCluster } from "../cluster/open.js";
import { resolveEndpoint } from "../cluster/topology.js";
import { EXIT } from "../exit-codes.js";
import type { Endpoint } from "../model/cluster-state.js";
import type { RealEndpoints } from "../show/servers.js";
import { type Shown, shownText } from "../show/shown.js";
import { jsonPieces } from "../util/text.js";
import type { CommandIo } from "./command.js";
import { withCluster } from "./connect.js";
import { settleFirst } from "./protect.js";
import { ended, print } from "./write.js";

const SCHEMA_VERSION = 1;

/** What a query brought, and the exit code if it is not 0. */
export type Answer = Shown & { readonly exitCode?: number };

/**
 * Runs a command that only shows: connects, puts back what a run that died left of auto_failover,
 * asks, and prints a table or one JSON document.
 *
 * @returns 0, or what the query wants; 9 if auto_failover could not be put back.
 * @throws OpsError if the cluster cannot be asked, or has no such thing.
 */
export async function show(
  command: string,
  flags: CommonFlags,
  io: CommandIo,
  query: (cluster: Cluster, opened: OpenedCluster) => Promise<Answer>,
): Promise<number> {
  const { answer, end } = await withCluster(
    flags,
    io,
    async (cluster, opened) => {
      const end = await settleFirst(opened, flags, io, command);
      return { answer: await query(cluster, opened), end };
    },
    { endsCallsOnSignal: true },
  );
  const exitCode = end(answer.exitCode ?? EXIT.ok);
  await print(
    io,
    flags.output === "json"
      ? ended(jsonPieces({ schemaVersion: SCHEMA_VERSION, command, exitCode, ...answer.json }))
      : shownText(answer, io.hasColor),
  );
  return exitCode;
}

/** The addresses of servers that have a name; those that cannot be found out are left out. */
export async function realEndpoints(
  { zk, rootPath }: OpenedCluster,
  endpoints: readonly Endpoint[],
): Promise<RealEndpoints> {
  const found = await Promise.all(
    endpoints.map(async (endpoint) => {
      const address = await resolveEndpoint(zk, rootPath, endpoint).catch(() => endpoint);
      return [endpoint, address] as const;
    }),
  );
  return new Map(found.filter(([endpoint, address]) => address !== endpoint));
}
