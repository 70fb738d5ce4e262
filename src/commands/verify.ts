import type { VerifyFlags } from "../cli/verify-specs.js";
import { assertKnown, selected } from "../diagnosis/selection.js";
import { EXIT } from "../exit-codes.js";
import type { Inspection } from "../inspect/inspection.js";
import { countsJson, INSPECT_SCHEMA_VERSION } from "../inspect/json-report.js";
import { inspectionRows } from "../inspect/report-rows.js";
import { verdictText } from "../inspect/text-report.js";
import type { RowsReport } from "../model/rows.js";
import { rowsCounts, rowsJson, rowsText, withRows } from "../report/rows-report.js";
import { jsonText } from "../util/text.js";
import type { CommandIo } from "./command.js";
import { type DeepSubject, resumableDeepVerify, withRowsExit } from "./deep-verify.js";
import { inspectOnce } from "./inspect-facts.js";
import { withClusterAndProgress } from "./progress.js";
import { settleFirst } from "./protect.js";
import { type RunOutputs, withOutputs } from "./run-outputs.js";
import { waitForTablets } from "./wait-tablets.js";
import { ended, lined, print } from "./write.js";

/** Any value will do: lag is only a warning, which the exit code does not depend on. */
const NO_LAG_LIMIT = 10_000n;

/**
 * Inspects the cluster like `inspect` but prints the verdict only; with `--deep` it also compares the rows of all
 * replicas. Changes nothing, except that it restores auto_failover if a run that was killed left it off.
 *
 * @returns 0 if everything is healthy, 10 if not or if rows differ, 3 if some rows could not be compared; 9 if
 *   auto_failover could not be restored.
 * @throws OpsError if the cluster cannot be observed, or if there is no such database or table.
 */
export function run(flags: VerifyFlags, io: CommandIo): Promise<number> {
  return withOutputs(flags, io, "verify", (outputs) => verify(flags, io, outputs));
}

function verify(flags: VerifyFlags, io: CommandIo, outputs: RunOutputs): Promise<number> {
  const { signal } = io;
  return withClusterAndProgress(flags, io, "verify", async (opened, { onEvent, stop }) => {
    await waitForTablets(opened.cluster, { flags, onEvent, signal });
    const end = await settleFirst(opened, flags, io, "verify");
    const inspected = await inspectOnce(opened, flags, { maxLag: NO_LAG_LIMIT, signal, onEvent });
    const { inspection } = inspected;
    const rows = flags.isDeep
      ? await resumableDeepVerify(opened.cluster, deepSubject(flags, inspection), {
          flags,
          io,
          onEvent,
        })
      : undefined;
    outputs.ended(() => withRows(inspectionRows(inspection, inspected.effort.calls), rows));
    const verdict = inspection.isHealthy ? EXIT.ok : EXIT.unhealthy;
    const exitCode = end(withRowsExit(verdict, rows));
    stop();
    await print(
      io,
      flags.output === "json"
        ? ended([json(inspection, rows, exitCode)])
        : lined(text(inspection, rows)),
    );
    return exitCode;
  });
}

/** @throws OpsError `refused` if there is no such partition. */
function deepSubject({ pids, table }: VerifyFlags, { facts }: Inspection): DeepSubject {
  const only = pids === undefined || pids === "all" ? {} : { table, pids };
  assertKnown(facts.views, only);
  return {
    views: selected(facts.views, only),
    tablets: facts.state.tablets,
  };
}

function text(inspection: Inspection, rows: RowsReport | undefined): readonly string[] {
  const verdict = `verify: ${verdictText(inspection)}`;
  return rows === undefined ? [verdict] : [verdict, ...rowsText(rows)];
}

function json(inspection: Inspection, rows: RowsReport | undefined, exitCode: number): string {
  const codes = inspection.findings.filter((one) => one.level === "error").map((one) => one.code);
  const differ = rows !== undefined && rowsCounts(rows).different > 0;
  return jsonText({
    schemaVersion: INSPECT_SCHEMA_VERSION,
    command: "verify",
    time: new Date(inspection.facts.nowMs).toISOString(),
    exitCode,
    healthy: inspection.isHealthy && !differ,
    counts: countsJson(inspection),
    errors: [...new Set([...codes, ...(differ ? ["rows-differ"] : [])])],
    ...(rows === undefined ? {} : { rows: rowsJson(rows) }),
  });
}
