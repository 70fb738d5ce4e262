import pLimit from "p-limit";
import {
  type Endpoint,
  isOpActive,
  type ReplicaReport,
  replicaKey,
  type TableClaim,
} from "../model/cluster-state.js";
import { newestOf, opsOfPartition } from "../model/ops.js";
import { isServing } from "../policy/what-it-holds.js";
import { maxOf } from "../util/extremes.js";
import { untilAborted } from "../util/within.js";
import { mayHaveWorked } from "./outcomes.js";
import type { RecoverEndpointBatch, StepContext, WaitingFollower } from "./step-context.js";

/**
 * The nameserver's queues that RecoverTable uses (name_server_task_concurrency), and those that
 * RecoverEndpoint may be given (name_server_task_max_concurrency): the defaults of OpenMLDB 0.9. A
 * larger number than the server's own is refused with 307.
 */
const QUEUES_OF_RECOVER_TABLE = 2;
const QUEUES_OF_RECOVER_ENDPOINT = 8;
/** Milliseconds without a new follower after which a batch is complete. An op takes ten times as long. */
const PAUSE_MS = 1_000;
/** Limit in milliseconds for a batch to wait while followers keep joining: less than their ops take. */
const GATHER_MS = 60_000;

/**
 * True if RecoverEndpoint recovers replicas with these pids faster than RecoverTable: an op goes into
 * queue pid mod the number of queues, and a queue runs one op at a time (OpenMLDB 0.9 nameserver:
 * AddOPData), so the longest queue counts.
 */
export function isBatchFaster(pids: readonly number[]): boolean {
  const longest = (queues: number) => {
    const lengths = new Array<number>(queues).fill(0);
    for (const pid of pids) lengths[pid % queues] = (lengths[pid % queues] ?? 0) + 1;
    return maxOf(lengths);
  };
  return longest(QUEUES_OF_RECOVER_ENDPOINT) < longest(QUEUES_OF_RECOVER_TABLE);
}

/**
 * The replicas that RecoverEndpoint would recover on a tablet, by `replicaKey`: all that are not marked alive
 * (OpenMLDB 0.9 nameserver: RecoverEndpointDBInternal). A replica without others in its partition
 * gets an op even if it is alive; that op ends without doing anything (RecoverEndpointTable), unless the
 * flag changes first, so only one that serves is left out here.
 *
 * @param tables The nameserver's record of all tables.
 * @param reports What the tablet has loaded.
 */
export function recoveredByEndpoint(
  tables: readonly TableClaim[],
  endpoint: Endpoint,
  reports: ReadonlyMap<string, ReplicaReport>,
): Set<string> {
  const found = new Set<string>();
  for (const { tid, partitions } of tables) {
    for (const { pid, replicas } of partitions) {
      const replica = replicas.find((one) => one.endpoint === endpoint);
      if (replica === undefined) continue;
      const key = replicaKey({ tid, pid });
      const report = reports.get(key);
      const serves = isServing({ report }) && report?.role === "leader";
      if (replica.isAlive && (replicas.length > 1 || serves)) continue;
      found.add(key);
    }
  }
  return found;
}

/** Followers of one tablet that wait to be recovered together. */
interface Batch {
  readonly endpoint: Endpoint;
  readonly members: WaitingFollower[];
  /** The members' handling of the answer; each ends with its ops. */
  readonly works: Promise<unknown>[];
  /** The newest op before RecoverEndpoint; undefined if it was not requested. */
  readonly requested: Promise<bigint | undefined>;
  lastCameAt: number;
}

/**
 * Replaces many RecoverTables by one RecoverEndpoint, which uses all queues of the nameserver, if that
 * is faster and recovers exactly the followers that wait for that tablet.
 *
 * One tablet at a time is recovered, until the ops of all its followers have ended. Right before
 * RecoverEndpoint all of them are checked again. So no check is older than the ops of one tablet, a
 * stop leaves no more ops than those, and no partition ever has two ops.
 */
export function createRecoverEndpointBatch(context: StepContext): RecoverEndpointBatch {
  const { cluster, signal } = context;
  const { clock } = cluster;
  const turns = pLimit(1);
  const checks = pLimit(context.limits.concurrency);
  const batches = new Map<Endpoint, Batch>();

  function open(endpoint: Endpoint): Batch {
    let settle: (after: bigint | undefined) => void = () => undefined;
    const requested = new Promise<bigint | undefined>((resolve) => {
      settle = resolve;
    });
    const batch = { endpoint, members: [], works: [], requested, lastCameAt: clock.now() };
    batches.set(endpoint, batch);
    void serve(batch, settle);
    return batch;
  }

  async function serve(batch: Batch, settle: (after: bigint | undefined) => void): Promise<void> {
    const close = () => {
      if (batches.get(batch.endpoint) === batch) batches.delete(batch.endpoint);
    };
    try {
      await gather(batch);
      if (!(await isWorthRequesting(batch))) return;
      await turns(async () => {
        close();
        settle(await request(batch));
        await Promise.allSettled(batch.works);
      });
    } catch {
      // Followers not covered fall back to RecoverTable, which reports the error.
    } finally {
      close();
      settle(undefined);
    }
  }

  async function gather(batch: Batch): Promise<void> {
    const deadline = clock.now() + GATHER_MS;
    const left = () => Math.min(batch.lastCameAt + PAUSE_MS, deadline) - clock.now();
    while (left() > 0) await clock.sleep(left(), signal);
  }

  async function isWorthRequesting({ endpoint, members }: Batch): Promise<boolean> {
    if (!isBatchFaster(members.map((one) => one.id.pid))) return false;
    const [tables, reports] = await Promise.all([
      cluster.showTable(),
      context.statusOf(endpoint).now(),
    ]);
    const wanted = new Set(members.map((one) => replicaKey(one.id)));
    const recovered = recoveredByEndpoint(tables, endpoint, reports);
    return recovered.size === wanted.size && [...recovered].every((key) => wanted.has(key));
  }

  async function request(batch: Batch): Promise<bigint | undefined> {
    const { endpoint, members } = batch;
    const checked = await Promise.allSettled(members.map((one) => checks(() => one.checkAgain())));
    if (checked.some((one) => one.status === "rejected")) return undefined;
    if (!(await isWorthRequesting(batch))) return undefined;
    const ops = await context.ops.now();
    if (members.some((one) => opsOfPartition(ops, one.id).some(isOpActive))) return undefined;
    const concurrency = QUEUES_OF_RECOVER_ENDPOINT;
    try {
      await cluster.recoverEndpoint(endpoint, { needRestore: false, concurrency });
    } catch (thrown) {
      if (!mayHaveWorked(thrown)) return undefined;
    }
    return newestOf(ops);
  }

  return {
    recover(one) {
      const batch = batches.get(one.endpoint) ?? open(one.endpoint);
      batch.lastCameAt = clock.now();
      batch.members.push(one);
      const work = batch.requested.then((after) =>
        after === undefined ? undefined : one.follow(after),
      );
      batch.works.push(work);
      return untilAborted(work, signal);
    },
  };
}
