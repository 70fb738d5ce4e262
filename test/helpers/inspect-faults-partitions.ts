import { clone, create } from "@bufbuild/protobuf";
import { OpsError } from "../../src/errors.js";
import { TableState } from "../../src/gen/openmldb/api_pb.js";
import { StorageMode } from "../../src/gen/openmldb/common_pb.js";
import { PartitionMetaSchema, TermPairSchema } from "../../src/gen/openmldb/nameserver_pb.js";
import { SANDBOX_SCHEMA } from "../../src/sandbox/model/disk.js";
import { schemaWith } from "../../src/sandbox/model/indexes.js";
import { installDisk, installLoaded } from "../../src/sandbox/model/model-install.js";
import { partitionOf } from "../../src/sandbox/table-store.js";
import { A, B, C, type Fault, MINUTE, P0, run, start, table } from "./inspect-faults.js";
import { loadedOf, recordOf, save, tableOf } from "./inspected.js";
import type { VirtualCluster } from "./virtual-cluster.js";

/** Rows of db1.t0 expire from now on. */
function setTtl(virtual: VirtualCluster): void {
  const ttl = { type: "absolute", minutes: 60 } as const;
  for (const endpoint of [A, B, C]) {
    const { dir } = loadedOf(virtual, endpoint);
    dir.meta = { ...dir.meta, schema: schemaWith([{ name: "idx", ttl }]) };
  }
}

