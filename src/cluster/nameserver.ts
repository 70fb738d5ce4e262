import { OpsError, refused } from "../errors.js";
import { NameServer, type TablePartition } from "../gen/openmldb/nameserver_pb.js";
import type { PartitionId } from "../model/cluster-state.js";
import type { Cluster } from "./cluster.js";
import { toOp, toTableClaims, toTabletClaim, toWireOpStatus } from "./convert.js";
import { createLeaderCall, inDb, type LeaderCall, type LeaderCallOptions } from "./leader-call.js";
import { createOpCalls, type OpCalls } from "./nameserver-ops.js";
import { codes } from "./response-codes.js";

/** The calls of a cluster that go to its leading nameserver. */
export type NameserverClient = OpCalls &
  Pick<
    Cluster,
    | "showTablet"
    | "showTable"
    | "showDatabase"
    | "confGet"
    | "confSet"
    | "showOpStatus"
    | "updateTableAlive"
    | "cancelOp"
    | "deleteOp"
    | "setPartitionFlags"
    | "setReplicaEndpoint"
  >;

/** Creates the calls to the leading nameserver; {@link Cluster} defines which ones are repeated. */
export function createNameserverClient(options: LeaderCallOptions): NameserverClient {
  const atLeader = createLeaderCall(options);

  return {
    ...createOpCalls(atLeader),
    ...recordCalls(atLeader),

    async showTablet() {
      const { tablets } = await atLeader(NameServer.method.showTablet, {}, "safe");
      return tablets.map(toTabletClaim);
    },

    async showTable(of) {
      if (of === undefined) {
        const { tableInfo } = await atLeader(
          NameServer.method.showTable,
          { showAll: true },
          "safe",
        );
        return toTableClaims(tableInfo);
      }
      // The nameserver returns a table without a database for any requested database, so filter again.
      const request = { name: of.table, ...inDb(of.db) };
      const { tableInfo } = await atLeader(NameServer.method.showTable, request, "safe");
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
      const request = {
        name: table,
        endpoint,
        isAlive,
        ...inDb(db),
        ...(pid === undefined ? {} : { pid }),
      };
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
  };
}

/** The calls that rewrite the record of a partition. */
function recordCalls(
  atLeader: LeaderCall,
): Pick<Cluster, "setPartitionFlags" | "setReplicaEndpoint"> {
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
  };
}

/** Reads the record of a partition, and writes it back if `change` returns true. */
async function rewriteRecord(
  atLeader: LeaderCall,
  { db, table, pid }: PartitionId,
  change: (record: TablePartition) => boolean,
): Promise<void> {
  const of = { name: table, pid, ...inDb(db) };
  const { tablePartition } = await atLeader(NameServer.method.getTablePartition, of, "safe");
  if (tablePartition === undefined) {
    throw new OpsError({
      code: "bad-answer",
      message: `the nameserver answered no record of ${table} partition ${pid}`,
    });
  }
  // The message itself is modified and sent back, because it carries fields that are not declared here.
  if (!change(tablePartition)) return;
  const record = { name: table, tablePartition, ...inDb(db) };
  await atLeader(NameServer.method.setTablePartition, record, "safe");
}

function refusedFor({ table, pid }: PartitionId, why: string): OpsError {
  return refused(`${table} partition ${pid}: ${why}`);
}
