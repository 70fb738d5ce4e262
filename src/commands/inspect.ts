import type { InspectFlags } from "../cli/recovery-commands.js";
import type { OpenedCluster } from "../cluster/open.js";
import { realClock } from "../cluster/real-clock.js";
import { messageOf, OpsError } from "../errors.js";
import { EXIT, exitCodeOf } from "../exit-codes.js";
import { INSPECT_SCHEMA_VERSION, inspectionJson } from "../inspect/json-report.js";
import { inspectionScreen } from "../inspect/text-overview.js";
import { durationText } from "../model/duration.js";
import { jsonPieces, jsonText, safe } from "../util/text.js";
import type { CommandIo } from "./command.js";
import { withCluster } from "./connect.js";
import { inspectionResult, inspectOnce, type Looked } from "./inspect-once.js";
import { settleFirst } from "./protect.js";
import { type RunOutputs, withOutputs } from "./run-outputs.js";
import { waitForTablets } from "./wait-tablets.js";
import { ended, print } from "./write.js";

/** Clears a terminal and begins at its top. */
const CLEAR = "\x1b[H\x1b[2J";

/**
 * Looks at the cluster and tells everything that is wrong with it, and what to do. Changes nothing,
 * except that it puts auto_failover back if a run that was killed left it switched off. With
 * `--watch` it looks again and again, until a signal ends it; a look that fails is told, and the
 * watch goes on.
 *
 * @returns 0 if everything is healthy, else 10; 9 if auto_failover could not be put back. With
 *   `--watch` only if stdout was closed, and of the first look.
 * @throws OpsError if the (first) look fails, or if there is no such database or table; with
 *   `--watch` the signal's reason.
 */
export function run(flags: InspectFlags, io: CommandIo): Promise<number> {
  return withOutputs(flags, io, "inspect", (outputs) => inspect(flags, io, outputs));
}

async function inspect(flags: InspectFlags, io: CommandIo, outputs: RunOutputs): Promise<number> {
  const { watchMs } = flags;
  const first = await withCluster(flags, io, async (_cluster, opened) => {
    await waitForTablets(opened.cluster, { flags, lost: flags.lost, io, signal: io.signal });
    const end = await settleFirst(opened, flags, io, "inspect");
    const exitCode = end(await show(await look(opened, flags, io, outputs), flags, io));
    const isOver =
      watchMs === undefined || (await watch(opened, { ...flags, watchMs }, io, outputs));
    return { exitCode, isOver };
  });
  if (watchMs !== undefined && !first.isOver) await rewatch({ ...flags, watchMs }, io, outputs);
  return first.exitCode;
}

type WatchFlags = InspectFlags & { readonly watchMs: number };

async function look(
  opened: OpenedCluster,
  flags: InspectFlags,
  io: CommandIo,
  outputs: RunOutputs,
): Promise<Looked> {
  const looked = await inspectOnce(opened, flags, io, BigInt(flags.maxLag));
  outputs.ended(inspectionResult(looked));
  if (flags.watchMs !== undefined) outputs.write(exitCodeFor(looked));
  return looked;
}

function exitCodeFor({ inspection }: Looked): number {
  return inspection.isHealthy ? EXIT.ok : EXIT.unhealthy;
}

/**
 * Looks on the same connections until a look fails, which it tells.
 *
 * @returns Whether the watch is over because stdout was closed.
 */
async function watch(
  opened: OpenedCluster,
  flags: WatchFlags,
  io: CommandIo,
  outputs: RunOutputs,
): Promise<boolean> {
  for (;;) {
    await realClock.sleep(flags.watchMs, io.signal);
    if (io.stdout.isClosed?.() === true) return true;
    try {
      await show(await look(opened, flags, io, outputs), flags, io);
    } catch (thrown) {
      io.signal.throwIfAborted();
      showFailure(thrown, flags, io);
      return false;
    }
  }
}

/** After a failed look: new connections, and on. Ends by the signal, or when stdout was closed. */
async function rewatch(flags: WatchFlags, io: CommandIo, outputs: RunOutputs): Promise<void> {
  for (;;) {
    try {
      const isOver = await withCluster(flags, io, (_cluster, opened) =>
        watch(opened, flags, io, outputs),
      );
      if (isOver) return;
    } catch (thrown) {
      io.signal.throwIfAborted();
      if (io.stdout.isClosed?.() === true) return;
      showFailure(thrown, flags, io);
      await realClock.sleep(flags.watchMs, io.signal);
    }
  }
}

/** Prints one look, and returns the exit code that it means. */
async function show(looked: Looked, flags: InspectFlags, io: CommandIo): Promise<number> {
  const { inspection, effort } = looked;
  const exitCode = exitCodeFor(looked);
  if (flags.output === "json") {
    const indent = flags.watchMs === undefined ? 2 : 0;
    await print(io, ended(jsonPieces(inspectionJson(inspection, effort, exitCode), indent)));
  } else {
    const screen = {
      hasColor: io.hasColor,
      columns: io.isInteractiveStdout ? io.columns : Number.POSITIVE_INFINITY,
    };
    const isDetailed = flags.isVerbose || flags.table !== undefined;
    const lines = inspectionScreen(inspection, effort, screen, isDetailed);
    writeFramed(lines, flags, io, inspection.facts.nowMs);
  }
  return exitCode;
}

function showFailure(thrown: unknown, flags: InspectFlags, io: CommandIo): void {
  if (!(thrown instanceof OpsError)) throw thrown;
  const { code, hint } = thrown;
  const nowMs = realClock.wallTime();
  if (flags.output === "json") {
    const document = {
      schemaVersion: INSPECT_SCHEMA_VERSION,
      command: "inspect",
      time: new Date(nowMs).toISOString(),
      exitCode: exitCodeOf(thrown),
      error: { code, message: messageOf(thrown), hint: hint ?? null },
    };
    io.stdout.write(`${jsonText(document)}\n`);
    return;
  }
  const lines = [
    ...thrown.details.map(safe),
    `inspect: this look failed: ${safe(messageOf(thrown))}${hint === undefined ? "" : ` (${safe(hint)})`}`,
  ];
  writeFramed(lines, flags, io, nowMs);
}

/** With `--watch`: drawn anew on a terminal, else one block after the other, each with its time. */
function writeFramed(
  lines: readonly string[],
  { watchMs }: InspectFlags,
  io: CommandIo,
  nowMs: number,
): void {
  const text = `${lines.join("\n")}\n`;
  if (watchMs === undefined) {
    io.stdout.write(text);
    return;
  }
  const stamp = `== ${new Date(nowMs).toISOString()}, every ${durationText(watchMs)}\n`;
  if (io.isInteractiveStdout) io.stdout.control?.(CLEAR);
  io.stdout.write(io.isInteractiveStdout ? `${stamp}${text}` : `${stamp}${text}\n`);
}
