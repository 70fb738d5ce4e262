import { OPType, TaskType } from "../../gen/openmldb/api_pb.js";
import type { Endpoint } from "../../model/cluster-state.js";
import type { Outcome } from "../model/replica.js";
import { aliveLeader, metaOf, partitionOf } from "../table-store.js";
import type { Tablet } from "../tablet/tablet.js";
import {
  addReplica,
  delReplica,
  dropTable,
  makeSnapshot,
  pauseSnapshot,
  recoverSnapshot,
  sendSnapshot,
} from "../tablet/tablet-tasks.js";
import type { NameserverState, OpScope } from "./nameserver-state.js";
import { changeLeader, selectLeader, updateLeaderInfo } from "./op-change-leader.js";
import { recoverTable } from "./op-recover-table.js";
import {
  addTableInfo,
  checkSync,
  delTableInfo,
  moveTableInfo,
  updateStatus,
} from "./op-table-info.js";
import type { OpTask, QueuedOp, StepEnd } from "./ops.js";

/**
 * Builds the steps of an op.
 *
 * @returns Undefined if the op cannot be created: no such table, no alive leader if one is needed, or
 *   an unhealthy tablet that has to run a step.
 * @see OpenMLDB 0.9 nameserver: the Create...Task functions
 */
export function buildTasks(server: NameserverState, op: QueuedOp): readonly OpTask[] | undefined {
  const { name, db, pid } = op.info;
  const table = server.tables.find(name, db);
  if (table === undefined) return undefined;
  const scope: OpScope = { server, op, table, tid: table.tid, pid };
  const tasks = stepsOf(scope);
  const isRunnable = (task: OpTask) =>
    !("endpoint" in task) || server.tablets.get(task.endpoint)?.isHealthy === true;
  return tasks?.every(isRunnable) ? tasks : undefined;
}

function stepsOf(scope: OpScope): readonly OpTask[] | undefined {
  const { op } = scope;
  const { endpoint } = op.data;
  switch (op.info.opType) {
    case OPType.kChangeLeaderOP:
      return [
        own(TaskType.kSelectLeader, () => selectLeader(scope)),
        own(TaskType.kChangeLeader, () => changeLeader(scope)),
        own(TaskType.kUpdateLeaderInfo, () => updateLeaderInfo(scope)),
      ];
    case OPType.kUpdatePartitionStatusOP:
      return [flags(scope, endpoint, op.data.isLeader !== false, op.data.isAlive !== false)];
    case OPType.kReLoadTableOP:
      return [load(scope, endpoint, true), flags(scope, endpoint, true, true)];
    case OPType.kRecoverTableOP:
      return recoverSteps(scope);
    default:
      return leaderSteps(scope);
  }
}

function recoverSteps(scope: OpScope): readonly OpTask[] | undefined {
  const { endpoint } = scope.op.data;
  const step = own(TaskType.kRecoverTable, () => recoverTable(scope));
  const flagged = metaOf(partitionOf(scope.table, scope.pid), endpoint)?.isLeader;
  if (scope.op.data.isLeader ?? flagged) return [step];
  const leader = leaderEndpoint(scope);
  return leader === undefined || leader === endpoint
    ? undefined
    : [del(scope, leader, endpoint), step];
}

/** Ops that need an alive leader. */
function leaderSteps(scope: OpScope): readonly OpTask[] | undefined {
  const { op } = scope;
  const { endpoint } = op.data;
  const leader = leaderEndpoint(scope);
  if (leader === undefined) return undefined;
  const tail = [inSync(scope, endpoint), flags(scope, endpoint, false, true)];
  const join = [load(scope, endpoint, false), add(scope, leader, endpoint), resume(scope, leader)];
  switch (op.info.opType) {
    case OPType.kMakeSnapshotOP:
      return [tablet(leader, TaskType.kMakeSnapshot, (of) => makeSnapshot(of, scope))];
    case OPType.kReAddReplicaSimplifyOP:
      return [add(scope, leader, endpoint), ...tail];
    case OPType.kReAddReplicaNoSendOP:
      return [pause(scope, leader), ...join, ...tail];
    case OPType.kReAddReplicaOP:
      return [pause(scope, leader), send(scope, leader, endpoint), ...join, ...tail];
    case OPType.kReAddReplicaWithDropOP:
      return [
        pause(scope, leader),
        drop(scope, endpoint),
        send(scope, leader, endpoint),
        ...join,
        ...tail,
      ];
    case OPType.kAddReplicaOP:
      return [
        pause(scope, leader),
        send(scope, leader, endpoint),
        ...join,
        record(scope, endpoint),
        ...tail,
      ];
    case OPType.kOfflineReplicaOP:
      if (leader === endpoint) return undefined;
      return [del(scope, leader, endpoint), flags(scope, endpoint, false, false)];
    case OPType.kDelReplicaOP:
      if (leader === endpoint) return undefined;
      return [
        del(scope, leader, endpoint),
        own(TaskType.kDelTableInfo, () => delTableInfo(scope, endpoint)),
        drop(scope, endpoint),
      ];
    case OPType.kMigrateOP:
      return migrateSteps(scope, leader, op.data.target ?? "");
    default:
      return undefined;
  }
}

