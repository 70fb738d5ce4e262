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

/** The objects that a change concerns; parts that the call does not name are missing. */
export interface MutationTarget {
  readonly endpoint?: string;
  readonly db?: string;
  readonly table?: string;
  readonly tid?: number;
  readonly pid?: number;
}

/** One call that changes the cluster. */
export interface MutationCall {
  /** Unique within one watched cluster: "m1", "m2", ... in the order of the calls. */
  readonly id: string;
  readonly method: MutatingMethod;
  readonly target: MutationTarget;
  /** The arguments, without those at the end that are undefined. */
  readonly args: readonly unknown[];
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

/** A function for each change, of its arguments. */
export type ByMethod<T> = {
  readonly [M in MutatingMethod]: (...args: Parameters<Cluster[M]>) => T;
};

/** Calls the function of a change with its arguments. */
export function byMethod<T>(
  functions: ByMethod<T>,
  { method, args }: Pick<MutationCall, "method" | "args">,
): T {
  return (functions[method] as (...args: readonly unknown[]) => T)(...args);
}

const at = (of: MutationTarget, endpoint: string | undefined) => ({ ...of, endpoint });

/** What each change is about, from its arguments. */
const TARGETS: ByMethod<Loose<MutationTarget>> = {
  confSet: () => ({}),
  updateTableAlive: (target) => target,
  recoverTable: at,
  changeLeader: at,
  offlineEndpoint: (endpoint) => ({ endpoint }),
  recoverEndpoint: (endpoint) => ({ endpoint }),
  migrate: (from, table) => at(table, from),
  addReplicaNS: at,
  delReplicaNS: at,
  deleteOp: () => ({}),
  setPartitionFlags: (id) => id,
  setReplicaEndpoint: at,
  loadTable: (endpoint, request) => at(request, endpoint),
  changeRole: (endpoint, request) => at(request, endpoint),
  cancelOp: () => ({}),
  addReplica: (leader, id) => at(id, leader),
  delReplica: (leader, id) => at(id, leader),
  recoverSnapshot: (endpoint, of) => at(of, endpoint),
};

type Loose<T> = { readonly [K in keyof T]: T[K] | undefined };
/** A change of unknown kind. */
type Change = (...args: readonly unknown[]) => Promise<void>;

/** A cluster whose changing methods run through `hooks`; the other methods are passed through. */
export function watchMutations(cluster: Cluster, hooks: MutationHooks): Cluster {
  const watch = watcher(hooks);
  const watched =
    (method: MutatingMethod): Change =>
    (...args) =>
      watch(method, args, () => (cluster[method] as Change)(...args));
  const methods = Object.keys(TARGETS) as MutatingMethod[];
  const changing = Object.fromEntries(methods.map((method) => [method, watched(method)]));
  return {
    ...cluster,
    ...(changing as Pick<Cluster, MutatingMethod>),
    repeatingWhile: (permit) => watchMutations(cluster.repeatingWhile(permit), hooks),
  };
}

type Watch = (
  method: MutatingMethod,
  args: readonly unknown[],
  invoke: () => Promise<void>,
) => Promise<void>;

function watcher(hooks: MutationHooks): Watch {
  let calls = 0;
  return async (method, args, invoke) => {
    calls += 1;
    const call: MutationCall = {
      id: `m${calls}`,
      method,
      target: targetOnly(byMethod(TARGETS, { method, args })),
      args: args.filter((arg) => arg !== undefined),
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
function targetOnly({ endpoint, db, table, tid, pid }: Loose<MutationTarget>): MutationTarget {
  return {
    ...(endpoint !== undefined && { endpoint }),
    ...(db !== undefined && { db }),
    ...(table !== undefined && { table }),
    ...(tid !== undefined && { tid }),
    ...(pid !== undefined && { pid }),
  };
}
