import { OpsError, refused } from "../errors.js";
import { NameServer, type TablePartition } from "../gen/openmldb/nameserver_pb.js";
import type { PartitionId } from "../model/cluster-state.js";
import type { Cluster } from "./cluster.js";
import { toOp, toTableClaims, toTabletClaim, toWireOpStatus } from "./convert.js";
import { createLeaderCall, type LeaderCall, type LeaderCallOptions } from "./leader-call.js";
import { codes } from "./response-codes.js";

/** Creates the calls to the leading nameserver; {@link Cluster} defines which ones are repeated. */
export function createNameserverClient(options: LeaderCallOptions) {
  const atLeader = createLeaderCall(options);

  return {
    ...opCalls(atLeader),
    ...recordCalls(atLeader),

    async showTablet() {
      const { tablets } = await atLeader(NameServer.method.showTablet, {}, "safe");
      return tablets.map(toTabletClaim);
    },

    async showTable(of) {
      const request = of === undefined ? { showAll: true } : tableOf(of);
      const { tableInfo } = await atLeader(NameServer.method.showTable, request, "safe");
      if (of === undefined) return toTableClaims(tableInfo);
      // The nameserver returns a table without a database for any requested database, so filter again.
      return toTableClaims(tableInfo.filter((info) => info.db === of.db && info.name === of.table));
    },

    async showDatabase() {
      const { db } = await atLeader(NameServer.method.showDatabase, {}, "safe");
      return db;
    },

    async confGet() {
      const { conf } = await atLeader(NameServer.method.confGet, {}, "safe");
      return new Map(conf.map(({ key, value }) => [key, value]));
    },

    async confSet(key, value) {
      await atLeader(NameServer.method.confSet, { conf: { key, value } }, "safe");
    },

    async showOpStatus() {
      const { opStatus } = await atLeader(NameServer.method.showOPStatus, {}, "safe");
      return opStatus.map(toOp).sort((a, b) => (a.id < b.id ? -1 : Number(a.id > b.id)));
    },

    async updateTableAlive({ db, table, endpoint, pid }, isAlive) {
      const which = pid === undefined ? {} : { pid };
      const request = { ...tableOf({ db, table }), ...which, endpoint, isAlive };
      // A table-wide "not alive" that is repeated would also mark partitions that have recovered in between.
      const repeat = pid === undefined && !isAlive ? "never" : "safe";
      const reaches = isAlive ? endpoint : undefined;
      await atLeader(NameServer.method.updateTableAliveStatus, request, repeat, reaches);
    },

    async deleteOp(which) {
      const request = "op" in which ? { opId: which.op } : { status: toWireOpStatus(which.status) };
      await atLeader(NameServer.method.deleteOP, request, "safe");
    },

    async cancelOp(op) {
      try {
        await atLeader(NameServer.method.cancelOP, { opId: op }, "safe");
      } catch (error) {
        if (!(error instanceof OpsError) || error.responseCode !== codes.opHasEnded) throw error;
      }
    },
  } satisfies Partial<Cluster>;
}

/** The calls that queue ops. None is safe to repeat, because each call queues a new op. */
function opCalls(atLeader: LeaderCall) {
  return {
    async recoverTable(id, endpoint) {
      const request = { ...partitionOf(id), endpoint };
      await atLeader(NameServer.method.recoverTable, request, "unsafe", endpoint);
    },

    async changeLeader(id, candidate) {
      const chosen = candidate === undefined ? {} : { candidateLeader: candidate };
      const reaches = candidate === "auto" ? undefined : candidate;
      const request = { ...partitionOf(id), ...chosen };
      await atLeader(NameServer.method.changeLeader, request, "unsafe", reaches);
    },

    async offlineEndpoint(endpoint, concurrency) {
      const request = { endpoint, ...queues(concurrency) };
      await atLeader(NameServer.method.offlineEndpoint, request, "unsafe");
    },

    async recoverEndpoint(endpoint, { needRestore, concurrency }) {
      const request = { endpoint, needRestore, ...queues(concurrency) };
      await atLeader(NameServer.method.recoverEndpoint, request, "unsafe", endpoint);
    },

    async migrate(from, { db, table, pids }, to) {
      const pid = [...pids];
      const request = { ...tableOf({ db, table }), pid, srcEndpoint: from, desEndpoint: to };
      await atLeader(NameServer.method.migrate, request, "unsafe", to);
    },

    async addReplicaNS(id, endpoint) {
      const request = { ...partitionOf(id), endpoint };
      await atLeader(NameServer.method.addReplicaNS, request, "unsafe", endpoint);
    },

    async delReplicaNS(id, endpoint) {
      const request = { ...partitionOf(id), endpoint };
      await atLeader(NameServer.method.delReplicaNS, request, "unsafe");
    },
  } satisfies Partial<Cluster>;
}

function queues(concurrency: number | undefined): { readonly concurrency?: number } {
  return concurrency === undefined ? {} : { concurrency };
}

/** The calls that rewrite the record of a partition. */
function recordCalls(atLeader: LeaderCall) {
  return {
    async setPartitionFlags(id, flags) {
      await rewriteRecord(atLeader, id, ({ partitionMeta }) => {
        for (const meta of partitionMeta) {
          const isKept = meta.isLeader && flags.keepsFlag?.includes(meta.endpoint) === true;
          meta.isLeader = meta.endpoint === flags.leader || isKept;
          meta.isAlive = flags.alive.includes(meta.endpoint);
        }
        return true;
      });
    },

    async setReplicaEndpoint(id, endpoint, to) {
      await rewriteRecord(atLeader, id, (record) => {
        const replica = record.partitionMeta.find((meta) => meta.endpoint === endpoint);
        if (replica === undefined) return false;
        const others = record.partitionMeta.filter((meta) => meta !== replica);
        if (to === undefined) {
          if (others.length === 0) {
            throw refusedFor(id, `${endpoint} has its only replica on record`);
          }
          record.partitionMeta = others;
          return true;
        }
        if (others.some((meta) => meta.endpoint === to)) {
          throw refusedFor(id, `${to} has a replica on record already`);
        }
        replica.endpoint = to;
        return true;
      });
    },
  } satisfies Partial<Cluster>;
}

/** Reads the record of a partition, and writes it back if `change` returns true. */
async function rewriteRecord(
  atLeader: LeaderCall,
  id: PartitionId,
  change: (record: TablePartition) => boolean,
): Promise<void> {
  const of = partitionOf(id);
  const { tablePartition } = await atLeader(NameServer.method.getTablePartition, of, "safe");
  if (tablePartition === undefined) {
    throw new OpsError({
      code: "bad-answer",
      message: `the nameserver returned no record of ${id.table} partition ${id.pid}`,
    });
  }
  // The message itself is modified and sent back, because it carries fields that are not declared here.
  if (!change(tablePartition)) return;
  const record = { ...tableOf(id), tablePartition };
  await atLeader(NameServer.method.setTablePartition, record, "safe");
}

/** A table in a request. `db` is left out for a table without a database, because an empty value would filter. */
function tableOf({ db, table }: Pick<PartitionId, "db" | "table">) {
  return db === "" ? { name: table } : { name: table, db };
}

/** A partition in a request. */
function partitionOf(id: PartitionId) {
  return { ...tableOf(id), pid: id.pid };
}

function refusedFor({ table, pid }: PartitionId, why: string): OpsError {
  return refused(`${table} partition ${pid}: ${why}`);
}
