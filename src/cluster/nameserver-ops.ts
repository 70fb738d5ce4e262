import { NameServer } from "../gen/openmldb/nameserver_pb.js";
import type { Cluster } from "./cluster.js";
import { inDb, type LeaderCall } from "./leader-call.js";

/** The calls that queue ops at the nameserver. None is safe to repeat, because each call queues a new op. */
export type OpCalls = Pick<
  Cluster,
  | "recoverTable"
  | "changeLeader"
  | "offlineEndpoint"
  | "recoverEndpoint"
  | "migrate"
  | "addReplicaNS"
  | "delReplicaNS"
>;

/** See {@link OpCalls}. @param atLeader Calls the leading nameserver. */
export function createOpCalls(atLeader: LeaderCall): OpCalls {
  return {
    async recoverTable({ db, table, pid }, endpoint) {
      await atLeader(
        NameServer.method.recoverTable,
        { name: table, pid, endpoint, ...inDb(db) },
        "unsafe",
        endpoint,
      );
    },

    async changeLeader({ db, table, pid }, candidate) {
      await atLeader(
        NameServer.method.changeLeader,
        {
          name: table,
          pid,
          ...(candidate === undefined ? {} : { candidateLeader: candidate }),
          ...inDb(db),
        },
        "unsafe",
        candidate === "auto" ? undefined : candidate,
      );
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
      const request = {
        srcEndpoint: from,
        name: table,
        pid: [...pids],
        desEndpoint: to,
        ...inDb(db),
      };
      await atLeader(NameServer.method.migrate, request, "unsafe", to);
    },

    async addReplicaNS({ db, table, pid }, endpoint) {
      const request = { name: table, pid, endpoint, ...inDb(db) };
      await atLeader(NameServer.method.addReplicaNS, request, "unsafe", endpoint);
    },

    async delReplicaNS({ db, table, pid }, endpoint) {
      const request = { name: table, pid, endpoint, ...inDb(db) };
      await atLeader(NameServer.method.delReplicaNS, request, "unsafe");
    },
  };
}

function queues(concurrency: number | undefined): { readonly concurrency?: number } {
  return concurrency === undefined ? {} : { concurrency };
}
