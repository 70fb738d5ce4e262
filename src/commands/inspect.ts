import type { InspectFlags } from "../flags.js";
import { inspectCluster } from "../recovery/inspect-cluster.js";
import { isAllHealthy, reportJson, reportText } from "../recovery/report.js";
import type { CommandIo } from "./command.js";
import { withCluster } from "./connect.js";
import { settleFirst } from "./protect.js";
import { commandLine } from "./rerun.js";

/** Exit codes of a look at the cluster; see the table in `exit-codes.ts`. */
const HEALTHY = 0;
const UNHEALTHY = 10;

/**
 * Looks at the cluster and says what is wrong with it. Changes nothing, except that it puts
 * auto_failover back if a run that was killed left it switched off.
 *
 * @returns 0 if everything is healthy, else 10; 9 if auto_failover could not be put back.
 * @throws OpsError if the cluster cannot be observed.
 */
export async function run(flags: InspectFlags, io: CommandIo): Promise<number> {
  const { report, end } = await withCluster(flags, io, async (cluster, opened) => {
    const end = await settleFirst(opened, flags, io, "inspect");
    const report = await inspectCluster(cluster, {
      db: flags.db,
      signal: io.signal,
      rerun: commandLine(["--cmd=recoverdata"], flags),
    });
    return { report, end };
  });
  const exitCode = isAllHealthy(report) && report.sickTablets.length === 0 ? HEALTHY : UNHEALTHY;
  io.stdout.write(
    flags.output === "json"
      ? `${reportJson(report, exitCode)}\n`
      : `${reportText(report).join("\n")}\n`,
  );
  return end(exitCode);
}
