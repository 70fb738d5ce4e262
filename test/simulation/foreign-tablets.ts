import { FOREIGN_DB } from "../../src/sandbox/model/model-absence.js";
import { isForeignTablet } from "./partitions.js";
import { type Mutation, modeOf, type World } from "./world.js";

/**
 * The tablet of another cluster that a call goes to or names; undefined: none. An endpoint that is only named does not count in
 * two calls: UpdateTableAliveStatus(no) changes the nameserver's record only, and DelReplica the list of the called leader only.
 */
export function foreignTabletCalled(
  { model }: World,
  { method, called, request }: Mutation,
): string | undefined {
  const isMark = method === "UpdateTableAliveStatus" && request["isAlive"] === false;
  const isAside = isMark || method === "DelReplica";
  const named = isAside ? [] : [request["endpoint"], request["candidateLeader"]];
  return [called, ...named]
    .filter((one) => typeof one === "string")
    .find((one) => isForeignTablet(model, one) && !hasOurs(model, one));
}

/**
 * True if the nameserver's own ops have copied a replica of ours to a tablet of another cluster: its answers are then the same
 * as those of ours.
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
  return isForeignTablet(model, endpoint) && loaded.length > 0 && isOurs;
}

/**
 * True if a call may be made before the tablet is identified: nothing is loaded there, and the call loads something. The
 * documented method loads by its own calls.
 */
export function mayPrecedeIdentification(
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
