import type { Cluster } from "../cluster/cluster.js";

/**
 * The methods that change nothing in the cluster. Every other method of `Cluster` counts as changing,
 * so a method that is added later is watched, or does not compile, until it is listed here.
 */
type ReadingMethod =
  | "clock"
  | "topology"
  | "storedTables"
  | "addressOf"
  | "leftRegistration"
  | "nameserverRole"
  | "showTablet"
  | "showTable"
  | "confGet"
  | "showOpStatus"
  | "showDatabase"
  | "getTermPair"
  | "getManifest"
  | "getTableSchema"
  | "traverse"
  | "getTableStatus"
  | "getTableFollower"
  | "connection"
  | "admit"
  | "repeatingWhile"
  | "callCount"
  | "close";

/** The methods that change the cluster. */
export type MutatingMethod = Exclude<keyof Cluster, ReadingMethod>;

/** What a change is about; parts that the call does not name are missing. */
export interface MutationTarget {
  readonly endpoint?: string;
  readonly db?: string;
  readonly table?: string;
  readonly tid?: number;
  readonly pid?: number;
}

/** Data that JSON.stringify accepts unchanged. */
export type PlainData =
  | string
  | number
  | boolean
  | null
  | readonly PlainData[]
  | { readonly [key: string]: PlainData };

/** One call that changes the cluster. */
export interface MutationCall {
  /** Unique within one watched cluster: "m1", "m2", ... in the order of the calls. */
  readonly id: string;
  readonly method: MutatingMethod;
  readonly target: MutationTarget;
  /** The arguments; a bigint is written as a decimal string. */
  readonly args: readonly PlainData[];
}

/** How a change ended. `error` is what the method threw; it is rethrown unchanged. */
export type MutationOutcome =
  | { readonly ok: true }
  | { readonly ok: false; readonly error: unknown };

/** Hooks around each call that changes the cluster. */
export interface MutationHooks {
  /** Runs before the call is made; an error prevents the call. */
  before(call: MutationCall): Promise<void>;
  /**
   * Runs after the call has ended, only if it was made. Its error replaces the result, so a hook that
   * must not disturb the run catches its own errors.
   */
  after(call: MutationCall, outcome: MutationOutcome): Promise<void>;
}

/** A cluster whose changing methods run through `hooks`; the other methods are passed through. */
export function watchMutations(cluster: Cluster, hooks: MutationHooks): Cluster {
  return {
    ...readingPart(cluster),
    repeatingWhile: (permit) => watchMutations(cluster.repeatingWhile(permit), hooks),
    ...changingPart(cluster, hooks),
  };
}

function readingPart(cluster: Cluster): Pick<Cluster, Exclude<ReadingMethod, "repeatingWhile">> {
  return {
    clock: cluster.clock,
    topology: () => cluster.topology(),
    storedTables: (tables) => cluster.storedTables(tables),
    addressOf: (endpoint) => cluster.addressOf(endpoint),
    leftRegistration: (endpoint) => cluster.leftRegistration(endpoint),
    nameserverRole: (endpoint) => cluster.nameserverRole(endpoint),
    showTablet: () => cluster.showTablet(),
    showTable: (of) => cluster.showTable(of),
    confGet: () => cluster.confGet(),
    showOpStatus: () => cluster.showOpStatus(),
    showDatabase: () => cluster.showDatabase(),
    getTermPair: (endpoint, of) => cluster.getTermPair(endpoint, of),
    getManifest: (endpoint, of) => cluster.getManifest(endpoint, of),
    getTableSchema: (endpoint, id) => cluster.getTableSchema(endpoint, id),
    traverse: (endpoint, request) => cluster.traverse(endpoint, request),
    getTableStatus: (endpoint, of) => cluster.getTableStatus(endpoint, of),
    getTableFollower: (endpoint, id) => cluster.getTableFollower(endpoint, id),
    connection: (endpoint) => cluster.connection(endpoint),
    admit: (endpoint, admission) => cluster.admit(endpoint, admission),
    callCount: () => cluster.callCount(),
    close: () => cluster.close(),
  };
}

