import { usageError } from "../../errors.js";
import { replicaKey } from "../../model/cluster-state.js";
import type { SandboxModel } from "./model.js";
import {
  installAcknowledged,
  installDisk,
  installLoaded,
  installOps,
  installTable,
  installTabletState,
} from "./model-install.js";
import type { RecordedCluster, RecordedReplica, RecordedTablet } from "./recording.js";
import type { Run } from "./runs.js";
import { lastOffset } from "./runs.js";

/** The parts of a new cluster. */
export interface NewCluster {
  /** Number of tables in the database `db1`, the special ones included. */
  readonly tables: number;
  readonly partitions: number;
  /** Replicas of a partition, leader included. */
  readonly replicas: number;
  /** Rows put into each partition. */
  readonly rows: number;
  /** Number of the tables that are stored on HDD (`disk0`, `disk1`, ...). */
  readonly hddTables: number;
  /** How many of the tables have one replica only (`single0`, `single1`, ...). */
  readonly singleReplicaTables: number;
}

/** Limits of {@link waitFor}; longer than any session timeout. */
const MODEL_LIMIT_MS = 60_000;
const REAL_LIMIT_MS = 30_000;
const POLL_MS = 10;

/**
 * Waits for a condition of a model on a real clock, whatever its speed.
 *
 * @param what The condition, for the error.
 * @throws Error after 60 s of the model's clock and 30 s of real time, whichever ends later.
 */
export async function waitFor(
  model: SandboxModel,
  what: string,
  holds: () => boolean,
): Promise<void> {
  const modelEnd = model.clock.now() + MODEL_LIMIT_MS;
  const realEnd = performance.now() + REAL_LIMIT_MS;
  while (!holds()) {
    if (model.clock.now() > modelEnd && performance.now() > realEnd) {
      throw new Error(`the sandbox waited too long: ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/**
 * Starts the processes of a model and creates system tables, tables (`db1.t0`, `db1.t1`, ...) and rows.
 *
 * @throws OpsError `usage` if such a cluster is impossible.
 */
export async function bootNewCluster(model: SandboxModel, cluster: NewCluster): Promise<void> {
  const { hddTables, singleReplicaTables, partitions, replicas } = cluster;
  if (hddTables + singleReplicaTables > cluster.tables) {
    throw usageError(
      `${cluster.tables} tables cannot include ${hddTables} on HDD and ${singleReplicaTables} with a single replica`,
    );
  }
  if (replicas > model.tablets.size) {
    throw usageError(`${replicas} replicas need as many tablets, there are ${model.tablets.size}`);
  }
  model.start();
  model.createSystemTables();
  const spec = { db: "db1", partitions, replicas } as const;
  for (let index = 0; index < hddTables; index += 1) {
    model.createTable({ ...spec, table: `disk${index}`, storageMode: "hdd" });
  }
  for (let index = 0; index < singleReplicaTables; index += 1) {
    model.createTable({ ...spec, table: `single${index}`, replicas: 1 });
  }
  for (let index = 0; index < cluster.tables - hddTables - singleReplicaTables; index += 1) {
    model.createTable({ ...spec, table: `t${index}` });
  }
  model.put(cluster.rows);
  await waitFor(model, "a new cluster is healthy", () => model.healthy().length === 0);
}

/**
 * Starts the processes of a model as they were when a recording was made. The model's tree must already
 * have the recorded persistent znodes.
 *
 * All rows on the disk of the replica with the longest log count as acknowledged.
 */
export function bootRecording(model: SandboxModel, cluster: RecordedCluster): void {
  for (const tablet of cluster.tablets) {
    for (const content of tablet.disk) {
      installDisk(model, tablet.endpoint, content);
    }
  }
  const processes = [...cluster.nameservers, ...cluster.tablets];
  model.start({ down: processes.filter((one) => !one.isUp).map((one) => one.endpoint) });
  for (const { endpoint, state, age } of cluster.tabletStates) {
    installTabletState(model, endpoint, {
      isHealthy: !state.endsWith("Offline"),
      ageMs: Number(age),
    });
  }
  for (const table of cluster.tables) {
    installTable(model, table);
  }
  installOps(model, cluster.ops);
  for (const tablet of cluster.tablets) {
    for (const replica of tablet.isUp ? tablet.loaded : []) {
      install(model, tablet, replica);
    }
  }
  for (const [key, runs] of longestLogs(cluster.tablets)) {
    const [tid = 0, pid = 0] = key.split("/").map(Number);
    installAcknowledged(model, { tid, pid }, runs);
  }
}

function install(model: SandboxModel, tablet: RecordedTablet, replica: RecordedReplica): void {
  const { tid, pid, role, state, term, followers } = replica;
  const dir = tablet.disk.find((content) => content.tid === tid && content.pid === pid);
  // A loaded replica without a directory belongs to no known table, so it is left out.
  if (dir !== undefined) {
    const { storageMode } = dir.meta;
    installLoaded(model, tablet.endpoint, { tid, pid, role, state, term, followers, storageMode });
  }
}

function longestLogs(tablets: readonly RecordedTablet[]): ReadonlyMap<string, readonly Run[]> {
  const longest = new Map<string, readonly Run[]>();
  for (const content of tablets.flatMap((tablet) => tablet.disk)) {
    const key = replicaKey(content);
    if (lastOffset(content.runs) > lastOffset(longest.get(key) ?? [])) {
      longest.set(key, content.runs);
    }
  }
  return longest;
}
