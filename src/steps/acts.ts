import type { Action, ActionVerb } from "../model/action.js";
import type { StepOutcome } from "../model/outcome.js";
import { loadTable } from "./act-load.js";
import { changeLeader, offlineEndpoint, recoverEndpoint, recoverTable } from "./acts-leader.js";
import { cancelOp, deleteOp, markAlive, markDead } from "./acts-manual.js";
import { addReplica, delReplica, migrate } from "./acts-replica.js";
import type { StepContext } from "./step-context.js";

/**
 * Does one action: looks whether it is done already or contradicted (`stale`), acts, follows the
 * op that it queued to its end, and looks at the effect. Throws OpsError where a call fails.
 */
export type Act = (context: StepContext, action: Action) => Promise<StepOutcome>;

/** How each action is done. */
export const ACTS: Readonly<Record<ActionVerb, Act>> = {
  "change-leader": changeLeader,
  "offline-endpoint": offlineEndpoint,
  "recover-endpoint": recoverEndpoint,
  "recover-table": recoverTable,
  "add-replica": addReplica,
  "del-replica": delReplica,
  migrate,
  "mark-alive": markAlive,
  "mark-dead": markDead,
  "load-table": loadTable,
  "cancel-op": cancelOp,
  "delete-op": deleteOp,
};
