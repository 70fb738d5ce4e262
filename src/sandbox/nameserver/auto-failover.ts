import { OPType } from "../../gen/openmldb/api_pb.js";
import type { TableInfo, TablePartition } from "../../gen/openmldb/nameserver_pb.js";
import type { Endpoint } from "../../model/cluster-state.js";
import { aliveLeader, metaOf, znodeText } from "../table-store.js";
import type { NameserverState } from "./nameserver-state.js";
import { OFFLINE_LEADER } from "./op-recover-table.js";

/**
 * The nameserver's own reactions to tablets that go and come back, while auto_failover is on:
 *
 * - A tablet that is gone for the heartbeat timeout: all its replicas are marked not alive, except the
 *   last alive one of a partition. If no alive leader is left, the alive followers on healthy tablets
 *   elect one; otherwise the leader stops replicating to the tablet. If the timeout ended while
 *   auto_failover was off, nothing is done later either.
 * - A tablet that comes back: if its process restarted, it is first treated as gone, whatever the time.
 *   Then RecoverTable is queued for each of its replicas that is not alive, without restoring
 *   leadership. One that is not flagged leader needs an alive leader. RecoverTable moves away the
 *   binlog of each replica that is not loaded, if the leader is alive and healthy; no offset is
 *   compared before.
 * - A tablet that kept its process and was gone for less than the timeout: nothing.
 * - A tablet that registered for the first time at this nameserver, or that came back while
 *   auto_failover was off: nothing, also not when it is switched on.
 *
 * @see OpenMLDB 0.9 nameserver: OnTabletOffline, OnTabletOnline, UpdateEndpointTableAlive
 */
export class AutoFailover {
  readonly #server: NameserverState;
  /** When tablets went away, for those that are unhandled or still gone. */
  readonly #gone = new Map<Endpoint, number>();

  constructor(server: NameserverState) {
    this.#server = server;
  }

  /** A new leader starts with the tablets that it knows to be gone. */
  recover(): void {
    this.#gone.clear();
    for (const [endpoint, state] of this.#server.tablets) {
      if (state.isHealthy) continue;
      this.#gone.set(endpoint, state.since);
      this.#checkLater(endpoint);
    }
  }

  /** A tablet's node went away. */
  offline(endpoint: Endpoint): void {
    const isNew = !this.#gone.has(endpoint);
    this.#gone.set(endpoint, this.#server.wallTime());
    if (isNew && this.#server.isRunning) this.#checkLater(endpoint);
  }

  #checkLater(endpoint: Endpoint): void {
    const { offlineCheckMs } = this.#server.context.options;
    this.#server.after(offlineCheckMs, () => this.#check(endpoint));
  }

  #check(endpoint: Endpoint): void {
    const { options } = this.#server.context;
    const since = this.#gone.get(endpoint);
    if (since === undefined || this.#server.isHealthy(endpoint)) return;
    if (this.#server.wallTime() < since + options.heartbeatTimeoutMs) {
      this.#checkLater(endpoint);
      return;
    }
    this.#giveUp(endpoint);
  }

