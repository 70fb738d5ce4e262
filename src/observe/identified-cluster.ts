import pLimit, { type LimitFunction } from "p-limit";
import type { Cluster, LoadRequest } from "../cluster/cluster.js";
import { OpsError } from "../errors.js";
import type { Endpoint, ReplicaReport } from "../model/cluster-state.js";
import {
  foreignSchema,
  foreignTables,
  type RecordedTables,
  recordedTables,
} from "../policy/tablet-identity.js";
import { type MutationCall, type PlainData, watchMutations } from "../run/watch-mutations.js";

/** How often, and after which pause, the record is read again before an unknown table id counts. */
const READ_AGAIN_MAX = 3;
const READ_AGAIN_MS = 1_000;

/** Which replica of a tablet. */
type ReplicaId = Pick<LoadRequest, "tid" | "pid">;

/** What a run has found out about the identity of tablets; shared by all clusters of that run. */
export interface Identities {
  /** Tablets that are not what their names say, with the proof. */
  readonly refused: Map<Endpoint, string>;
  /** Tablets of which the schema of one replica was compared. */
  readonly compared: Set<Endpoint>;
  /** A replica that a tablet has loaded, or may have loaded, and that is to be compared before any change. */
  readonly loaded: Map<Endpoint, ReplicaId>;
  /** The first calls to a tablet go one by one, until one has shown whose tablet it is. */
  readonly firstLoads: Map<Endpoint, LimitFunction>;
  /** The nameserver's record as it was read last; undefined before. */
  record: RecordedTables | undefined;
}

/** Nothing found out yet. */
export function newIdentities(): Identities {
  return {
    refused: new Map(),
    compared: new Set(),
    loaded: new Map(),
    firstLoads: new Map(),
    record: undefined,
  };
}

/**
 * A cluster whose tablets are checked for their identity. A tablet that is not the one of its name is
 * out of the run from then on: every call to it is refused with `wrong-tablet`, and so is every request
 * to the nameserver, or to another tablet, that would make it send something there.
 *
 * What is checked:
 *
 * - Two names of registered tablets that lead to one address: neither is taken, since nothing tells which
 *   of them the process has. Found by `topology`.
 * - What a tablet has loaded, see {@link foreignTables}. Found by `getTableStatus` once the record of all
 *   tables was read, so before the first LoadTable where anything is loaded.
 * - The schema of one replica that a tablet has loaded, see {@link foreignSchema}: before the first change
 *   that reaches the tablet, and where nothing is loaded, right after the first LoadTable; nothing else is
 *   sent there before it is through. The name of a loaded table alone proves nothing, since an earlier
 *   LoadTable of this tool may have given it.
 *
 * A tablet without a directory of any replica refuses each LoadTable (code 131) and has no schema to be
 * compared. That proves nothing: a tablet of ours whose disk was wiped does the same. It is taken for ours.
 *
 * @param known Given where several clusters of one run are to know the same.
 */
export function identifiedCluster(cluster: Cluster, known = newIdentities()): Cluster {
  return watchMutations(identifiedCalls(cluster, known), {
    async before(call) {
      for (const endpoint of endpointsReached(call)) {
        assertTrusted(known, endpoint);
        if (!known.compared.has(endpoint)) {
          await inTurn(known, endpoint, () => compareLoaded(cluster, known, endpoint));
        }
      }
    },
    after: () => Promise.resolve(),
  });
}

function identifiedCalls(cluster: Cluster, known: Identities): Cluster {
  const reads = <A extends readonly unknown[], T>(
    call: (endpoint: Endpoint, ...more: A) => Promise<T>,
  ) => {
    return async (endpoint: Endpoint, ...more: A): Promise<T> => {
      assertTrusted(known, endpoint);
      return call(endpoint, ...more);
    };
  };
  const showTable: Cluster["showTable"] = async (of) => {
    const tables = await cluster.showTable(of);
    if (of === undefined) known.record = recordedTables(tables);
    return tables;
  };
  return {
    ...cluster,
    showTable,
    async topology() {
      const topology = await cluster.topology();
      await refuseSharedAddresses(cluster, known, topology.tablets);
      return topology;
    },
    getTableStatus: reads(async (endpoint, of) => {
      const reports = await cluster.getTableStatus(endpoint, of);
      const mismatch = await foreignForCertain({ ...cluster, showTable }, known, endpoint, reports);
      if (mismatch !== undefined) throw refuse(known, endpoint, mismatch);
      const replica = reports.find((one) => known.record?.tables.has(one.tid));
      if (replica !== undefined) known.loaded.set(endpoint, replica);
      return reports;
    }),
    getTableFollower: reads((endpoint, id) => cluster.getTableFollower(endpoint, id)),
    getTermPair: reads((endpoint, of) => cluster.getTermPair(endpoint, of)),
    getManifest: reads((endpoint, of) => cluster.getManifest(endpoint, of)),
    getTableSchema: reads((endpoint, id) => cluster.getTableSchema(endpoint, id)),
    traverse: reads((endpoint, request) => cluster.traverse(endpoint, request)),
    loadTable: (endpoint, request) => loadIdentified(cluster, known, endpoint, request),
    repeatingWhile: (permit) => identifiedCalls(cluster.repeatingWhile(permit), known),
  };
}