function migrateSteps(scope: OpScope, leader: Endpoint, target: Endpoint): readonly OpTask[] {
  const source = scope.op.data.endpoint;
  return [
    pause(scope, leader),
    send(scope, leader, target),
    resume(scope, leader),
    load(scope, target, false),
    add(scope, leader, target),
    record(scope, target),
    inSync(scope, target),
    del(scope, leader, source),
    own(TaskType.kUpdateTableInfo, () => moveTableInfo(scope, source, target)),
    drop(scope, source),
  ];
}

function leaderEndpoint(scope: OpScope): Endpoint | undefined {
  return aliveLeader(partitionOf(scope.table, scope.pid))?.endpoint;
}

/** A step that the nameserver runs itself. */
function own(type: TaskType, run: () => StepEnd): OpTask {
  return { type, run };
}

const flags = (scope: OpScope, endpoint: Endpoint, isLeader: boolean, isAlive: boolean) =>
  own(TaskType.kUpdatePartitionStatus, () => updateStatus(scope, endpoint, isLeader, isAlive));

const inSync = (scope: OpScope, endpoint: Endpoint) =>
  own(TaskType.kCheckBinlogSyncProgress, () => checkSync(scope, endpoint));

const record = (scope: OpScope, endpoint: Endpoint) =>
  own(TaskType.kAddTableInfo, () => addTableInfo(scope, endpoint));

/** A step that a tablet runs at once. */
function tablet(endpoint: Endpoint, type: TaskType, act: (tablet: Tablet) => Outcome): OpTask {
  return {
    type,
    endpoint,
    start: (of, end) => {
      const answer = act(of);
      end(answer.code === 0);
      return answer;
    },
  };
}

const pause = (scope: OpScope, leader: Endpoint) =>
  tablet(leader, TaskType.kPauseSnapshot, (of) => pauseSnapshot(of, scope));

const resume = (scope: OpScope, leader: Endpoint) =>
  tablet(leader, TaskType.kRecoverSnapshot, (of) => recoverSnapshot(of, scope));

const add = (scope: OpScope, leader: Endpoint, endpoint: Endpoint) =>
  tablet(leader, TaskType.kAddReplica, (of) => addReplica(of, scope, endpoint));

const del = (scope: OpScope, leader: Endpoint, endpoint: Endpoint) =>
  tablet(leader, TaskType.kDelReplica, (of) => delReplica(of, scope, endpoint));

const drop = (scope: OpScope, endpoint: Endpoint) =>
  tablet(endpoint, TaskType.kDropTable, (of) => dropTable(of, scope));

function send(scope: OpScope, leader: Endpoint, target: Endpoint): OpTask {
  return {
    type: TaskType.kSendSnapshot,
    endpoint: leader,
    start: (of, end) => {
      const answer = sendSnapshot(of, scope, target);
      end(answer.isDone);
      return answer;
    },
  };
}

/** LoadTable as the nameserver requests it: a mode, but no term and no replication list. */
function load(scope: OpScope, endpoint: Endpoint, isLeader: boolean): OpTask {
  const { table, tid, pid } = scope;
  return {
    type: TaskType.kLoadTable,
    endpoint,
    start: (of, end) =>
      of.loads.load(
        {
          tid,
          pid,
          name: table.name,
          db: undefined,
          segCount: table.segCnt,
          mode: isLeader ? "leader" : "follower",
          term: undefined,
          storageMode: table.storageMode,
          replicas: [],
        },
        end,
      ),
  };
}
