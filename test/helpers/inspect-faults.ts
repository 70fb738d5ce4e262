import type { Cluster } from "../../src/cluster/cluster.js";
import type { InspectFacts } from "../../src/inspect/facts.js";
import type { TabletView } from "../../src/model/cluster-state.js";
import { encode, type RunOwner } from "../../src/run/owner.js";
import { factsOf, type LookChoice, recordOf, save, wellCluster } from "./inspected.js";
import { startVirtualCluster, type VirtualCluster } from "./virtual-cluster.js";

/** The tablets; db1.t0:0 is led by C, db1.t0:1 by A. */
export const [A, B, C] = ["a:9527", "b:9527", "c:9527"] as const;
export const MINUTE = 60_000;
/** Partition 0 of db1.t0. */
export const P0 = { db: "db1", table: "t0", tid: 2, pid: 0 };

/** The owner of a lock or a marker: a run of the tool on another machine. */
export const OWNER: RunOwner = {
  runId: "20260102T030405Z-1a2b3c4d",
  host: "ops1",
  pid: 4711,
  user: "kim",
  command: "openmldb-ops --cmd=recoverdata",
  time: "2026-01-02T03:04:05.000Z",
};

/** One fault, and all findings that inspect must report for it. */
export interface Fault {
  readonly name: string;
  /** The cluster to begin with; {@link wellCluster} if left out. */
  readonly cluster?: () => Promise<VirtualCluster>;
  readonly seed?: (virtual: VirtualCluster) => Promise<void> | void;
  /** Replaces answers of the cluster, for faults that the model cannot produce. */
  readonly answers?: (cluster: Cluster) => Partial<Cluster>;
  /** Replaces observed facts, for faults that no answer can contain. */
  readonly change?: (facts: InspectFacts) => InspectFacts;
  readonly choice?: LookChoice;
  readonly sees: readonly string[];
}

/** Creates a cluster with a fault, and observes it. */
export async function seeded(fault: Fault): Promise<InspectFacts> {
  const virtual = await (fault.cluster ?? wellCluster)();
  await fault.seed?.(virtual);
  const facts = await factsOf(virtual, fault.choice, fault.answers?.(virtual.cluster));
  return fault.change?.(facts) ?? facts;
}

/** Runs in virtual time, bounded. */
export const run = (virtual: VirtualCluster, work: Promise<unknown>) =>
  virtual.clock.run(work, 10 * MINUTE);

/** The follower B of db1.t0:0 is marked not alive by another client, with auto_failover off. */
async function deadFollower(virtual: VirtualCluster): Promise<void> {
  const { cluster } = virtual;
  await run(virtual, cluster.confSet("auto_failover", "false"));
  await run(virtual, cluster.updateTableAlive({ ...P0, endpoint: B }, false));
}

async function askRecover(virtual: VirtualCluster, waitMs: number): Promise<void> {
  await run(virtual, virtual.cluster.recoverTable(P0, B));
  await virtual.pass(waitMs);
}

function put(virtual: VirtualCluster, name: "lock" | "auto_failover", data: Buffer): void {
  const { tree } = virtual.model;
  tree.create(`/openmldb/ops_tool/${name}`, data, { parents: true });
}

const marker = encode(OWNER, { original: true });
const lock = encode(OWNER, { sessionTimeoutMs: 10_000 });

function withTablet(
  facts: InspectFacts,
  endpoint: string,
  view: Partial<TabletView>,
): InspectFacts {
  const known = facts.state.tablets.get(endpoint);
  const base: TabletView = known ?? {
    endpoint,
    claim: undefined,
    isRegistered: false,
    reports: undefined,
    silence: undefined,
  };
  const tablets = new Map(facts.state.tablets).set(endpoint, { ...base, ...view });
  return { ...facts, state: { ...facts.state, tablets } };
}