/** Faults of partitions, their records and their replication. */
export const PARTITION_FAULTS: readonly Fault[] = [
  {
    name: "a follower is marked not alive",
    seed: (virtual) => {
      recordOf(virtual, B).isAlive = false;
      save(virtual);
    },
    sees: ["NOT healthy", "degraded db1.t0:0: marked-dead b:9527"],
  },
  {
    name: "a follower is marked not alive in the nameserver's memory only",
    seed: (virtual) => {
      recordOf(virtual, B).isAlive = false;
    },
    sees: [
      "NOT healthy",
      "degraded db1.t0:0: marked-dead b:9527",
      "warning stored-record-differs db1.t0:0",
    ],
  },
  {
    name: "both followers are marked not alive",
    seed: (virtual) => {
      for (const endpoint of [A, B]) recordOf(virtual, endpoint).isAlive = false;
      save(virtual);
    },
    sees: ["NOT healthy", "one-left db1.t0:0: marked-dead a:9527, marked-dead b:9527"],
  },
  {
    name: "a follower is not loaded",
    seed: async (virtual) => {
      await virtual.pass(15 * MINUTE);
      virtual.model.tablet(B).unload(loadedOf(virtual, B));
    },
    sees: ["NOT healthy", "degraded db1.t0:0: not-loaded b:9527"],
  },
  {
    name: "a follower is loading",
    seed: (virtual) => {
      loadedOf(virtual, B).state = TableState.kTableLoading;
    },
    sees: ["NOT healthy", "degraded db1.t0:0: loading b:9527"],
  },
  {
    name: "a tablet reports an unknown state",
    answers: (cluster) => ({
      getTableStatus: async (endpoint, of) =>
        (await cluster.getTableStatus(endpoint, of)).map((one) =>
          endpoint === B && one.pid === 0 ? { ...one, state: "other" } : one,
        ),
    }),
    sees: ["NOT healthy", "degraded db1.t0:0: state-unknown b:9527"],
  },
  {
    name: "the leader does not replicate to a follower",
    seed: (virtual) => run(virtual, virtual.cluster.delReplica(C, P0, A)).then(),
    sees: ["NOT healthy", "degraded db1.t0:0: not-linked a:9527"],
  },
  {
    name: "the leader does not replicate to a follower, and writes continue",
    seed: async (virtual) => {
      await run(virtual, virtual.cluster.delReplica(C, P0, A));
      virtual.model.put(50);
      await virtual.pass(5_000);
    },
    choice: { maxLag: 20n },
    sees: ["NOT healthy", "degraded db1.t0:0: not-linked a:9527", "warning lag db1.t0:0"],
  },
  {
    name: "the same, with a lag below the limit",
    seed: async (virtual) => {
      await run(virtual, virtual.cluster.delReplica(C, P0, A));
      virtual.model.put(50);
      await virtual.pass(5_000);
    },
    choice: { maxLag: 50n },
    sees: ["NOT healthy", "degraded db1.t0:0: not-linked a:9527"],
  },
  {
    name: "a follower came back with fewer entries than its leader has confirmed",
    seed: (virtual) => {
      loadedOf(virtual, B).offset = 5n;
    },
    sees: ["NOT healthy", "degraded db1.t0:0: behind b:9527"],
  },
  {
    name: "a follower holds more than its leader",
    seed: (virtual) => {
      loadedOf(virtual, B).offset = 99n;
    },
    sees: ["NOT healthy", "at-risk db1.t0:0: ahead b:9527"],
  },
  {
    name: "an ex-leader holds rows that the newest leadership began without",
    seed: async (virtual) => {
      await run(virtual, virtual.cluster.delReplica(C, P0, B));
      Object.assign(recordOf(virtual, B), { isLeader: true, isAlive: false });
      const part = partitionOf(tableOf(virtual), 0);
      part?.termOffset.push(create(TermPairSchema, { term: 3n, offset: 5n }));
      save(virtual);
    },
    sees: [
      "NOT healthy",
      "at-risk db1.t0:0: extra-leader b:9527, marked-dead b:9527, not-linked b:9527, surplus b:9527",
      "warning counter-behind cluster",
    ],
  },
  {
    name: "a snapshot on a disk has a newer term than the record",
    seed: async (virtual) => {
      await virtual.pass(15 * MINUTE);
      virtual.model.tablet(B).unload(loadedOf(virtual, B));
    },
    answers: (cluster) => ({
      getTermPair: async (endpoint, of) => ({
        ...(await cluster.getTermPair(endpoint, of)),
        ...(endpoint === B && of.pid === 0 ? { term: 7n, offset: 20n } : {}),
      }),
    }),
    sees: [
      "NOT healthy",
      "at-risk db1.t0:0: record-is-old b:9527, not-loaded b:9527",
      "warning counter-behind cluster",
    ],
  },
  {
    name: "the leader does not report its replication list",
    answers: (cluster) => ({
      getTableFollower: (endpoint, id) =>
        id.pid === 0
          ? Promise.reject(new OpsError({ code: "deadline", message: "no answer" }))
          : cluster.getTableFollower(endpoint, id),
    }),
    sees: ["NOT healthy", "degraded db1.t0:0: link-unknown a:9527, link-unknown b:9527"],
  },
  {
    name: "the leader replicates to a tablet that is not on record",
    seed: (virtual) => run(virtual, virtual.cluster.addReplica(C, P0, "x:9527")).then(),
    sees: ["healthy", "warning feeds-stranger db1.t0:0"],
  },
  {
    name: "a follower has a row twice in its memory",
    seed: (virtual) => {
      virtual.model.plantRow({ ...P0, tablet: B }, 1n, "doubled");
    },
    sees: ["healthy", "warning record-counts-differ db1.t0:0"],
  },
  {
    name: "a follower has removed expired rows, others have not yet",
    seed: (virtual) => {
      setTtl(virtual);
      virtual.model.expireRows({ ...P0, tablet: B }, 2n);
    },
    sees: ["healthy"],
  },
  {
    name: "an ex-leader is still flagged",
    seed: (virtual) => {
      Object.assign(recordOf(virtual, A), { isLeader: true, isAlive: false });
      save(virtual);
    },
    sees: ["NOT healthy", "degraded db1.t0:0: extra-leader a:9527, marked-dead a:9527"],
  },
  {
    name: "no replica is flagged leader",
    seed: (virtual) => {
      recordOf(virtual, C).isLeader = false;
      save(virtual);
    },
    sees: ["NOT healthy", "down db1.t0:0: no-leader-flagged, wrong-role c:9527"],
  },
  {
    name: "the leader runs as follower",
    seed: (virtual) => {
      loadedOf(virtual, C).role = "follower";
    },
    sees: ["NOT healthy", "down db1.t0:0: wrong-role c:9527"],
  },
  {
    name: "the leader was loaded as follower and lacks rows",
    seed: (virtual) => {
      Object.assign(loadedOf(virtual, C), { role: "follower", offset: 7n });
    },
    sees: ["NOT healthy", "down db1.t0:0: wrong-role c:9527, rows-missing c:9527"],
  },
  {
    name: "the leader was left in kSnapshotPaused",
    seed: (virtual) => {
      loadedOf(virtual, C).state = TableState.kSnapshotPaused;
    },
    sees: ["NOT healthy", "untidy db1.t0:0: snapshot-paused c:9527"],
  },
  {
    name: "a single replica has fewer entries than its known offset",
    cluster: () => start(3, table("t0", 1, 1)),
    seed: (virtual) => {
      loadedOf(virtual, C).offset = 12n;
    },
    sees: [
      "healthy",
      "warning record-shrunk db1.t0:0",
      "note tablet-unused tablet a:9527",
      "note tablet-unused tablet b:9527",
      "note single-replica db1.t0",
    ],
  },
  {
    name: "two replicas are on record at one tablet",
    seed: (virtual) => {
      const partition = partitionOf(tableOf(virtual), 0);
      partition?.partitionMeta.push(clone(PartitionMetaSchema, recordOf(virtual, B)));
      save(virtual);
    },
    sees: ["healthy", "warning replica-twice db1.t0:0"],
  },
  {
    name: "a replica was removed from the record by hand",
    seed: (virtual) => {
      const partition = partitionOf(tableOf(virtual), 0);
      if (partition === undefined) throw new Error("no partition");
      partition.partitionMeta = partition.partitionMeta.filter((one) => one.endpoint !== B);
      save(virtual);
    },
    sees: [
      "healthy",
      "warning feeds-stranger db1.t0:0",
      "warning stray-replica tablet b:9527",
      "warning replicas-few db1.t0:0",
    ],
  },
  {
    name: "the table has a replica number above the number of tablets",
    seed: (virtual) => {
      tableOf(virtual).replicaNum = 4;
      save(virtual);
    },
    sees: [
      "healthy",
      "warning replicas-few db1.t0:0",
      "warning replicas-few db1.t0:1",
      "warning too-few-tablets db1.t0",
    ],
  },
  {
    name: "a tablet has loaded a table that was dropped",
    seed: ({ model }) => {
      const meta = {
        name: "old",
        db: "db1",
        mode: "leader" as const,
        term: 1n,
        storageMode: StorageMode.kMemory,
        segCount: 8,
        schema: SANDBOX_SCHEMA,
      };
      const of = { tid: 1, pid: 3, storageMode: StorageMode.kMemory };
      installDisk(model, B, { ...of, meta, runs: [] });
      installLoaded(model, B, { ...of, role: "leader", state: TableState.kTableNormal, term: 1n });
    },
    sees: ["healthy", "warning stray-replica tablet b:9527"],
  },
  {
    name: "an unknown storage mode",
    seed: (virtual) => {
      tableOf(virtual).storageMode = StorageMode.kUnknown;
      save(virtual);
    },
    sees: ["healthy", "warning storage-unknown db1.t0"],
  },
  {
    name: "a new tablet is empty",
    cluster: () =>
      start(4, async (virtual) => {
        virtual.model.kill("d:9527");
        await virtual.pass(20_000);
        table("t0", 8, 3)(virtual);
        virtual.model.restart("d:9527");
      }),
    sees: [
      "healthy",
      "warning replicas-uneven tablet d:9527",
      "warning leaders-uneven tablet d:9527",
      "note tablet-unused tablet d:9527",
    ],
  },
  {
    name: "a tablet came back and leads nothing",
    cluster: () => start(3, table("t0", 6, 3)),
    seed: async ({ model, pass }) => {
      model.kill(A);
      await pass(20 * MINUTE);
      model.restart(A);
      await pass(60 * MINUTE);
    },
    sees: ["healthy", "warning leaders-uneven tablet a:9527"],
  },
  {
    name: "a table of one replica",
    cluster: () => start(3, table("t0", 1, 1)),
    sees: [
      "healthy",
      "note tablet-unused tablet a:9527",
      "note tablet-unused tablet b:9527",
      "note single-replica db1.t0",
    ],
  },
  {
    name: "system tables of one replica",
    cluster: () => start(1, ({ model }) => model.createSystemTables()),
    sees: [
      "healthy",
      "note system-single-replica INFORMATION_SCHEMA.DEPLOY_RESPONSE_TIME",
      "note system-single-replica INFORMATION_SCHEMA.GLOBAL_VARIABLES",
      "note system-single-replica __INTERNAL_DB.JOB_INFO",
      "note system-single-replica __INTERNAL_DB.PRE_AGG_META_INFO",
      "note system-single-replica __INTERNAL_DB.USER",
    ],
  },
  {
    name: "a table without a database, after an outage",
    cluster: () => start(3, table("t0", 1, 2, "")),
    seed: async (virtual) => {
      await run(virtual, virtual.cluster.confSet("auto_failover", "false"));
      virtual.model.outage();
      await virtual.pass(30_000);
    },
    sees: [
      "NOT healthy",
      "down t0:0: not-loaded a:9527, not-loaded c:9527",
      "warning tablet-restarted tablet a:9527",
      "warning tablet-restarted tablet c:9527",
      "warning auto-failover-off cluster",
      "note tablet-unused tablet b:9527",
    ],
  },
  {
    name: "another table is unhealthy, and only this one is selected",
    cluster: () =>
      start(3, (virtual) => {
        table("t0", 2, 3)(virtual);
        table("t1", 2, 3)(virtual);
      }),
    seed: (virtual) => {
      recordOf(virtual, B).isAlive = false;
      save(virtual);
    },
    choice: { scope: { db: "db1", table: "t1" } },
    sees: ["healthy"],
  },
];
