import { FOREIGN_DB } from "../../src/sandbox/model/model-absence.js";
import { isStranger } from "./partitions.js";
import { type Mutation, modeOf, type World } from "./world.js";

/**
 * The stranger that a call goes to, or is about. Saying that it is not alive is about the record, and
 * DelReplica about the list of the leader that is called.
 */
export function strangerOf(
  { model }: World,
  { method, called, request }: Mutation,
): string | undefined {
  const isMark = method === "UpdateTableAliveStatus" && request["isAlive"] === false;
  const isAside = isMark || method === "DelReplica";
  const named = isAside ? [] : [request["endpoint"], request["candidateLeader"]];
  return [called, ...named]
    .filter((one) => typeof one === "string")
    .find((one) => isStranger(model, one) && !hasOurs(model, one));
}

/** Whether the nameserver's own ops have sent a stranger a replica of ours: it shows what our tablet shows. */
function hasOurs(model: World["model"], endpoint: string): boolean {
  const loaded = model.tablet(endpoint).loaded();
  return loaded.some(({ dir }) => dir.meta.db !== FOREIGN_DB);
}

/** Whether everything that a stranger has loaded is a copy of ours, so that no call tells it from our tablet. */
export function looksLikeOurs(model: World["model"], endpoint: string): boolean {
  const loaded = model.tablet(endpoint).loaded();
  const isOurs = loaded.every(({ dir }) => dir.meta.db !== FOREIGN_DB);
  return isStranger(model, endpoint) && loaded.length > 0 && isOurs;
}

/**
 * Whether a call is one that may come before anything shows whose tablet it is: nothing is loaded there, and it
 * is what gets something loaded. The documented way has calls of its own for that.
 */
export function comesFirst(
  { model }: World,
  endpoint: string,
  mutation: Mutation,
  isDocumented: boolean,
): boolean {
  const { method } = mutation;
  const isLoad = method === "LoadTable" && (isDocumented || modeOf(mutation) === 2);
  const isRecovery = isDocumented && (method === "RecoverTable" || method === "RecoverEndpoint");
  return (isLoad || isRecovery) && model.tablet(endpoint).loaded().length === 0;
}
