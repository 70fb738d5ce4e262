import type { Action } from "../model/action.js";
import { type ClusterState, isOpActive, type Op, type OpStatus } from "../model/cluster-state.js";
import { newestOf } from "../steps/waits.js";
import type { Operation, OperationPlan } from "./operation.js";
import { refused } from "./targets.js";

/** Which ended ops are taken off the list: one, or all with a status. */
export type DeleteWish =
  | { readonly op: bigint }
  | { readonly status: Extract<OpStatus, "done" | "failed" | "canceled"> };

/**
 * Takes ended ops off the nameserver's list and out of ZooKeeper (DeleteOP, OpenMLDB 0.8 and later).
 * One that is queued or running is refused: the nameserver would forget it while tablets work on.
 */
export function deleteOpOperation(
  wish: DeleteWish,
  commandLine: (words: readonly string[]) => string,
): Operation {
  const word = "op" in wish ? `--op_id=${wish.op}` : `--status=${wish.status}`;
  return {
    command: "deleteop",
    words: ["deleteop", word],
    needsOff: false,
    concurrency: 1,
    plan: (state) => planDelete(state, wish, commandLine),
    verify: (after, results) =>
      results
        .flatMap(({ action }) => deletedBy(action, after.ops))
        .map((op) => `op ${op.id} (${op.type}) is still listed`),
  };
}

function meant(state: ClusterState, wish: DeleteWish): Op[] {
  return state.ops.filter((op) => ("op" in wish ? op.id === wish.op : op.status === wish.status));
}

/** The listed ops that an action of this command is about: later ones of that status are not. */
export function deletedBy({ with: about = {} }: Action, ops: readonly Op[]): Op[] {
  const { op, status, up_to: upTo = "-1" } = about;
  return ops.filter((one) =>
    op === undefined ? one.status === status && one.id <= BigInt(upTo) : String(one.id) === op,
  );
}

function planDelete(
  state: ClusterState,
  wish: DeleteWish,
  commandLine: (words: readonly string[]) => string,
): OperationPlan {
  const ops = meant(state, wish);
  const active = ops.find(isOpActive);
  if (active !== undefined) {
    throw refused(
      `op ${active.id} (${active.type}) is ${active.status}: deleted now, tablets would go on with it unwatched`,
      `end it first with: ${commandLine(["cancelop", `--op_id=${active.id}`])}`,
    );
  }
  if (ops.length === 0) {
    if ("op" in wish) throw refused(`the nameserver lists no op ${wish.op}`, "see showopstatus");
    return { actions: [], notes: [`no op is listed as ${wish.status}`], facts: [] };
  }
  const upTo = String(newestOf(ops));
  return {
    actions: [
      {
        verb: "delete-op",
        id: undefined,
        endpoint: undefined,
        with: "op" in wish ? { op: String(wish.op) } : { status: wish.status, up_to: upTo },
        why:
          ops.length === 1 ? "an ended op is forgotten" : `${ops.length} ended ops are forgotten`,
      },
    ],
    notes: [],
    facts: ops.map((op) => `op ${op.id} ${op.type} ${op.status}`),
  };
}