function assertTrusted({ refused }: Identities, endpoint: Endpoint): void {
  const mismatch = refused.get(endpoint);
  if (mismatch !== undefined) throw refusal(endpoint, mismatch);
}

/** Takes a tablet out of the run. */
function refuse({ refused }: Identities, endpoint: Endpoint, mismatch: string): OpsError {
  refused.set(endpoint, mismatch);
  return refusal(endpoint, mismatch);
}

/** The proof alone is its `cause`. */
function refusal(endpoint: Endpoint, mismatch: string): OpsError {
  return new OpsError({
    code: "wrong-tablet",
    message: `${endpoint} is not what it says: ${mismatch}`,
    endpoint,
    cause: mismatch,
  });
}

/**
 * What a tablet has loaded that contradicts the record. A table is on its tablets a moment before it is
 * on record (OpenMLDB 0.9 nameserver: CreateTable), so where an unknown id is all that speaks against
 * the tablet, both are read again first.
 */
async function foreignForCertain(
  cluster: Cluster,
  known: Identities,
  endpoint: Endpoint,
  first: readonly ReplicaReport[],
): Promise<string | undefined> {
  let reports = first;
  for (let tries = 0; known.record !== undefined; tries += 1) {
    const found = foreignTables(endpoint, reports, known.record);
    if (found === undefined || found.isProof || tries === READ_AGAIN_MAX) return found?.text;
    await cluster.clock.sleep(READ_AGAIN_MS);
    await cluster.showTable();
    reports = await cluster.getTableStatus(endpoint);
  }
  return undefined;
}

/** Runs what may show whose tablet it is, one after another for each tablet. */
function inTurn(
  { firstLoads }: Identities,
  endpoint: Endpoint,
  work: () => Promise<void>,
): Promise<void> {
  const turn = firstLoads.get(endpoint) ?? pLimit(1);
  firstLoads.set(endpoint, turn);
  return turn(work);
}

function loadIdentified(
  cluster: Cluster,
  known: Identities,
  endpoint: Endpoint,
  request: LoadRequest,
): Promise<void> {
  if (known.compared.has(endpoint)) return cluster.loadTable(endpoint, request);
  return inTurn(known, endpoint, async () => {
    await compareLoaded(cluster, known, endpoint);
    assertTrusted(known, endpoint);
    // Noted first: a call that fails may have had its effect.
    if (!known.compared.has(endpoint)) known.loaded.set(endpoint, request);
    await cluster.loadTable(endpoint, request);
    await compareLoaded(cluster, known, endpoint).catch((thrown: unknown) => {
      // Asked again before the next change.
      if (!(thrown instanceof OpsError) || thrown.code === "wrong-tablet") throw thrown;
    });
  });
}

/**
 * Compares the replica that a tablet has, or may have, loaded with the record. A tablet has the schema as
 * soon as it has taken the load.
 *
 * @throws OpsError `wrong-tablet` if it contradicts; what the call throws if the tablet cannot be asked.
 */
async function compareLoaded(
  cluster: Cluster,
  known: Identities,
  endpoint: Endpoint,
): Promise<void> {
  const { record, compared, loaded } = known;
  const replica = loaded.get(endpoint);
  const table = replica && record?.tables.get(replica.tid);
  if (replica === undefined || table === undefined || compared.has(endpoint)) return;
  let mismatch: string | undefined;
  try {
    const { tid, pid } = replica;
    mismatch = foreignSchema(table, await cluster.getTableSchema(endpoint, { tid, pid }));
  } catch (thrown) {
    if (!(thrown instanceof OpsError)) throw thrown;
    // It is not loaded there, or not any more.
    if (thrown.code === "rejected") loaded.delete(endpoint);
    // A tablet that does not know the method can never be asked.
    else if (thrown.code === "bad-answer") compared.add(endpoint);
    else throw thrown;
    return;
  }
  if (mismatch !== undefined) throw refuse(known, endpoint, mismatch);
  compared.add(endpoint);
}

/** Refuses registered tablets whose names lead to one address. Those that cannot be looked up are left out. */
async function refuseSharedAddresses(
  cluster: Cluster,
  { refused }: Identities,
  tablets: readonly Endpoint[],
): Promise<void> {
  const byAddress = new Map<string, Endpoint[]>();
  const located = await Promise.all(
    tablets.map((endpoint) =>
      cluster.addressOf(endpoint).then(
        ({ located }) => ({ endpoint, located }),
        () => undefined,
      ),
    ),
  );
  for (const one of located) {
    if (one === undefined) continue;
    byAddress.set(one.located, [...(byAddress.get(one.located) ?? []), one.endpoint]);
  }
  for (const [address, endpoints] of byAddress) {
    if (endpoints.length < 2) continue;
    for (const endpoint of endpoints) {
      const others = endpoints.filter((one) => one !== endpoint).join(", ");
      refused.set(endpoint, `its name leads to the same address as ${others}: ${address}`);
    }
  }
}

/** The tablets to which a change sends something, by itself or through the nameserver or another tablet. */
function endpointsReached({ method, target, args }: MutationCall): readonly Endpoint[] {
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
      // The tablet that had it may be gone.
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

function part(value: PlainData | undefined, name: string): PlainData | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return (value as { readonly [key: string]: PlainData })[name];
}

function texts(value: PlainData | undefined): string[] {
  const all = Array.isArray(value) ? value : [value];
  return all.filter((one): one is string => typeof one === "string");
}
