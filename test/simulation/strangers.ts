import { FOREIGN_DB } from "../../src/sandbox/model/model-absence.js";
import { isStranger } from "./partitions.js";
import { type Mutation, modeOf, type World } from "./world.js";

/**
 * The tablet of another cluster that a call goes to or names; undefined: none. Marking it not alive
 * concerns the record, and DelReplica the list of the leader that is called: these two do not count.
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

/**
 * True if the nameserver's own ops have sent a tablet of another cluster a replica of ours: it answers
 * like ours.
 */
function hasOurs(model: World["model"], endpoint: string): boolean {
  const loaded = model.tablet(endpoint).loaded();
  return loaded.some(({ dir }) => dir.meta.db !== FOREIGN_DB);
}

/**
 * True if everything that a tablet of another cluster has loaded is a copy of ours, so that no call
 * distinguishes it from our tablet.
 */
export function looksLikeOurs(model: World["model"], endpoint: string): boolean {
  const loaded = model.tablet(endpoint).loaded();
  const isOurs = loaded.every(({ dir }) => dir.meta.db !== FOREIGN_DB);
  return isStranger(model, endpoint) && loaded.length > 0 && isOurs;
}

/**
 * True if a call is one that may come before any answer shows whose tablet it is: nothing is loaded
 * there, and the call loads something. The documented method has calls of its own for that.
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
