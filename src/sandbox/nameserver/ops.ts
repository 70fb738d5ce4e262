import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type OPInfo,
  OPInfoSchema,
  OPType,
  TaskStatus,
  type TaskType,
} from "../../gen/openmldb/api_pb.js";
import type { Endpoint } from "../../model/cluster-state.js";
import type { Outcome } from "../model/replica.js";
import type { Tablet } from "../tablet/tablet.js";

/**
 * The parameters of an op in addition to table and pid. Stored as JSON in `OPInfo.data` (OpenMLDB:
 * protobuf).
 */
export interface OpData {
  readonly endpoint: Endpoint;
  /** kRecoverTableOP: the replica is flagged leader. kUpdatePartitionStatusOP: flags to set. */
  readonly isLeader?: boolean;
  readonly isAlive?: boolean;
  /** Number of queues in use for the child op. */
  readonly concurrency?: number;
  /** The replica counts as in sync only with all of its leader's entries (need_restore). */
  readonly isExact?: boolean;
  /** kMigrateOP: the destination. */
  readonly target?: Endpoint;
  /** kChangeLeaderOP. */
  readonly followers?: readonly Endpoint[];
  readonly candidate?: Endpoint;
  /** kChangeLeaderOP, once the leader is selected. */
  readonly chosen?: { readonly leader: Endpoint; readonly offset: string; readonly term: string };
}

/** The end of a step that the nameserver runs itself; `wait`: not finished, run again at the next refresh. */
export type StepEnd = "done" | "failed" | "wait";

/** A step that the nameserver runs itself. */
interface LocalTask {
  readonly type: TaskType;
  readonly run: () => StepEnd;
}

/** A step that a tablet runs; the nameserver sees its end when it polls. */
export interface TabletTask {
  readonly type: TaskType;
  readonly endpoint: Endpoint;
  /**
   * Starts it on the tablet.
   *
   * @param end Receives the result, at once or later.
   * @returns The tablet's answer; a code other than 0 fails the step at once.
   */
  readonly start: (tablet: Tablet, end: (isDone: boolean) => void) => Outcome;
}

/** One step of an op. */
export type OpTask = LocalTask | TabletTask;

/** An op in a queue, or ended. */
export interface QueuedOp {
  readonly info: OPInfo;
  data: OpData;
  /** Remaining steps, the current one first. */
  readonly tasks: OpTask[];
  /**
   * State of the current step. A step that is due was not sent to its tablet yet, which is not polled for it (OpenMLDB
   * 0.9 nameserver: WrapTaskFun, task_rpc_version_).
   */
  step: "inited" | "due" | "doing" | "failed";
}

/** A new op that is not written yet. */
export function newOp(
  parts: {
    readonly id: bigint;
    readonly type: OPType;
    readonly name: string;
    readonly db: string;
    readonly pid: number;
    readonly parentId: bigint;
  },
  data: OpData,
): QueuedOp {
  const info = create(OPInfoSchema, {
    opId: parts.id,
    opType: parts.type,
    taskIndex: 0,
    data: Buffer.from(JSON.stringify(data)),
    taskStatus: TaskStatus.kInited,
    name: parts.name,
    db: parts.db,
    pid: parts.pid,
    parentId: parts.parentId,
  });
  return { info, data, tasks: [], step: "inited" };
}

/** The op's znode. */
export function opBytes(op: QueuedOp): Buffer {
  op.info.data = Buffer.from(JSON.stringify(op.data));
  return Buffer.from(toBinary(OPInfoSchema, op.info));
}

/** An op from its znode, of this model or of a real cluster. */
export function readOp(bytes: Uint8Array, endpoints: readonly Endpoint[]): QueuedOp {
  const info = fromBinary(OPInfoSchema, bytes);
  return {
    info,
    data: readData(Buffer.from(info.data).toString("latin1"), endpoints),
    tasks: [],
    step: "inited",
  };
}

/**
 * The data of an op. OpenMLDB's data is another protobuf; the endpoint in it can be found, the rest
 * follows from the tables.
 */
function readData(text: string, endpoints: readonly Endpoint[]): OpData {
  try {
    return JSON.parse(text) as OpData;
  } catch {
    return { endpoint: endpoints.find((endpoint) => text.includes(endpoint)) ?? "" };
  }
}

/** Name of an op for the event log. */
export function opName(op: QueuedOp): string {
  const { opId, opType, db, name, pid } = op.info;
  return `op ${opId} ${OPType[opType]} ${db}.${name}/${pid}`;
}
