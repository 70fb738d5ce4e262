import type {
  DescMessage,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import pLimit from "p-limit";
import { OpsError } from "../errors.js";
import { TabletServer } from "../gen/openmldb/api_pb.js";
import type { Clock } from "../model/clock.js";
import { type Endpoint, replicaKey, type StorageMode } from "../model/cluster-state.js";
import { memoized } from "../util/memoized.js";
import type { Caller } from "./caller.js";
import type { Cluster } from "./cluster.js";
import {
  toDiskClaim,
  toFollowerList,
  toReplicaReport,
  toRowPage,
  toSchemaClaim,
  toSnapshotClaim,
  toWireRole,
  toWireStorageMode,
} from "./convert.js";
import { failureKindOf, pause } from "./failure.js";
import { codes } from "./response-codes.js";

/** What the calls to tablets are made of. */
interface TabletClientParts {
  readonly caller: Caller;
  /** Times the pauses between reads. */
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
}

/**
 * Creates the calls to tablets. A call is made once, with two exceptions:
 *
 * - a read without a connection, or whose connection broke, is repeated within a second, see {@link readPausesMs};
 * - a call that was not sent is repeated once if the tablet's server name has another address now.
 *
 * The caller has to wait for a tablet that stays away longer. Reads are queued, so any number can be started at once.
 */
export function createTabletClient(parts: TabletClientParts) {
  const call = createTabletCall(parts);
  return {
    ...diskCalls(call),

    async getTableStatus(endpoint, of) {
      const request = of === undefined ? {} : { tid: of.tid, pid: of.pid };
      const answer = await call(endpoint, TabletServer.method.getTableStatus, request, {
        isRead: true,
      });
      return answer.allTableStatus.map(toReplicaReport);
    },

    async getTableFollower(endpoint, { tid, pid }) {
      const options = { accepted: [codes.noFollower], isRead: true };
      return toFollowerList(
        await call(endpoint, TabletServer.method.getTableFollower, { tid, pid }, options),
      );
    },

    async loadTable(endpoint, request) {
      refuseUnknownMode(endpoint, "LoadTable", request.storageMode);
      const tableMeta = {
        tid: request.tid,
        name: request.table,
        pid: request.pid,
        segCnt: request.segCount,
        replicas: [...request.followers],
        // Send all fields: the tablet takes missing ones from a file on its disk, which has the role and the term
        // of the replica's creation (OpenMLDB 0.9 tablet: LoadTable).
        mode: toWireRole(request.role),
        term: request.term,
        storageMode: toWireStorageMode(request.storageMode),
        ...(request.db === "" ? {} : { db: request.db }),
      };
      await call(
        endpoint,
        TabletServer.method.loadTable,
        { tableMeta },
        { accepted: [codes.tableAlreadyExists], loads: replicaKey(request) },
      );
    },

    async changeRole(endpoint, { tid, pid, role, term, followers }) {
      const leaderOnly = role === "leader" ? { term, replicas: [...followers] } : {};
      const request = { tid, pid, mode: toWireRole(role), ...leaderOnly };
      const alreadyInRole = role === "leader" ? codes.tableIsLeader : codes.tableIsFollower;
      await call(endpoint, TabletServer.method.changeRole, request, { accepted: [alreadyInRole] });
    },

    async addReplica(leader, { tid, pid }, follower) {
      await call(
        leader,
        TabletServer.method.addReplica,
        { tid, pid, endpoint: follower },
        { accepted: [codes.replicaExists] },
      );
    },

    async delReplica(leader, { tid, pid }, follower) {
      await call(leader, TabletServer.method.delReplica, { tid, pid, endpoint: follower });
    },

    async recoverSnapshot(endpoint, { tid, pid, storageMode }) {
      refuseUnknownMode(endpoint, "RecoverSnapshot", storageMode);
      const request = { tid, pid, storageMode: toWireStorageMode(storageMode) };
      await call(endpoint, TabletServer.method.recoverSnapshot, request);
    },
  } satisfies Partial<Cluster>;
}

/** Refuses an unknown storage mode, with which the tablet would use the wrong directory. */
function refuseUnknownMode(endpoint: string, method: string, mode: StorageMode): void {
  if (mode === "unknown") {
    throw new OpsError({
      code: "bad-answer",
      message: `${method} was not sent to ${endpoint}: the nameserver names a storage mode that this tool does not know`,
      endpoint,
    });
  }
}

type TabletCall = ReturnType<typeof createTabletCall>;

/** Options of a call to a tablet. */
interface CallStyle {
  /** Response codes that are not failures, in addition to 0. */
  readonly accepted?: readonly number[];
  readonly isRead?: boolean;
  /** The `replicaKey` of the replica that the call loads. */
  readonly loads?: string;
}

/**
 * The pauses before a read is repeated, milliseconds: a connection that is gone for a moment is no silent tablet. A read
 * that ended at its deadline is not repeated.
 */
const readPausesMs: readonly number[] = [100, 600];
/** For how long, in milliseconds, reads of a tablet are made once after all attempts of one had no connection. */
const silentMs = 5_000;

function createTabletCall({ caller, clock, signal }: TabletClientParts) {
  const limitReads = createReadLimits();
  /** When the last attempt at a tablet without a connection ended. */
  const silentSince = new Map<Endpoint, number>();

  async function callOnce<I extends DescMessage, O extends DescMessage>(
    endpoint: Endpoint,
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    { accepted = [], isRead = false, loads }: CallStyle,
  ): Promise<MessageShape<O>> {
    const address = await caller.addressOf(endpoint);
    const before = isRead ? undefined : () => caller.checkChange(endpoint, loads);
    try {
      return await caller.call(endpoint, method, request, accepted, before);
    } catch (error) {
      if (!mayPass(error) || failureKindOf(error) !== "unsent") throw error;
      if ((await caller.addressOf(endpoint)) === address) throw error;
      return caller.call(endpoint, method, request, accepted, before);
    }
  }
  /** Makes a read, again after each pause while there is no connection. */
  async function read<T>(endpoint: Endpoint, work: () => Promise<T>): Promise<T> {
    const isSilent = clock.now() - (silentSince.get(endpoint) ?? -silentMs) < silentMs;
    for (const ms of isSilent ? [] : readPausesMs) {
      try {
        return await limitReads(endpoint, work);
      } catch (error) {
        if (!mayPass(error)) throw error;
      }
      // Not within the limit: many reads of one tablet pause together.
      await pause(clock, ms, signal);
    }
    try {
      return await limitReads(endpoint, work);
    } catch (error) {
      if (mayPass(error) && !isSilent) silentSince.set(endpoint, clock.now());
      throw error;
    }
  }

  return <I extends DescMessage, O extends DescMessage>(
    endpoint: Endpoint,
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    style: CallStyle = {},
  ): Promise<MessageShape<O>> => {
    const work = () => callOnce(endpoint, method, request, style);
    return style.isRead === true ? read(endpoint, work) : work();
  };
}

/** True if there was no connection, which may be otherwise in a moment. */
function mayPass(error: unknown): error is OpsError {
  return error instanceof OpsError && error.code === "unreachable" && error.retryable;
}

/** Limit of concurrent reads at one tablet, so that a silent tablet takes no more of {@link readsInFlight}. */
const readsPerTablet = 16;
/**
 * Limit of concurrent reads at all tablets. With more, answers would wait for this process while their deadlines run,
 * and garbage collection would become slow.
 */
const readsInFlight = 128;

/** Queues reads by tablet, in order. Changes are never queued, because their preconditions were checked just before. */
function createReadLimits(): <T>(endpoint: Endpoint, work: () => Promise<T>) => Promise<T> {
  const all = pLimit(readsInFlight);
  const limitOf = memoized((_endpoint: Endpoint) => pLimit(readsPerTablet));
  return (endpoint, work) => limitOf(endpoint)(() => all(work));
}

/** The calls that read one replica, mostly from disk. */
function diskCalls(call: TabletCall) {
  return {
    async getTableSchema(endpoint, { tid, pid }) {
      const method = TabletServer.method.getTableSchema;
      const { tableMeta } = await call(endpoint, method, { tid, pid }, { isRead: true });
      return toSchemaClaim(endpoint, tableMeta);
    },

    async traverse(endpoint, { tid, pid, index, limit, from, skip }) {
      const place = from === undefined ? {} : { pk: from.pk, ts: from.ts, tsPos: skip };
      const named = index === undefined ? {} : { idxName: index };
      const request = { tid, pid, limit, ...named, ...place };
      const method = TabletServer.method.traverse;
      return toRowPage(await call(endpoint, method, request, { isRead: true }));
    },

    async getTermPair(endpoint, { tid, pid, storageMode }) {
      refuseUnknownMode(endpoint, "GetTermPair", storageMode);
      const request = { tid, pid, storageMode: toWireStorageMode(storageMode) };
      return toDiskClaim(
        await call(endpoint, TabletServer.method.getTermPair, request, { isRead: true }),
      );
    },

    async getManifest(endpoint, { tid, pid, storageMode }) {
      refuseUnknownMode(endpoint, "GetManifest", storageMode);
      const request = { tid, pid, storageMode: toWireStorageMode(storageMode) };
      const { manifest } = await call(endpoint, TabletServer.method.getManifest, request, {
        isRead: true,
      });
      return manifest === undefined ? undefined : toSnapshotClaim(manifest);
    },
  } satisfies Partial<Cluster>;
}
