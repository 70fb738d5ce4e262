import { OPType, type TableState, TaskStatus, TaskType } from "../../gen/openmldb/api_pb.js";
import type { StorageMode } from "../../gen/openmldb/common_pb.js";
import type { OPStatus, TableInfo } from "../../gen/openmldb/nameserver_pb.js";
import type { Endpoint } from "../../model/cluster-state.js";
import type { Nameserver } from "../nameserver/nameserver.js";
import { newOp, type QueuedOp } from "../nameserver/ops.js";
import { copyTable } from "../table-store.js";
import type { DiskContent } from "./disk.js";
import type { SandboxModel } from "./model.js";
import type { Run } from "./runs.js";

/** A replica to be put into the memory of a running tablet; its directory must be on the disk. */
export interface LoadedContent {
  readonly tid: number;
  readonly pid: number;
  readonly storageMode: StorageMode;
  readonly role: "leader" | "follower";
  readonly state: TableState;
  readonly term: bigint;
  /** Replication list of a leader: the last entry that each follower acknowledged. */
  readonly followers?: ReadonlyMap<Endpoint, bigint>;
  /** Rows in memory beyond those of the log; default none. */
  readonly extraRows?: number;
}

/** Puts the directory of a replica onto a tablet's disk. */
export function installDisk(model: SandboxModel, tablet: string, content: DiskContent): void {
  model.tablet(tablet).disk.install(content);
}

/**
 * Puts a replica into a running tablet's memory, as if it had been loaded before.
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
 * Gives the leading nameserver what it is to have in memory of a table, offsets included; the
 * znode stays as it is unless `isWritten`.
 *
 * @throws Error without a leading nameserver.
 */
export function installTable(model: SandboxModel, table: TableInfo, isWritten = false): void {
  const server = leaderOf(model);
  const own = copyTable(table);
  server.tables.set(own);
  if (isWritten) server.tables.save(own);
}

/** Makes every nameserver know a tablet in a state, for one that is gone, or was there for a while. */
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
 * Lists ops that ended before, as a ShowOPStatus answer gave them. Ops that had not ended are left
 * out: the nameserver takes those from their znodes, which say what they are about.
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

/** Notes entries as acknowledged by a leader that led before the model began. */
export function installAcknowledged(
  model: SandboxModel,
  id: { readonly tid: number; readonly pid: number },
  runs: readonly Run[],
): void {
  for (const run of runs) model.ledger.acknowledge(id, run);
}

function leaderOf(model: SandboxModel): Nameserver {
  if (model.leader === undefined) throw new Error("no nameserver leads");
  return model.leader;
}
