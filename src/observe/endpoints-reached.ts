import type { Endpoint } from "../model/cluster-state.js";
import { type ByMethod, byMethod, type MutationCall } from "../run/watch-mutations.js";

/** See {@link endpointsReached}. */
const REACHED: ByMethod<readonly (Endpoint | undefined)[]> = {
  confSet: () => [],
  cancelOp: () => [],
  deleteOp: () => [],
  offlineEndpoint: () => [],
  updateTableAlive: ({ endpoint }, isAlive) => (isAlive ? [endpoint] : []),
  setPartitionFlags: (_id, { leader }) => [leader],
  // The tablet that is replaced may be gone.
  setReplicaEndpoint: (_id, _endpoint, to) => [to],
  addReplica: (leader, _id, follower) => [leader, follower],
  migrate: (from, _table, to) => [from, to],
  loadTable: (endpoint, { followers }) => [endpoint, ...followers],
  changeRole: (endpoint, { followers }) => [endpoint, ...followers],
  recoverTable: (_id, endpoint) => [endpoint],
  changeLeader: (_id, candidate) => [candidate],
  recoverEndpoint: (endpoint) => [endpoint],
  addReplicaNS: (_id, endpoint) => [endpoint],
  delReplicaNS: (_id, endpoint) => [endpoint],
  delReplica: (leader) => [leader],
  recoverSnapshot: (endpoint) => [endpoint],
};

/** The tablets that a change reaches, directly or through the nameserver or another tablet. */
export function endpointsReached(call: MutationCall): readonly Endpoint[] {
  return byMethod(REACHED, call).filter((endpoint) => endpoint !== undefined);
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