/** Starts a cluster in which auto_failover is on, and puts rows. */
export async function start(
  tablets: number,
  seed: (virtual: VirtualCluster) => Promise<void> | void = () => undefined,
  nameservers = 2,
): Promise<VirtualCluster> {
  const virtual = await startVirtualCluster({
    tablets,
    nameservers,
    model: { autoFailover: true },
  });
  await seed(virtual);
  virtual.model.put(30);
  await virtual.pass(5_000);
  return virtual;
}

/** Creates a table. */
export const table =
  (name: string, partitions: number, replicas: number, db = "db1") =>
  (virtual: VirtualCluster): void => {
    virtual.model.createTable({ db, table: name, partitions, replicas });
  };

/** Faults of servers and of the cluster as a whole. */
export const SERVER_FAULTS: readonly Fault[] = [
  { name: "nothing", sees: ["healthy"] },
  {
    name: "all tablets stopped and came back",
    seed: async (virtual) => {
      await run(virtual, virtual.cluster.confSet("auto_failover", "false"));
      virtual.model.outage();
      await virtual.pass(30_000);
    },
    sees: [
      "NOT healthy",
      "down db1.t0:0: not-loaded a:9527, not-loaded b:9527, not-loaded c:9527",
      "down db1.t0:1: not-loaded a:9527, not-loaded b:9527, not-loaded c:9527",
      "warning tablet-restarted tablet a:9527",
      "warning tablet-restarted tablet b:9527",
      "warning tablet-restarted tablet c:9527",
      "warning auto-failover-off cluster",
    ],
  },
  {
    name: "all tablets stopped and came back, auto_failover on",
    seed: async ({ model, pass }) => {
      model.outage();
      await pass(30_000);
    },
    sees: [
      "NOT healthy",
      "down db1.t0:0: not-loaded a:9527, marked-dead a:9527, not-loaded b:9527, not-loaded c:9527, marked-dead c:9527",
      "down db1.t0:1: not-loaded a:9527, marked-dead a:9527, not-loaded b:9527, not-loaded c:9527, marked-dead c:9527",
      "warning tablet-restarted tablet a:9527",
      "warning tablet-restarted tablet b:9527",
      "warning tablet-restarted tablet c:9527",
      "note ops-failed cluster",
    ],
  },
  {
    name: "one tablet is down, and no recovery has run yet",
    seed: async ({ model, pass }) => {
      model.kill(A);
      await pass(30_000);
    },
    sees: [
      "NOT healthy",
      "down db1.t0:1: tablet-offline a:9527",
      "degraded db1.t0:0: tablet-offline a:9527",
      "error tablet-offline tablet a:9527",
    ],
  },
  {
    name: "one tablet is down, and the operator declares it lost",
    seed: async ({ model, pass }) => {
      model.kill(A);
      await pass(30_000);
    },
    choice: { lost: [A] },
    sees: [
      "NOT healthy",
      "down db1.t0:1: tablet-offline a:9527",
      "degraded db1.t0:0: tablet-offline a:9527",
      "error tablet-offline tablet a:9527",
      "note tablets-lost cluster",
      "note tablets-lost cluster",
    ],
  },
  {
    name: "one tablet is down, and others lead its partitions",
    seed: async ({ model, pass }) => {
      model.kill(A);
      await pass(20 * MINUTE);
    },
    sees: [
      "NOT healthy",
      "degraded db1.t0:0: tablet-offline a:9527",
      "degraded db1.t0:1: tablet-offline a:9527",
      "error tablet-offline tablet a:9527",
    ],
  },
  {
    name: "a tablet does not answer",
    seed: ({ model }) => model.hang(A),
    sees: [
      "NOT healthy",
      "down db1.t0:1: tablet-silent a:9527",
      "degraded db1.t0:0: tablet-silent a:9527",
      "error tablet-silent tablet a:9527",
    ],
  },
  {
    name: "one tablet has restarted and loaded nothing",
    seed: async (virtual) => {
      await run(virtual, virtual.cluster.confSet("auto_failover", "false"));
      virtual.model.restart(B);
      await virtual.pass(30_000);
    },
    sees: [
      "NOT healthy",
      "degraded db1.t0:0: not-loaded b:9527",
      "degraded db1.t0:1: not-loaded b:9527",
      "warning tablet-restarted tablet b:9527",
      "warning auto-failover-off cluster",
    ],
  },
  {
    name: "a tablet without replicas is gone",
    cluster: () => start(5, table("t0", 2, 3)),
    seed: async ({ model, pass }) => {
      model.kill(B);
      await pass(20_000);
    },
    sees: ["healthy", "warning tablet-removed tablet b:9527"],
  },
  {
    name: "a tablet is registered, and the nameserver does not know it",
    change: (facts) => withTablet(facts, "x:9527", { isRegistered: true, reports: new Map() }),
    sees: ["NOT healthy", "error tablet-unknown tablet x:9527"],
  },
  {
    name: "a tablet's znode is gone, and the nameserver has not noticed",
    change: (facts) => withTablet(facts, B, { isRegistered: false }),
    sees: ["healthy", "warning tablet-not-registered tablet b:9527"],
  },
  {
    name: "a replica is on record at an unknown tablet",
    seed: (virtual) => {
      recordOf(virtual, B).endpoint = "z:9527";
      save(virtual);
    },
    sees: [
      "NOT healthy",
      "degraded db1.t0:0: tablet-offline z:9527",
      "error tablet-gone tablet z:9527",
      "warning feeds-stranger db1.t0:0",
      "warning stray-replica tablet b:9527",
    ],
  },
  {
    name: "a tablet of another cluster answers under a tablet's name",
    answers: (cluster) => ({
      getTableStatus: async (endpoint, of) => {
        const reports = await cluster.getTableStatus(endpoint, of);
        return endpoint === A ? reports.map((one) => ({ ...one, table: "other" })) : reports;
      },
    }),
    sees: [
      "NOT healthy",
      "down db1.t0:1: tablet-foreign a:9527",
      "degraded db1.t0:0: tablet-foreign a:9527",
      "error tablet-foreign tablet a:9527",
    ],
  },
  {
    name: "a registration without a tablet stops the ops",
    seed: async (virtual) => {
      virtual.model.tree.create("/openmldb/nodes/x:9527", Buffer.from("x:9527"));
      await virtual.pass(3_000);
      await deadFollower(virtual);
      await askRecover(virtual, 5_000);
    },
    sees: [
      "NOT healthy",
      "degraded db1.t0:0: marked-dead b:9527, not-linked b:9527",
      "error tablet-silent tablet x:9527",
      "error ops-blocked tablet x:9527",
      "warning auto-failover-off cluster",
      "note ops-running cluster",
    ],
  },
  {
    name: "a server of ZooKeeper is down",
    change: (facts) => ({
      ...facts,
      zooKeeper: [
        { host: "zk1:2181", silence: undefined },
        { host: "zk2:2181", silence: "connection refused" },
      ],
    }),
    sees: ["NOT healthy", "error zookeeper-host-silent ZooKeeper zk2:2181"],
  },
  {
    name: "the standby hangs",
    seed: ({ model }) => model.hang("nameserver2"),
    sees: ["NOT healthy", "error nameserver-silent nameserver n2:6527"],
  },
  {
    name: "the leading nameserver stopped",
    seed: async ({ model, pass }) => {
      model.kill("nameserver1");
      await pass(MINUTE);
    },
    sees: ["healthy", "note no-standby cluster"],
  },
  {
    name: "there is one nameserver",
    cluster: () => start(3, table("t0", 2, 3), 1),
    sees: ["healthy", "note no-standby cluster"],
  },
  {
    name: "a nameserver has reconnected and left a znode",
    seed: ({ model }) => {
      const path = "/openmldb/leader/lock_request";
      model.tree.create(path, Buffer.from("n2:6527"), { sequential: true });
    },
    sees: ["healthy", "warning nameserver-registered-twice nameserver n2:6527"],
  },
  {
    name: "auto_failover is off",
    seed: (virtual) => run(virtual, virtual.cluster.confSet("auto_failover", "false")).then(),
    sees: ["healthy", "warning auto-failover-off cluster"],
  },
  {
    name: "the counters in ZooKeeper are older than the cluster",
    seed: async (virtual) => {
      await run(virtual, virtual.cluster.confSet("auto_failover", "false"));
      await run(virtual, virtual.cluster.changeLeader(P0, A));
      await virtual.pass(5_000);
      await run(virtual, virtual.cluster.recoverTable(P0, C));
      await virtual.pass(30_000);
      await run(virtual, virtual.cluster.confSet("auto_failover", "true"));
      for (const counter of ["table/term", "table/table_index", "op/op_index"]) {
        virtual.model.tree.setData(`/openmldb/${counter}`, Buffer.from("1"));
      }
    },
    sees: [
      "healthy",
      "warning counter-behind cluster",
      "warning counter-behind cluster",
      "warning counter-behind cluster",
      "warning counter-behind cluster",
    ],
  },
  {
    name: "the marker of a killed run",
    seed: async (virtual) => {
      put(virtual, "auto_failover", marker);
      await run(virtual, virtual.cluster.confSet("auto_failover", "false"));
    },
    sees: ["NOT healthy", "error marker-left cluster"],
  },
  {
    name: "a note that could not be removed, of a run that restored auto_failover",
    seed: async (virtual) => {
      put(virtual, "auto_failover", marker);
    },
    sees: ["healthy", "warning marker-stale cluster"],
  },
  {
    name: "a run left auto_failover off on purpose",
    seed: async (virtual) => {
      put(
        virtual,
        "auto_failover",
        encode(OWNER, { original: true, leftOffSince: "2026-01-02T03:04:05.000Z" }),
      );
      await run(virtual, virtual.cluster.confSet("auto_failover", "false"));
    },
    sees: ["healthy", "warning auto-failover-left-off cluster"],
  },
  {
    name: "a marker that cannot be read",
    seed: (virtual) => put(virtual, "auto_failover", Buffer.from("{}")),
    sees: ["NOT healthy", "error marker-unreadable cluster"],
  },
  {
    name: "a run holds the lock",
    seed: (virtual) => put(virtual, "lock", lock),
    sees: ["healthy", "note lock-held cluster"],
  },
  {
    name: "a lock without an owner",
    seed: (virtual) => put(virtual, "lock", Buffer.from("\x1b[2J")),
    sees: ["healthy", "note lock-held cluster"],
  },
  {
    name: "a run is at work",
    seed: async (virtual) => {
      put(virtual, "lock", lock);
      put(virtual, "auto_failover", marker);
      await run(virtual, virtual.cluster.confSet("auto_failover", "false"));
    },
    sees: ["healthy", "note auto-failover-held-off cluster", "note lock-held cluster"],
  },
  {
    name: "an op runs",
    seed: async (virtual) => {
      await deadFollower(virtual);
      virtual.model.stickOp("kCheckBinlogSyncProgress", 1);
      await askRecover(virtual, 5_000);
    },
    sees: [
      "NOT healthy",
      "degraded db1.t0:0: marked-dead b:9527",
      "warning auto-failover-off cluster",
      "note ops-running cluster",
    ],
  },
  {
    name: "an op makes no progress",
    seed: async (virtual) => {
      await deadFollower(virtual);
      virtual.model.stickOp("kDelReplica", 1);
      await askRecover(virtual, 15 * MINUTE);
    },
    sees: [
      "NOT healthy",
      "degraded db1.t0:0: marked-dead b:9527",
      "warning auto-failover-off cluster",
      "warning op-stuck cluster",
    ],
  },
  {
    name: "an op has failed",
    seed: async (virtual) => {
      await deadFollower(virtual);
      virtual.model.failOp("kDelReplica", 1);
      await askRecover(virtual, MINUTE);
    },
    sees: [
      "NOT healthy",
      "degraded db1.t0:0: marked-dead b:9527",
      "warning auto-failover-off cluster",
      "note ops-failed cluster",
    ],
  },
];