function changingPart(cluster: Cluster, hooks: MutationHooks): Pick<Cluster, MutatingMethod> {
  const watch = watcher(hooks);
  return {
    confSet: (...args) => watch("confSet", {}, args, () => cluster.confSet(...args)),
    updateTableAlive: (...args) =>
      watch("updateTableAlive", args[0], args, () => cluster.updateTableAlive(...args)),
    recoverTable: (...args) =>
      watch("recoverTable", { ...args[0], endpoint: args[1] }, args, () =>
        cluster.recoverTable(...args),
      ),
    changeLeader: (...args) =>
      watch("changeLeader", targetOf(args[0], args[1]), args, () => cluster.changeLeader(...args)),
    offlineEndpoint: (...args) =>
      watch("offlineEndpoint", { endpoint: args[0] }, args, () => cluster.offlineEndpoint(...args)),
    recoverEndpoint: (...args) =>
      watch("recoverEndpoint", { endpoint: args[0] }, args, () => cluster.recoverEndpoint(...args)),
    migrate: (...args) =>
      watch("migrate", { ...args[1], endpoint: args[0] }, args, () => cluster.migrate(...args)),
    addReplicaNS: (...args) =>
      watch("addReplicaNS", targetOf(args[0], args[1]), args, () => cluster.addReplicaNS(...args)),
    delReplicaNS: (...args) =>
      watch("delReplicaNS", targetOf(args[0], args[1]), args, () => cluster.delReplicaNS(...args)),
    deleteOp: (...args) => watch("deleteOp", {}, args, () => cluster.deleteOp(...args)),
    setPartitionFlags: (...args) =>
      watch("setPartitionFlags", args[0], args, () => cluster.setPartitionFlags(...args)),
    setReplicaEndpoint: (...args) =>
      watch("setReplicaEndpoint", targetOf(args[0], args[1]), args, () =>
        cluster.setReplicaEndpoint(...args),
      ),
    loadTable: (...args) =>
      watch("loadTable", { ...args[1], endpoint: args[0] }, args, () => cluster.loadTable(...args)),
    changeRole: (...args) =>
      watch("changeRole", { ...args[1], endpoint: args[0] }, args, () =>
        cluster.changeRole(...args),
      ),
    cancelOp: (...args) => watch("cancelOp", {}, args, () => cluster.cancelOp(...args)),
    addReplica: (...args) =>
      watch("addReplica", { ...args[1], endpoint: args[0] }, args, () =>
        cluster.addReplica(...args),
      ),
    delReplica: (...args) =>
      watch("delReplica", { ...args[1], endpoint: args[0] }, args, () =>
        cluster.delReplica(...args),
      ),
    recoverSnapshot: (...args) =>
      watch("recoverSnapshot", { ...args[1], endpoint: args[0] }, args, () =>
        cluster.recoverSnapshot(...args),
      ),
  };
}

function targetOf(id: MutationTarget, endpoint: string | undefined): MutationTarget {
  return endpoint === undefined ? id : { ...id, endpoint };
}

type Watch = (
  method: MutatingMethod,
  target: MutationTarget,
  args: readonly unknown[],
  invoke: () => Promise<void>,
) => Promise<void>;

function watcher(hooks: MutationHooks): Watch {
  let calls = 0;
  return async (method, target, args, invoke) => {
    calls += 1;
    const call: MutationCall = {
      id: `m${calls}`,
      method,
      target: targetOnly(target),
      args: args.filter((arg) => arg !== undefined).map(plainData),
    };
    await hooks.before(call);
    try {
      await invoke();
    } catch (error) {
      await hooks.after(call, { ok: false, error });
      throw error;
    }
    await hooks.after(call, { ok: true });
  };
}

/** The target fields of a request, which has more. */
function targetOnly({ endpoint, db, table, tid, pid }: MutationTarget): MutationTarget {
  return {
    ...(endpoint !== undefined && { endpoint }),
    ...(db !== undefined && { db }),
    ...(table !== undefined && { table }),
    ...(tid !== undefined && { tid }),
    ...(pid !== undefined && { pid }),
  };
}

/**
 * Converts `value` to JSON data: a bigint becomes a decimal string, undefined parts are left out.
 */
function plainData(value: unknown): PlainData {
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
    return value;
  }
  if (typeof value === "bigint") {
    return value.toString();
  }
  if (Array.isArray(value)) {
    return value.map(plainData);
  }
  if (typeof value !== "object" || value === null) {
    return null;
  }
  const parts = Object.entries(value).filter(([, part]) => part !== undefined);
  return Object.fromEntries(parts.map(([key, part]) => [key, plainData(part)]));
}
