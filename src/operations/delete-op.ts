import { refused } from "../errors.js";
import { type ClusterState, isOpActive, type Op, type OpStatus } from "../model/cluster-state.js";
import { newestOf } from "../model/ops.js";
import type { DeletedOps } from "../model/step.js";
import type { PrintCommand } from "../model/tool-command.js";
import type { Operation, OperationPlan } from "./operation.js";

/** Which ended ops are deleted from the list: one, or all with a status. */
export type DeleteOptions =
  | { readonly op: bigint }
  | { readonly status: Extract<OpStatus, "done" | "failed" | "canceled"> };

/**
 * Deletes ended ops from the nameserver's list and from ZooKeeper (DeleteOP, OpenMLDB 0.8 and later).
 * An op that is queued or running is refused: tablets would continue it unobserved.
 */
export function deleteOpOperation(options: DeleteOptions, print: PrintCommand): Operation {
  return {
    typed: {
      cmd: "deleteop",
      ...("op" in options ? { op_id: options.op } : { status: options.status }),
    },
    needsOff: false,
    concurrency: 1,
    plan: (state) => planDelete(state, options, print),
    verify: (after, results) =>
      results
        .flatMap(({ step }) => (step.kind === "delete-op" ? deletedBy(step, after.ops) : []))
        .map((op) => `op ${op.id} (${op.type}) is still listed`),
  };
}

function meant(state: ClusterState, options: DeleteOptions): Op[] {
  return state.ops.filter((op) =>
    "op" in options ? op.id === options.op : op.status === options.status,
  );
}

/**
 * The listed ops that a step of this command deletes: ops of that status that ended later are not
 * included.
 */
export function deletedBy({ ops }: { readonly ops: DeletedOps }, all: readonly Op[]): Op[] {
  return all.filter((one) =>
    "op" in ops ? one.id === ops.op : one.status === ops.status && one.id <= ops.upTo,
  );
}

function planDelete(
  state: ClusterState,
  options: DeleteOptions,
  print: PrintCommand,
): OperationPlan {
  const ops = meant(state, options);
  const active = ops.find(isOpActive);
  if (active !== undefined) {
    throw refused(
      `op ${active.id} (${active.type}) is ${active.status}: if it were deleted now, tablets would continue it unobserved`,
      `end it first with: ${print({ cmd: "cancelop", op_id: active.id })}`,
    );
  }
  if (ops.length === 0) {
    if ("op" in options)
      throw refused(`the nameserver lists no op ${options.op}`, "see showopstatus");
    return { steps: [], notes: [`no op is listed as ${options.status}`], restsOn: [] };
  }
  const upTo = newestOf(ops);
  return {
    steps: [
      {
        kind: "delete-op",
        ops: "op" in options ? { op: options.op } : { status: options.status, upTo },
        why:
          ops.length === 1
            ? "an ended op is removed from the list"
            : `${ops.length} ended ops are removed from the list`,
      },
    ],
    notes: [],
    restsOn: [],
    facts: Object.fromEntries(ops.map((op) => [`op ${op.id}`, `${op.type}, ${op.status}`])),
  };
}
