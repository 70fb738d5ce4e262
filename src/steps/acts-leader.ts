import type { Action } from "../model/action.js";
import type { Endpoint, PartitionId } from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";
import { electLeader } from "./elect-leader.js";
import { offlineReplica, offlineWhole, recoverWhole } from "./endpoint-work.js";
import { recoverReplica } from "./recover-replica.js";
import type { StepContext } from "./step-context.js";

/** In `Action.with`: rows may be given up, on the operator's word. */
export const ACCEPT = "accept_data_loss";
/** In `Action.with` of change-leader: the fresh offset of a leader that cannot be asked. */
const SEEN = "last_seen";
/** In `Action.with` of recover-table: the newest term before the leader was changed. */
export const SINCE = "since_term";
/** In `Action.with` of actions on a whole tablet: the nameserver's queues to use. */
export const CONCURRENCY = "concurrency";

/** The word of `Action.with` for what the plan proved of a leader that cannot be asked. */
export function seenWord(lastSeen: bigint | undefined): Record<string, string> {
  return lastSeen === undefined ? {} : { [SEEN]: String(lastSeen) };
}

/** Makes `action.endpoint` the leader of a new term; see {@link electLeader}. */
export function changeLeader(context: StepContext, action: Action): Promise<StepOutcome> {
  const { id, endpoint } = subject(action);
  const lastSeen = action.with?.[SEEN];
  return electLeader(context, id, endpoint, {
    acceptsLoss: accepts(action),
    lastSeen: lastSeen === undefined ? undefined : BigInt(lastSeen),
  });
}

/** Brings one replica back; see {@link recoverReplica}. */
export function recoverTable(context: StepContext, action: Action): Promise<StepOutcome> {
  const { id, endpoint } = subject(action);
  const since = action.with?.[SINCE];
  return recoverReplica(context, id, endpoint, {
    acceptsLoss: accepts(action),
    since: since === undefined ? undefined : BigInt(since),
  });
}

/** Takes one replica out of service, or with no partition named a whole tablet. */
export function offlineEndpoint(context: StepContext, action: Action): Promise<StepOutcome> {
  const { id, endpoint = "" } = action;
  return id === undefined
    ? offlineWhole(context, endpoint, concurrencyOf(action))
    : offlineReplica(context, id, endpoint);
}

/** Brings all replicas of a tablet back that are marked not alive. */
export function recoverEndpoint(context: StepContext, action: Action): Promise<StepOutcome> {
  return recoverWhole(context, action.endpoint ?? "", concurrencyOf(action));
}

function subject({ id, endpoint }: Action): { id: PartitionId; endpoint: Endpoint } {
  if (id === undefined || endpoint === undefined) throw new Error("an action without its subject");
  return { id, endpoint };
}

function accepts(action: Action): boolean {
  return action.with?.[ACCEPT] === "true";
}

function concurrencyOf(action: Action): number | undefined {
  const text = action.with?.[CONCURRENCY];
  return text === undefined ? undefined : Number(text);
}
