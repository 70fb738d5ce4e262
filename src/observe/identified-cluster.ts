import pLimit, { type LimitFunction } from "p-limit";
import type { Cluster, Connection, LoadRequest } from "../cluster/cluster.js";
import { OpsError } from "../errors.js";
import type { Endpoint, ReplicaReport } from "../model/cluster-state.js";
import { isSystemDatabase } from "../model/partition-view.js";
import {
  foreignSchema,
  foreignTables,
  type RecordedTables,
  recordedTables,
} from "../policy/tablet-identity.js";
import { watchMutations } from "../run/watch-mutations.js";
import { memoized } from "../util/memoized.js";
import { refuseCrossedAddresses, refuseSharedAddresses } from "./addresses-refused.js";
import { comesFirst, endpointsReached, isOfRecord } from "./endpoints-reached.js";

/** Number of times, and the pause in milliseconds, that the record is read again before an unknown table id counts. */
const READ_AGAIN_MAX = 3;
const READ_AGAIN_MS = 1_000;

/** Identifies a replica of a tablet. */
type ReplicaId = Pick<LoadRequest, "tid" | "pid">;

/** The findings of a run about the identity of tablets; shared by all clusters of that run. */
export interface Identities {
  /** Tablets that are not the ones of their names, with the proof. */
  readonly refused: Map<Endpoint, string>;
  /**
   * The connection over which a tablet has proved, by the schema of one replica, that it belongs to
   * this cluster.
   */
  readonly proven: Map<Endpoint, Connection>;
  /** What each tablet had loaded when it was last read. */
  readonly loaded: Map<Endpoint, LoadedReplica>;
  /** Runs the calls that may identify a tablet one after another. */
  readonly turnOf: (endpoint: Endpoint) => LimitFunction;
  /** The nameserver's record as last read; undefined before. */
  record: RecordedTables | undefined;
}

/** A replica that a tablet had loaded, by which the tablet can be identified. */
interface LoadedReplica {
  readonly connection: Connection;
  /** A loaded replica that is on record and can be compared; undefined if there is none. */
  readonly replica: ReplicaId | undefined;
  /** True if the tablet reported it; false if this run requested the load. */
  readonly isReported: boolean;
}

/** The initial state. */
export function newIdentities(): Identities {
  return {
    refused: new Map(),
    proven: new Map(),
    loaded: new Map(),
    turnOf: memoized(() => pLimit(1)),
    record: undefined,
  };
}

/**
 * A cluster whose tablets are checked for their identity. A tablet that is not the one of its name is
 * excluded from the run: every call to it is refused with `wrong-tablet`, and so is every request to
 * the nameserver, or to another tablet, that would make it send something there.
 *
 * - Two names of registered tablets that resolve to one address: both are refused, because no call shows which of the
 *   names the process has. Found by `topology`.
 * - A name that resolves to the address at which the nameserver reaches another tablet. Found by
 *   `showTablet`.
 * - What a tablet has loaded, see {@link foreignTables}. Found by `getTableStatus` once the record was
 *   read.
 * - The schema of one loaded replica, see {@link foreignSchema}: before the first change that reaches
 *   the tablet over a connection. If nothing is loaded, right after the first LoadTable; no other
 *   change is sent before. The name of a loaded table proves nothing: an earlier LoadTable of this tool
 *   may have given it.
 *
 * A proof holds for one connection: after a reconnect (the tablet restarted, or another one took its
 * address) the tablet must be identified again, and a change that is about to be sent is stopped
 * (`Cluster.admit`). A tablet without a directory of any replica refuses each LoadTable (code 131) and
 * has no schema to compare, as a tablet of this cluster whose disk was wiped does. It is accepted.
 *
 * @param known Passed if several clusters of one run share the findings.
 */
