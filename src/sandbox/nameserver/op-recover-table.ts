import { OPType } from "../../gen/openmldb/api_pb.js";
import type { TablePartition, TermPair } from "../../gen/openmldb/nameserver_pb.js";
import type { Endpoint } from "../../model/cluster-state.js";
import { aliveLeader, partitionOf } from "../table-store.js";
import type { Tablet } from "../tablet/tablet.js";
import {
  changeRole,
  deleteBinlog,
  manifest,
  type TermPairAnswer,
  termPair,
} from "../tablet/tablet-tasks.js";
import type { OpScope } from "./nameserver-state.js";
import type { StepEnd } from "./ops.js";

/** Stands for the ex-leader that is not alive, in the op that restores leadership. */
export const OFFLINE_LEADER = "OFFLINE_LEADER_ENDPOINT";

/**
 * kRecoverTable: inspects the replica and queues the op that recovers it.
 *
 * A replica that is not loaded loses its binlog here, whatever follows.
 *
 * @see OpenMLDB 0.9 nameserver: RecoverEndpointTable
 */
export function recoverTable(scope: OpScope): StepEnd {
  const part = partitionOf(scope.table, scope.pid);
  if (part === undefined) return "failed";
  const endpoint = targetOf(part, scope.op.data.endpoint);
  const meta = part.partitionMeta.find((other) => other.endpoint === endpoint);
  if (meta?.isAlive) return "done";
  const leader = aliveLeader(part)?.endpoint;
  if (leader !== undefined && tabletOf(scope, leader) === undefined) return "failed";
  const tablet = meta && tabletOf(scope, endpoint);
  if (tablet === undefined) return "failed";
  if (part.partitionMeta.length === 1) return recoverSingle(scope, tablet);
  const leaderTablet = leader === undefined ? undefined : tabletOf(scope, leader);
  return leaderTablet === undefined ? "failed" : recoverFollower(scope, tablet, leaderTablet);
}

function targetOf(part: TablePartition, endpoint: Endpoint): Endpoint {
  if (endpoint !== OFFLINE_LEADER) return endpoint;
  return part.partitionMeta.find((meta) => meta.isLeader && !meta.isAlive)?.endpoint ?? endpoint;
}

/** A tablet that is healthy for the nameserver and answers. */
function tabletOf({ server }: OpScope, endpoint: Endpoint): Tablet | undefined {
  if (server.tablets.get(endpoint)?.isHealthy !== true) return undefined;
  return server.context.reachable(endpoint);
}

function recoverSingle(scope: OpScope, tablet: Tablet): StepEnd {
  const found = termPair(tablet, scope.tid, scope.pid, scope.table.storageMode);
  if (found.code !== 0) return "failed";
  const type = found.hasTable ? OPType.kUpdatePartitionStatusOP : OPType.kReLoadTableOP;
  queueChild(scope, type, tablet.endpoint);
  return "done";
}

function recoverFollower(scope: OpScope, tablet: Tablet, leader: Tablet): StepEnd {
  const mode = scope.table.storageMode;
  const found = termPair(tablet, scope.tid, scope.pid, mode);
  if (found.code !== 0) return "failed";
  if (found.hasTable && found.isLeader) {
    const answer = changeRole(tablet, scope, { role: "follower", term: 0n, followers: [] });
    if (answer.code !== 0) return "failed";
  }
  if (!found.hasTable) {
    if (deleteBinlog(tablet, scope, mode).code !== 0) return "failed";
    scope.server.log(
      `${tablet.endpoint} binlog of ${scope.tid}/${scope.pid} moved to the recycle bin`,
    );
  }
  const snapshot = manifest(leader, scope.tid, scope.pid, mode);
  if ("code" in snapshot) return "failed";
  const terms = partitionOf(scope.table, scope.pid)?.termOffset ?? [];
  const fits = matches(found, terms) && (found.offset ?? 0n) >= snapshot.offset;
  queueChild(scope, childType(found.hasTable, fits), tablet.endpoint);
  return "done";
}

function childType(isLoaded: boolean, fits: boolean): OPType {
  if (isLoaded) return fits ? OPType.kReAddReplicaSimplifyOP : OPType.kReAddReplicaWithDropOP;
  return fits ? OPType.kReAddReplicaNoSendOP : OPType.kReAddReplicaOP;
}

/**
 * Queues a child op. A child that cannot be created is not reported: this step succeeds in any case.
 */
function queueChild(scope: OpScope, type: OPType, endpoint: Endpoint): void {
  const { server, op } = scope;
  const { name, db, pid } = op.info;
  const { concurrency = server.context.options.taskConcurrency, isExact = false } = op.data;
  server.ops.create(
    type,
    { name, db, pid },
    { endpoint, isLeader: true, isAlive: true, concurrency, isExact },
    { concurrency, parentId: op.info.opId },
  );
}

/**
 * True if a replica's log is part of the partition's history.
 *
 * @see OpenMLDB 0.9 nameserver: MatchTermOffset
 */
function matches(found: TermPairAnswer, history: readonly TermPair[]): boolean {
  const { hasTable, term = 0n, offset = 0n } = found;
  if (!hasTable && offset === 0n) return false;
  const terms = [...history].sort((a, b) => (a.term < b.term ? -1 : 1));
  const index = terms.findIndex((pair) => pair.term === term);
  const own = terms[index];
  if (own === undefined) return false;
  if (own.offset > offset) return terms.at(-1)?.offset === offset + 1n;
  const next = terms[index + 1];
  return next === undefined || next.offset > offset;
}
