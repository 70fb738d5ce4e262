import { create, isFieldSet } from "@bufbuild/protobuf";
import { PartitionMetaSchema } from "../../gen/openmldb/nameserver_pb.js";
import type { Endpoint } from "../../model/cluster-state.js";
import { metaOf, partitionOf } from "../table-store.js";
import type { OpScope } from "./nameserver-state.js";
import type { StepEnd } from "./ops.js";

/**
 * check_binlog_sync_progress_delta: a follower this close to its leader counts as in sync, unless
 * leadership is to be restored to it.
 */
const SYNC_DELTA = 100_000n;

/** Sets the flags of one replica. */
export function updateStatus(
  scope: OpScope,
  endpoint: Endpoint,
  isLeader: boolean,
  isAlive: boolean,
): StepEnd {
  const meta = metaOf(partitionOf(scope.table, scope.pid), endpoint);
  if (meta === undefined) return "failed";
  meta.isLeader = isLeader;
  meta.isAlive = isAlive;
  scope.server.tables.save(scope.table);
  return "done";
}

/**
 * Waits until a follower is close enough to its leader, by the figures of the last refresh. It succeeds
 * at once if any replica of the partition is not loaded (as OpenMLDB 0.9 does).
 */
export function checkSync(scope: OpScope, follower: Endpoint): StepEnd {
  const delta = scope.op.data.isExact ? 0n : SYNC_DELTA;
  const part = partitionOf(scope.table, scope.pid);
  if (part === undefined) return "failed";
  const { partitionMeta } = part;
  const isAlone = partitionMeta.length === 1;
  if (isAlone || partitionMeta.some((meta) => !meta.tabletHasPartition)) return "done";
  let leaderOffset = 0n;
  let followerOffset = 0n;
  for (const meta of partitionMeta) {
    if (!isFieldSet(meta, PartitionMetaSchema.field.offset)) continue;
    if (meta.isLeader && meta.isAlive) leaderOffset = meta.offset;
    else if (meta.endpoint === follower) followerOffset = meta.offset;
  }
  return leaderOffset <= followerOffset + delta ? "done" : "wait";
}

/** Records a new replica, not alive yet. */
export function addTableInfo(scope: OpScope, endpoint: Endpoint): StepEnd {
  const part = partitionOf(scope.table, scope.pid);
  if (part === undefined || metaOf(part, endpoint) !== undefined) return "failed";
  part.partitionMeta.push(
    create(PartitionMetaSchema, { endpoint, isLeader: false, isAlive: false }),
  );
  scope.server.tables.save(scope.table);
  return "done";
}

/** Removes a replica from the record. */
export function delTableInfo(scope: OpScope, endpoint: Endpoint): StepEnd {
  const part = partitionOf(scope.table, scope.pid);
  const meta = metaOf(part, endpoint);
  if (part === undefined || meta === undefined) return "failed";
  part.partitionMeta.splice(part.partitionMeta.indexOf(meta), 1);
  scope.server.tables.save(scope.table);
  return "done";
}

/**
 * Ends a migration: the replica on `source` is removed from the record, the one on `target` is alive.
 */
export function moveTableInfo(scope: OpScope, source: Endpoint, target: Endpoint): StepEnd {
  const part = partitionOf(scope.table, scope.pid);
  const old = metaOf(part, source);
  if (part === undefined || old === undefined) return "failed";
  const moved = metaOf(part, target);
  if (moved !== undefined) part.partitionMeta.splice(part.partitionMeta.indexOf(old), 1);
  const meta = moved ?? old;
  meta.endpoint = target;
  meta.isAlive = true;
  meta.isLeader = false;
  scope.server.tables.save(scope.table);
  return "done";
}