  #giveUp(endpoint: Endpoint): void {
    if (!this.#server.autoFailover) return;
    this.#server.log(`auto_failover gives ${endpoint} up`);
    markDead(this.#server, endpoint);
    offlineEndpoint(this.#server, endpoint, this.#server.context.options.taskConcurrency);
  }

  /** A tablet that was gone is registered again. */
  online(endpoint: Endpoint): void {
    const server = this.#server;
    if (!server.isRunning) return;
    server.after(0, () => this.#recoverReturned(endpoint));
  }

  #recoverReturned(endpoint: Endpoint): void {
    const server = this.#server;
    const { options, tree, root } = server.context;
    const since = this.#gone.get(endpoint);
    this.#gone.delete(endpoint);
    if (!server.autoFailover || since === undefined) return;
    const hasRestarted = znodeText(tree, `${root}/nodes/${endpoint}`)?.startsWith("startup_");
    if (hasRestarted === undefined) return;
    // A lost session alone requires no reload.
    if (!hasRestarted && server.wallTime() < since + options.heartbeatTimeoutMs) return;
    if (hasRestarted) this.#giveUp(endpoint);
    server.log(`auto_failover recovers ${endpoint}`);
    recoverEndpoint(server, endpoint, false, options.taskConcurrency);
  }
}

/** Flags all replicas of a tablet not alive, except the last alive one of a partition. */
function markDead(server: NameserverState, endpoint: Endpoint): void {
  for (const table of server.tables.all()) {
    let isChanged = false;
    for (const part of table.tablePartition) {
      const alive = part.partitionMeta.filter((meta) => meta.isAlive).length;
      const meta = metaOf(part, endpoint);
      if (alive === 1 || meta === undefined) continue;
      meta.isAlive = false;
      isChanged = true;
    }
    if (isChanged) server.tables.save(table);
  }
}

function partitionsOn(server: NameserverState, endpoint: Endpoint): [TableInfo, TablePartition][] {
  return server.tables.all().flatMap((table) => {
    const parts = table.tablePartition.filter((part) => metaOf(part, endpoint) !== undefined);
    return parts.map((part): [TableInfo, TablePartition] => [table, part]);
  });
}

/**
 * Takes a tablet out of service: single replicas are marked not alive, leaders are replaced, followers
 * are removed from their leader's list and marked not alive.
 *
 * @see OpenMLDB 0.9 nameserver: OfflineEndpointDBInternal
 */
export function offlineEndpoint(
  server: NameserverState,
  endpoint: Endpoint,
  concurrency: number,
): void {
  for (const [table, part] of partitionsOn(server, endpoint)) {
    const of = { name: table.name, db: table.db, pid: part.pid };
    if (part.partitionMeta.length === 1) {
      const data = { endpoint, isLeader: true, isAlive: false };
      server.ops.create(OPType.kUpdatePartitionStatusOP, of, data, { concurrency });
      continue;
    }
    const leader = aliveLeader(part)?.endpoint;
    const isFlagged = metaOf(part, endpoint)?.isLeader === true;
    if (leader !== undefined && !isFlagged) {
      server.ops.create(OPType.kOfflineReplicaOP, of, { endpoint }, { concurrency });
    } else if (leader === undefined || leader === endpoint) {
      createChangeLeader(server, of, part, { concurrency });
    }
  }
}

/**
 * Recovers every replica of a tablet that is not alive, and single replicas in any case.
 *
 * @param isRestoring Also restores leadership to replicas that are flagged leader.
 * @see OpenMLDB 0.9 nameserver: RecoverEndpointDBInternal
 */
export function recoverEndpoint(
  server: NameserverState,
  endpoint: Endpoint,
  isRestoring: boolean,
  concurrency: number,
): void {
  for (const [table, part] of partitionsOn(server, endpoint)) {
    const meta = metaOf(part, endpoint);
    if (meta === undefined || (meta.isAlive && part.partitionMeta.length > 1)) continue;
    const of = { name: table.name, db: table.db, pid: part.pid };
    const { isLeader } = meta;
    server.ops.create(
      OPType.kRecoverTableOP,
      of,
      { endpoint, isLeader, concurrency, ...(isRestoring ? { isExact: true } : {}) },
      { concurrency },
    );
    if (!isRestoring || !isLeader) continue;
    createChangeLeader(server, of, part, { candidate: endpoint, isRestoring, concurrency });
    const again = { endpoint: OFFLINE_LEADER, isLeader: true, concurrency };
    server.ops.create(OPType.kRecoverTableOP, of, again, { concurrency });
  }
}

/**
 * Queues the election of a new leader among the alive followers on healthy tablets.
 *
 * @returns False if the candidate is none of them; true also if there is no candidate.
 * @see OpenMLDB 0.9 nameserver: CreateChangeLeaderOP
 */
export function createChangeLeader(
  server: NameserverState,
  of: { readonly name: string; readonly db: string; readonly pid: number },
  part: TablePartition,
  how: {
    readonly candidate?: Endpoint;
    readonly isRestoring?: boolean;
    readonly concurrency?: number;
  },
): boolean {
  const { candidate, isRestoring = false, concurrency } = how;
  const electable = part.partitionMeta.filter(
    (meta) => meta.isAlive && !meta.isLeader && server.isHealthy(meta.endpoint),
  );
  const followers = electable.map((meta) => meta.endpoint);
  if (isRestoring && candidate !== undefined && !followers.includes(candidate))
    followers.push(candidate);
  if (followers.length === 0) return true;
  if (candidate !== undefined && !followers.includes(candidate)) return false;
  const data = {
    endpoint: candidate ?? "",
    followers,
    ...(candidate === undefined ? {} : { candidate }),
  };
  const place = concurrency === undefined ? {} : { concurrency };
  return server.ops.create(OPType.kChangeLeaderOP, of, data, place);
}
