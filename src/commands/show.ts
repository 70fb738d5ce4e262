import type { CommonFlags } from "../cli/common-specs.js";
import type { Cluster } from "../cluster/cluster.js";
import type { OpenedCluster } from "../cluster/open.js";
import { realClock } from "../cluster/real-clock.js";
import { resolveEndpoint } from "../cluster/topology.js";
import { EXIT } from "../exit-codes.js";
import type { Endpoint } from "../model/cluster-state.js";
import type { OnEvent } from "../model/outcome.js";
import { FRAME_MARGIN } from "../show/frame.js";
import type { RealEndpoints } from "../show/servers.js";
import { type Shown, shownText } from "../show/shown.js";
import { jsonPieces } from "../util/text.js";
import type { CommandIo } from "./command.js";
import { tellFailedLook } from "./failed-look.js";
import { settleFirst } from "./protect.js";
import { lookOrWatch, type WatchScreen, watchScreen } from "./watch.js";
import { ended, print, tableScreen } from "./write.js";

const SCHEMA_VERSION = 1;

/** The result of a query, and the exit code if it is not 0. */
export type Answer = Shown & { readonly exitCode?: number };

/** Flags of a show command; some of these commands have `--watch`. */
type ShowFlags = CommonFlags & { readonly watchMs?: number | undefined };

/**
 * Runs a show command: connects, restores auto_failover after a run that died, queries, and prints a table or one JSON
 * document; with `--watch` repeatedly.
 *
 * @returns 0, or the exit code of the query; 9 if auto_failover could not be restored.
 * @throws OpsError if the cluster cannot be read, or if the requested object does not exist.
 */
export function show(
  command: string,
  flags: ShowFlags,
  io: CommandIo,
  query: (cluster: Cluster, opened: OpenedCluster, onEvent: OnEvent) => Promise<Answer>,
): Promise<number> {
  const { watchMs } = flags;
  const screen = watchMs === undefined ? undefined : watchScreen(io, watchMs);
  let end = (exitCode: number) => exitCode;
  return lookOrWatch({
    command,
    flags,
    io,
    watchMs,
    connecting: { endsCallsOnSignal: true },
    async begin(opened) {
      end = await settleFirst(opened, flags, io, command);
      return (exitCode) => exitCode;
    },
    look: (opened, onEvent) => query(opened.cluster, opened, onEvent),
    async show(answer) {
      const exitCode = end(answer.exitCode ?? EXIT.ok);
      await printAnswer({ command, answer, exitCode }, flags, io, screen);
      return exitCode;
    },
    failed: (error) => tellFailedLook(command, error, { flags, io, screen }),
  });
}

async function printAnswer(
  { command, answer, exitCode }: { command: string; answer: Answer; exitCode: number },
  flags: ShowFlags,
  io: CommandIo,
  watch: WatchScreen | undefined,
): Promise<void> {
  if (flags.output === "json") {
    const document = { schemaVersion: SCHEMA_VERSION, command, exitCode, ...answer.json };
    return await print(io, ended(jsonPieces(document)));
  }
  const screen = tableScreen(flags, io);
  if (watch === undefined) return await print(io, shownText(answer, screen));
  const columns = screen.columns - (watch.isDrawn ? FRAME_MARGIN : 0);
  const pieces = shownText(answer, { ...screen, columns, rows: Number.POSITIVE_INFINITY });
  watch.show([...pieces].join("").trimEnd().split("\n"), realClock.wallTime());
}

/** The addresses of endpoints that are server names; names that cannot be resolved are left out. */
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
