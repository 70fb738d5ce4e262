import { DEEP_DEFAULTS } from "../cli/verify-specs.js";
import { messageOf, OpsError } from "../errors.js";
import { EXIT } from "../exit-codes.js";
import { replicaKey } from "../model/cluster-state.js";
import { viewingPartitions } from "../model/partition-view.js";
import type { RunReport } from "../model/report.js";
import type { RowsReport } from "../model/rows.js";
import { observe } from "../observe/cluster.js";
import { identifiedCluster } from "../observe/identified-cluster.js";
import { rowsCounts } from "../report/rows-report.js";
import { inTurns } from "../util/yielding.js";
import type { ChangingRun } from "./changing-run.js";
import type { CommandIo } from "./command.js";
import { type DeepFlags, deepVerify } from "./deep-verify.js";

/** The result of comparing rows after a recovery. */
export type DeepEnd =
  | { readonly rows: RowsReport }
  /** The error that ended it early. */
  | { readonly error: OpsError };

/** Compares the rows of the reported partitions with the defaults of `verify --deep`. Never throws an OpsError. */
export async function deepAfterRecovery(
  { partitions }: RunReport,
  { opened, signal, onEvent }: ChangingRun,
  flags: Omit<DeepFlags, keyof typeof DEEP_DEFAULTS>,
  io: CommandIo,
): Promise<DeepEnd> {
  const worked = new Set(partitions.map(({ id }) => replicaKey(id)));
  try {
    const state = await observe(identifiedCluster(opened.cluster), { signal, onEvent });
    const views = await inTurns(viewingPartitions(state));
    const subject = {
      views: views.filter(({ id }) => worked.has(replicaKey(id))),
      tablets: state.tablets,
    };
    return {
      rows: await deepVerify(opened.cluster, subject, {
        flags: { ...flags, ...DEEP_DEFAULTS },
        signal,
        onEvent,
      }),
    };
  } catch (error) {
    if (!(error instanceof OpsError)) throw error;
    io.log.warn(`the comparison of rows did not finish: ${messageOf(error)}`);
    return { error };
  }
}

/** The exit code of a recovery combined with the result of comparing rows. */
export function withDeepExit(exitCode: number, deep: DeepEnd | undefined): number {
  if (deep === undefined || exitCode === EXIT.notRestored) return exitCode;
  if ("error" in deep) return EXIT.partly;
  const { different, notComparable } = rowsCounts(deep.rows);
  if (different > 0) return EXIT.unhealthy;
  return notComparable > 0 ? EXIT.partly : exitCode;
}
