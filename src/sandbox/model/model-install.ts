import { OPType, type TableState, TaskStatus, TaskType } from "../../gen/openmldb/api_pb.js";
import type { StorageMode } from "../../gen/openmldb/common_pb.js";
import type { OPStatus, TableInfo } from "../../gen/openmldb/nameserver_pb.js";
import type { Endpoint, PartitionNumbers } from "../../model/cluster-state.js";
import type { Nameserver } from "../nameserver/nameserver.js";
import { newOp, type QueuedOp } from "../nameserver/ops.js";
import { copyTable } from "../table-store.js";
import type { DiskContent } from "./disk.js";
import type { SandboxModel } from "./model.js";
import type { Run } from "./runs.js";

/** A replica to be placed in the memory of a running tablet; its directory must be on the disk. */
export interface LoadedContent {
  readonly tid: number;
  readonly pid: number;
  readonly storageMode: StorageMode;
  readonly role: "leader" | "follower";
  readonly state: TableState;
  readonly term: bigint;
  /** Replication list of a leader: the last entry that each follower acknowledged. */
  readonly followers?: ReadonlyMap<Endpoint, bigint>;
  /** Rows in memory in addition to those of the log; default 0. */
  readonly extraRows?: number;
}

/** Places the directory of a replica on a tablet's disk. */
export function installDisk(model: SandboxModel, tablet: string, content: DiskContent): void {
  model.tablet(tablet).disk.install(content);
}

/**
 * Places a replica in a running tablet's memory, as if it had been loaded before.
 *
 * @throws Error if the tablet is down or has no such directory.
 */
export function installLoaded(model: SandboxModel, name: string, content: LoadedContent): void {
  const tablet = model.tablet(name);
  const { tid, pid, role, state, term } = content;
  const dir = tablet.disk.dir(content.storageMode, tid, pid);
  if (!model.process(name).isUp || dir === undefined)
    throw new Error(`${name} cannot have ${tid}/${pid} loaded`);
  const replica = tablet.add({ tid, pid, dir, role, state, term, offset: dir.offset }, []);
  replica.extraRows = content.extraRows ?? 0;
  for (const [endpoint, sent] of content.followers ?? [])
    replica.links.set(endpoint, { sent, isMatched: true });
  tablet.replicator.wake(replica);
}

/**
 * Sets a table in the leading nameserver's memory, offsets included; the znode is unchanged unless
 * `isWritten`.
 *
 * @throws Error without a leading nameserver.
 */
export function installTable(model: SandboxModel, table: TableInfo, isWritten = false): void {
  const server = leaderOf(model);
  const own = copyTable(table);
  server.tables.set(own);
  if (isWritten) server.tables.save(own);
}

/** Sets the state of a tablet at every nameserver, also for a tablet that is gone. */
export function installTabletState(
  model: SandboxModel,
  endpoint: Endpoint,
  state: { readonly isHealthy: boolean; readonly ageMs: number },
): void {
  for (const server of model.nameservers.values()) {
    server.installTablet(endpoint, state.isHealthy, state.ageMs);
  }
}

/**
 * Lists ops that ended before, from a ShowOPStatus answer. Active ops are left out: the nameserver
 * reads them from their znodes.
 */
export function installOps(model: SandboxModel, ops: readonly OPStatus[]): void {
  const server = leaderOf(model);
  const known = new Set(server.ops.list().map((op) => op.info.opId));
  const ended = ops.filter(({ opId, status }) => {
    const code = TaskStatus[status as keyof typeof TaskStatus];
    return !known.has(opId) && code !== TaskStatus.kInited && code !== TaskStatus.kDoing;
  });
  server.ops.install(ended.map(endedOp));
}

function endedOp(status: OPStatus): QueuedOp {
  const { opId, name, db, pid } = status;
  const type = OPType[status.opType as keyof typeof OPType];
  const op = newOp({ id: opId, type, name, db, pid, parentId: 0n }, { endpoint: "" });
  op.info.taskStatus = TaskStatus[status.status as keyof typeof TaskStatus];
  op.info.startTime = status.startTime;
  op.info.endTime = status.endTime;
  const task: TaskType | undefined = TaskType[status.taskType as keyof typeof TaskType];
  if (task !== undefined) op.tasks.push({ type: task, run: () => "failed" });
  return op;
}

/** Records entries as acknowledged by a leader from before the start of the model. */
export function installAcknowledged(
  model: SandboxModel,
  id: PartitionNumbers,
  runs: readonly Run[],
): void {
  for (const run of runs) model.ledger.acknowledge(id, run);
}

function leaderOf(model: SandboxModel): Nameserver {
  if (model.leader === undefined) throw new Error("no nameserver leads");
  return model.leader;
}
