import { commandPrinter } from "../cli/printed-command.js";
import type { InspectFlags } from "../cli/recovery-specs.js";
import type { JudgeFlags } from "../cli/verify-specs.js";
import type { OpenedCluster } from "../cluster/open.js";
import { type Inspection, inspectFacts } from "../inspect/inspection.js";
import type { Effort } from "../inspect/text-report.js";
import type { OnEvent } from "../model/outcome.js";
import { inTurns } from "../util/yielding.js";
import { gatherFacts } from "./inspect-facts.js";
import { knownOffsetsStore } from "./protect.js";

/** One inspection, with its duration and number of calls. */
export interface Looked {
  readonly inspection: Inspection;
  readonly effort: Effort;
}

/**
 * Inspects the cluster once, for `inspect` and `verify`.
 *
 * @throws OpsError if the cluster cannot be observed, or if there is no such database or table.
 */
export async function inspectOnce(
  opened: OpenedCluster,
  flags: JudgeFlags & Partial<Pick<InspectFlags, "lost">>,
  {
    maxLag,
    signal,
    onEvent,
  }: { readonly maxLag: bigint; readonly signal: AbortSignal; readonly onEvent: OnEvent },
): Promise<Looked> {
  const { cluster, zk, rootPath } = opened;
  const began = cluster.clock.now();
  const callsBefore = cluster.callCount();
  const facts = await gatherFacts({
    cluster,
    zk,
    rootPath,
    zkHosts: flags.zkCluster,
    db: flags.db,
    table: flags.table,
    maxLag,
    ...(flags.lost === undefined ? {} : { lost: flags.lost }),
    knownOffsetsStore: knownOffsetsStore(opened, onEvent),
    signal,
    onEvent,
    print: commandPrinter(flags),
  });
  const inspection = await inTurns(inspectFacts(facts));
  const effort = {
    tookMs: cluster.clock.now() - began,
    calls: cluster.callCount() - callsBefore,
  };
  return { inspection, effort };
}
