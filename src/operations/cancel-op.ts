import { refused } from "../errors.js";
import { type ClusterState, isOpActive, type Op } from "../model/cluster-state.js";
import { tableName } from "../model/partition-name.js";
import { partitionName, viewPartitions } from "../model/partition-view.js";
import type { PrintCommand } from "../model/tool-command.js";
import type { Operation, OperationPlan } from "./operation.js";
import { switchedOffNote } from "./targets.js";

/** An op in words. */
function opText({ id, type, status, task, db, table, pid }: Op): string {
  const of = table === "" ? "" : ` of ${tableName({ db, table })}:${pid}`;
  return `op ${id} (${type}${of}, ${status}${task === "-" ? "" : ` at ${task}`})`;
}

/**
 * Cancels an op that is queued or running (CancelOP). Its effects so far stay; if it left a leader in
 * kSnapshotPaused, the output names the leader.
 */
export function cancelOpOperation(options: {
  readonly op: bigint;
  readonly print: PrintCommand;
}): Operation {
  return {
    typed: { cmd: "cancelop", op_id: options.op },
    needsOff: true,
    concurrency: 1,
    plan: (state) => planCancel(state, options.op),
    verify: (after) => after.ops.filter((op) => op.id === options.op && isOpActive(op)).map(opText),
    conclude: (after, results) => (results.length === 0 ? [] : leftovers(after, options)),
  };
}

function planCancel(state: ClusterState, id: bigint): OperationPlan {
  const op = state.ops.find((one) => one.id === id);
  if (op === undefined) {
    const active = state.ops.filter(isOpActive).map(opText);
    throw refused(
      `the nameserver lists no op ${id}`,
      active.length === 0
        ? "no op is queued or running now"
        : `queued or running now: ${active.join(", ")}`,
    );
  }
  if (!isOpActive(op)) {
    return { steps: [], notes: [`it has ended: ${opText(op)}`], restsOn: [] };
  }
  return {
    steps: [
      {
        kind: "cancel-op",
        op: id,
        why: `${opText(op)} ends at its current task; its effects so far stay`,
      },
    ],
    notes: switchedOffNote(state, ", and may then queue the op again"),
    restsOn: [],
    facts: { [`op ${op.id}`]: `${op.type} of ${tableName(op)}:${op.pid}` },
  };
}

/** Leaders that the op left in kSnapshotPaused. */
function leftovers(
  after: ClusterState,
  { op: id, print }: Parameters<typeof cancelOpOperation>[0],
): string[] {
  const op = after.ops.find((one) => one.id === id);
  return viewPartitions(after)
    .filter((view) => view.id.db === op?.db && view.id.table === op.table && view.id.pid === op.pid)
    .filter((view) => view.activeOps.length === 0)
    .flatMap((view) =>
      view.replicas
        .filter((one) => one.report?.state === "snapshot-paused")
        .map(
          (one) =>
            `${partitionName(view.id)}: ${one.endpoint} is left in kSnapshotPaused; repair it with: ${print({ cmd: "recoverdata", db: view.id.db || undefined })}`,
        ),
    );
}