export function identifiedCluster(cluster: Cluster, known = newIdentities()): Cluster {
  const calls = identifiedCalls(cluster, known);
  return watchMutations(calls, {
    async before(call) {
      for (const endpoint of endpointsReached(call)) {
        assertTrusted(known, endpoint);
        if (known.record === undefined || isProven(cluster, known, endpoint)) continue;
        if (isOfRecord(call)) {
          await proveIfConnected(calls, known, endpoint);
          continue;
        }
        await known.turnOf(endpoint)(() => prove(calls, known, endpoint));
        if (isProven(cluster, known, endpoint) || comesFirst(call, endpoint)) continue;
        throw unidentified(endpoint);
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
  const calls: Cluster = {
    ...cluster,
    showTable,
    async showTablet() {
      const claims = await cluster.showTablet();
      await refuseCrossedAddresses(cluster, known.refused, claims);
      return claims;
    },
    async topology() {
      const topology = await cluster.topology();
      await refuseSharedAddresses(cluster, known.refused, topology.tablets);
      return topology;
    },
    getTableStatus: reads(async (endpoint, of) => {
      const reports = await cluster.getTableStatus(endpoint, of);
      const mismatch = await foreignForCertain({ ...cluster, showTable }, known, endpoint, reports);
      if (mismatch !== undefined) throw refuse(known, endpoint, mismatch);
      noteLoaded(cluster, known, endpoint, { reports, isAll: of === undefined });
      return reports;
    }),
    getTableFollower: reads((endpoint, id) => cluster.getTableFollower(endpoint, id)),
    getTermPair: reads((endpoint, of) => cluster.getTermPair(endpoint, of)),
    getManifest: reads((endpoint, of) => cluster.getManifest(endpoint, of)),
    getTableSchema: reads((endpoint, id) => cluster.getTableSchema(endpoint, id)),
    traverse: reads((endpoint, request) => cluster.traverse(endpoint, request)),
    loadTable: (endpoint, request) => loadIdentified(cluster, calls, known, endpoint, request),
    repeatingWhile: (permit) => identifiedCalls(cluster.repeatingWhile(permit), known),
  };
  return calls;
}

function assertTrusted({ refused }: Identities, endpoint: Endpoint): void {
  const mismatch = refused.get(endpoint);
  if (mismatch !== undefined) throw refusal(endpoint, mismatch);
}

/** Excludes a tablet from the run. */
function refuse({ refused }: Identities, endpoint: Endpoint, mismatch: string): OpsError {
  refused.set(endpoint, mismatch);
  return refusal(endpoint, mismatch);
}

/** The error for an excluded tablet; its `cause` is the proof alone. */
function refusal(endpoint: Endpoint, mismatch: string): OpsError {
  return new OpsError({
    code: "wrong-tablet",
    message: `${endpoint} is another tablet: ${mismatch}`,
    endpoint,
    cause: mismatch,
  });
}

/** The error for a tablet that is not identified yet; retryable: a replica may be loaded later. */
function unidentified(endpoint: Endpoint): OpsError {
  return new OpsError({
    code: "unidentified",
    message: `${endpoint} has no replica loaded that identifies it; nothing was sent`,
    retryable: true,
    endpoint,
  });
}

/**
 * Finds replicas that a tablet has loaded and that contradict the record. A new table is on its tablets before it is on
 * record (OpenMLDB 0.9 nameserver: CreateTable), so an unknown id alone is a proof only after the record was read again.
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

function noteLoaded(
  cluster: Cluster,
  { record, loaded, proven }: Identities,
  endpoint: Endpoint,
  { reports, isAll }: { readonly reports: readonly ReplicaReport[]; readonly isAll: boolean },
): void {
  const connection = cluster.connection(endpoint);
  if (record === undefined || connection === undefined) return;
  if (proven.get(endpoint) === connection) return;
  const dbOf = ({ tid }: ReplicaReport) => record.tables.get(tid)?.db;
  const isOfUser = (db: string | undefined) => db !== undefined && !isSystemDatabase(db);
  // The system databases are the same in every cluster, so a user table is preferred.
  const replica =
    reports.find((one) => isOfUser(dbOf(one))) ?? reports.find((one) => dbOf(one) !== undefined);
  // An answer from before a load that was requested meanwhile must not overwrite it.
  const isOtherConnection = isAll && loaded.get(endpoint)?.connection !== connection;
  if (isOtherConnection || replica !== undefined) {
    loaded.set(endpoint, { connection, replica, isReported: true });
  }
}

/** True if a tablet is identified over the connection that a call would use now. */
function isProven(cluster: Cluster, { proven }: Identities, endpoint: Endpoint): boolean {
  const connection = cluster.connection(endpoint);
  return connection !== undefined && proven.get(endpoint) === connection;
}

function loadIdentified(
  cluster: Cluster,
  calls: Cluster,
  known: Identities,
  ...[endpoint, request]: Parameters<Cluster["loadTable"]>
): Promise<void> {
  if (known.record === undefined || isProven(cluster, known, endpoint)) {
    return cluster.loadTable(endpoint, request);
  }
  return known.turnOf(endpoint)(async () => {
    await prove(calls, known, endpoint);
    assertTrusted(known, endpoint);
    const connection = cluster.connection(endpoint);
    if (connection !== undefined && !isProven(cluster, known, endpoint)) {
      // Stored before the call, because a call that fails may have had its effect.
      known.loaded.set(endpoint, { connection, replica: request, isReported: false });
      cluster.admit(endpoint, { connection, changes: request });
    }
    await cluster.loadTable(endpoint, request);
    // The check is repeated before the next change.
    await prove(calls, known, endpoint).catch(throwIfForeign);
  });
}

/**
 * Identifies a tablet: compares the schema of a replica that it has, or may have, loaded with the record. A tablet has
 * the schema once it has accepted the load. A tablet with nothing loaded stays unidentified.
 *
 * @throws OpsError `wrong-tablet` if the schemas differ; other errors of the calls.
 */
async function prove(calls: Cluster, known: Identities, endpoint: Endpoint): Promise<void> {
  if (isProven(calls, known, endpoint)) return;
  const isKnown = () => {
    const connection = calls.connection(endpoint);
    return connection !== undefined && known.loaded.get(endpoint)?.connection === connection;
  };
  if (!isKnown()) await calls.getTableStatus(endpoint);
  const found = known.loaded.get(endpoint);
  if (found === undefined) return;
  const table = found.replica && known.record?.tables.get(found.replica.tid);
  if (found.replica === undefined || table === undefined) {
    calls.admit(endpoint, { connection: found.connection, changes: "none" });
    return;
  }
  let mismatch: string | undefined;
  try {
    const { tid, pid } = found.replica;
    mismatch = foreignSchema(table, await calls.getTableSchema(endpoint, { tid, pid }));
  } catch (thrown) {
    if (!(thrown instanceof OpsError)) throw thrown;
    // A tablet that lacks the method, or refuses to answer, can never be compared.
    if (thrown.code !== "bad-answer" && thrown.code !== "rejected") throw thrown;
    const hasNoSchema =
      thrown.code === "bad-answer" || (await isStillThere(calls, endpoint, found));
    if (!hasNoSchema) return forgetReplica(known, endpoint, found);
  }
  if (mismatch !== undefined) throw refuse(known, endpoint, mismatch);
  const connection = calls.connection(endpoint);
  if (connection === undefined) return;
  known.proven.set(endpoint, connection);
  calls.admit(endpoint, { connection, changes: "all" });
}

/**
 * Identifies a connected tablet before a change of the record alone. The change is allowed if the
 * tablet has nothing loaded or is gone, but not if it is another one.
 */
async function proveIfConnected(
  calls: Cluster,
  known: Identities,
  endpoint: Endpoint,
): Promise<void> {
  if (calls.connection(endpoint) === undefined) return;
  const proving = known.turnOf(endpoint)(() => prove(calls, known, endpoint));
  await proving.catch(throwIfForeign);
}

/** Ignores that a tablet cannot be identified now, but not that it is another one. */
function throwIfForeign(thrown: unknown): void {
  if (!(thrown instanceof OpsError) || thrown.code === "wrong-tablet") throw thrown;
}

/** Drops a replica that is not loaded (yet, or any more). A newer finding is kept. */
function forgetReplica({ loaded }: Identities, endpoint: Endpoint, forgotten: LoadedReplica): void {
  if (loaded.get(endpoint) === forgotten)
    loaded.set(endpoint, { ...forgotten, replica: undefined });
}

/** True if a replica that a tablet reported, and whose schema it refused, is still loaded there. */
async function isStillThere(
  calls: Cluster,
  endpoint: Endpoint,
  found: LoadedReplica,
): Promise<boolean> {
  if (!found.isReported) return false;
  const reports = await calls.getTableStatus(endpoint);
  return reports.some((one) => one.tid === found.replica?.tid && one.pid === found.replica.pid);
}
