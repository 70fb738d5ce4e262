import type { VerifyFlags } from "../cli/recovery-commands.js";
import { EXIT } from "../exit-codes.js";
import { countsJson, INSPECT_SCHEMA_VERSION } from "../inspect/json-report.js";
import { verdictText } from "../inspect/text-report.js";
import { jsonText } from "../util/text.js";
import type { CommandIo } from "./command.js";
import { withCluster } from "./connect.js";
import { inspectionResult, inspectOnce } from "./inspect-once.js";
import { settleFirst } from "./protect.js";
import { type RunOutputs, withOutputs } from "./run-outputs.js";
import { waitForTablets } from "./wait-tablets.js";

/** The judgement does not depend on it: a lag of any size is a warning. */
const NO_LAG_LIMIT = 10_000n;

/**
 * Judges the cluster as `inspect` does and says no more than that. Changes nothing, except that it
 * puts auto_failover back if a run that was killed left it switched off.
 *
 * @returns 0 if it is healthy, else 10; 9 if auto_failover could not be put back.
 * @throws OpsError if the cluster cannot be observed, or if there is no such database or table.
 */
export function run(flags: VerifyFlags, io: CommandIo): Promise<number> {
  return withOutputs(flags, io, "verify", (outputs) => verify(flags, io, outputs));
}

function verify(flags: VerifyFlags, io: CommandIo, outputs: RunOutputs): Promise<number> {
  return withCluster(flags, io, async (_cluster, opened) => {
    await waitForTablets(opened.cluster, { flags, io, signal: io.signal });
    const end = await settleFirst(opened, flags, io, "verify");
    const looked = await inspectOnce(opened, flags, io, NO_LAG_LIMIT);
    const { inspection } = looked;
    outputs.ended(inspectionResult(looked));
    const exitCode = end(inspection.isHealthy ? EXIT.ok : EXIT.unhealthy);
    const codes = [...inspection.findings.filter((one) => one.level === "error")].map(
      (one) => one.code,
    );
    io.stdout.write(
      flags.output === "json"
        ? `${jsonText({
            schemaVersion: INSPECT_SCHEMA_VERSION,
            command: "verify",
            time: new Date(inspection.facts.nowMs).toISOString(),
            exitCode,
            healthy: inspection.isHealthy,
            counts: countsJson(inspection),
            errors: [...new Set(codes)],
          })}\n`
        : `verify: ${verdictText(inspection)}\n`,
    );
    return exitCode;
  });
}
