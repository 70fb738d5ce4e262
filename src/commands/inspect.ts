import type { InspectFlags } from "../cli/recovery-specs.js";
import { EXIT } from "../exit-codes.js";
import { inspectionJson } from "../inspect/json-report.js";
import { inspectionRows } from "../inspect/report-rows.js";
import { inspectionScreen } from "../inspect/text-overview.js";
import { jsonPieces } from "../util/text.js";
import { inTurns } from "../util/yielding.js";
import type { CommandIo } from "./command.js";
import { inspectOnce, type MeasuredInspection } from "./inspect-facts.js";
import { type RunOutputs, withOutputs } from "./run-outputs.js";
import { waitForTablets } from "./wait-tablets.js";
import { observeOrWatch, type WatchScreen } from "./watch.js";
import { ended, print, tableScreen } from "./write.js";

/**
 * Inspects the cluster and prints all problems with advice. Changes nothing, except that it restores auto_failover if
 * a run that was killed left it off. With `--watch` it repeats that until a signal or `q` ends it; a failed
 * observation is reported, and the watch continues.
 *
 * @returns 0 if everything is healthy, else 10; 9 if auto_failover could not be restored. With `--watch` it returns
 *   only if stdout was closed or `q` was typed, with the exit code of the first inspection.
 * @throws OpsError if the (first) observation fails, or if there is no such database or table; with `--watch` the
 *   signal's reason.
 */
export function run(flags: InspectFlags, io: CommandIo): Promise<number> {
  return withOutputs(flags, io, "inspect", (outputs) => inspect(flags, io, outputs));
}

function inspect(flags: InspectFlags, io: CommandIo, outputs: RunOutputs): Promise<number> {
  const { watchMs } = flags;
  return observeOrWatch({
    command: "inspect",
    flags,
    io,
    watchMs,
    begin: ({ cluster }, onEvent) =>
      waitForTablets(cluster, { flags, lost: flags.lost, onEvent, signal: io.signal }),
    async observe(opened, onEvent) {
      const { signal } = io;
      const maxLag = BigInt(flags.maxLag);
      const inspected = await inspectOnce(opened, flags, { maxLag, signal, onEvent });
      outputs.ended(() => inspectionRows(inspected.inspection, inspected.effort.calls));
      if (watchMs !== undefined) outputs.write(exitCodeFor(inspected));
      return inspected;
    },
    async show(inspected, screen, end) {
      const exitCode = end(exitCodeFor(inspected));
      await show({ ...inspected, exitCode }, flags, io, screen);
      return exitCode;
    },
  });
}

function exitCodeFor({ inspection }: MeasuredInspection): number {
  return inspection.isHealthy ? EXIT.ok : EXIT.unhealthy;
}

async function show(
  { inspection, effort, exitCode }: MeasuredInspection & { readonly exitCode: number },
  flags: InspectFlags,
  io: CommandIo,
  watch: WatchScreen | undefined,
): Promise<void> {
  if (flags.output === "json") {
    const indent = flags.watchMs === undefined ? 2 : 0;
    await print(io, ended(jsonPieces(inspectionJson(inspection, effort, exitCode), indent)));
  } else {
    const screen = tableScreen(flags, io, watch?.margin);
    const isDetailed = flags.isVerbose || flags.table !== undefined;
    const lines = await inTurns(inspectionScreen(inspection, effort, screen, isDetailed));
    if (watch === undefined) io.stdout.write(`${lines.join("\n")}\n`);
    else watch.show(lines, inspection.facts.nowMs);
  }
}
