import type { CommonFlags } from "../cli/common-specs.js";
import type { Cluster } from "../cluster/cluster.js";
import type { OpenedCluster } from "../cluster/open.js";
import { realClock } from "../cluster/real-clock.js";
import { EXIT } from "../exit-codes.js";
import type { OnEvent } from "../model/outcome.js";
import { type Shown, shownText } from "../show/shown.js";
import { jsonPieces } from "../util/text.js";
import type { Command, CommandIo } from "./command.js";
import { observeOrWatch, type WatchScreen } from "./watch.js";
import { ended, print, tableScreen } from "./write.js";

const SCHEMA_VERSION = 1;

/** The result of a query, and the exit code if it is not 0. */
export type Answer = Shown & { readonly exitCode?: number };

/** Flags of a show command; some of these commands have `--watch`. */
type ShowFlags = CommonFlags & { readonly watchMs?: number | undefined };

/** The parts of a query of a show command, in addition to the cluster. */
export interface ShowQuery<F> {
  readonly flags: F;
  readonly io: CommandIo;
  readonly opened: OpenedCluster;
  readonly onEvent: OnEvent;
}

/**
 * Creates a show command: it connects, restores auto_failover after a run that died, queries, and prints a table or one
 * JSON document; with `--watch` repeatedly. It returns 0, or the exit code of the query; 9 if auto_failover could not be
 * restored. It throws an OpsError if the cluster cannot be read, or if the requested object does not exist.
 */
export function showCommand<F extends ShowFlags>(
  command: string,
  query: (cluster: Cluster, on: ShowQuery<F>) => Promise<Answer>,
): Command<F> {
  return {
    run: (flags, io) =>
      observeOrWatch({
        command,
        flags,
        io,
        watchMs: flags.watchMs,
        connecting: { endsCallsOnSignal: true },
        observe: (opened, onEvent) => query(opened.cluster, { flags, io, opened, onEvent }),
        async show(answer, screen, end) {
          const exitCode = end(answer.exitCode ?? EXIT.ok);
          await printAnswer({ command, answer, exitCode }, flags, io, screen);
          return exitCode;
        },
      }),
  };
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
  const screen = tableScreen(flags, io, watch?.margin);
  if (watch === undefined) return await print(io, shownText(answer, screen));
  const pieces = shownText(answer, { ...screen, rows: Number.POSITIVE_INFINITY });
  watch.show([...pieces].join("").trimEnd().split("\n"), realClock.wallTime());
}
