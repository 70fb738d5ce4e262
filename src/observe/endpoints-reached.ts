import type { Endpoint } from "../model/cluster-state.js";
import type { MutationCall, PlainData } from "../run/watch-mutations.js";

/**
 * The tablets that a change reaches, directly or through the nameserver or another tablet.
 */
export function endpointsReached({ method, target, args }: MutationCall): readonly Endpoint[] {
  const own = target.endpoint === undefined ? [] : [target.endpoint];
  switch (method) {
    case "confSet":
    case "cancelOp":
    case "deleteOp":
    case "offlineEndpoint":
      return [];
    case "updateTableAlive":
      return args[1] === true ? own : [];
    case "setPartitionFlags":
      return texts(part(args[1], "leader"));
    case "setReplicaEndpoint":
      // The tablet that is replaced may be gone.
      return texts(args[2]);
    case "addReplica":
    case "migrate":
      return [...own, ...texts(args[2])];
    case "loadTable":
    case "changeRole":
      return [...own, ...texts(part(args[1], "followers"))];
    case "recoverTable":
    case "changeLeader":
    case "recoverEndpoint":
    case "addReplicaNS":
    case "delReplicaNS":
    case "delReplica":
    case "recoverSnapshot":
      return own;
  }
}

/**
 * True if a change affects the nameserver's record only: nothing is sent to the tablets that it names.
 */
export function isOfRecord({ method }: MutationCall): boolean {
  return (
    method === "updateTableAlive" ||
    method === "setPartitionFlags" ||
    method === "setReplicaEndpoint"
  );
}

/**
 * True if a change may be the first one for a tablet that has nothing loaded to identify it: the change
 * itself gets a replica loaded.
 */
export function comesFirst({ method, target, args }: MutationCall, endpoint: Endpoint): boolean {
  switch (method) {
    case "loadTable":
    case "recoverTable":
    case "recoverEndpoint":
    case "addReplicaNS":
      return target.endpoint === endpoint;
    case "migrate":
      return args[2] === endpoint;
    default:
      return false;
  }
}

function part(value: PlainData | undefined, name: string): PlainData | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return (value as { readonly [key: string]: PlainData })[name];
}

function texts(value: PlainData | undefined): string[] {
  const all = Array.isArray(value) ? value : [value];
  return all.filter((one): one is string => typeof one === "string");
}
