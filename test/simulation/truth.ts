import { OPType, TaskStatus } from "../../src/gen/openmldb/api_pb.js";
import { StorageMode } from "../../src/gen/openmldb/common_pb.js";
import type { PartitionMeta } from "../../src/gen/openmldb/nameserver_pb.js";
import type { PartitionResult } from "../../src/model/report.js";
import { isServing } from "../../src/sandbox/model/replica.js";
import { lastOffset, type Run, rowCount, subtract } from "../../src/sandbox/model/runs.js";
import {
  acceptsWrites,
  dirAt,
  heldOf,
  isAddressAmbiguous,
  loadedAt,
  type Part,
  seemsForeign,
  surviving,
} from "./partitions.js";
import type { World } from "./world.js";

/** The causes, by the model, for which a partition cannot be recovered without a decision of the operator. */
export function trueCauses(world: World, of: Part): string[] {
  const { model } = world;
  const causes: string[] = [];
  const metas = of.part.partitionMeta;
  const isAway = (endpoint: string) =>
    seemsForeign(model, endpoint) ||
    !model.process(endpoint).isAnswering ||
    model.leader?.isHealthy(endpoint) !== true;
  const away = metas.filter((meta) => isAway(meta.endpoint)).map((meta) => meta.endpoint);
  if (away.length > 0) causes.push(`tablet-away ${away.join()}`);
  if (isBlocked(world, of)) causes.push("op-blocked");
  // Acknowledged rows that are on no disk any more: only the operator can give them up.
  const held = highestOffset(surviving(of.part, heldOf(model, of)));
  if (highestOffset(surviving(of.part, model.ledger.of(of.id))) > held) causes.push("rows-gone");
  const strange = metas.filter((meta) => hasUnknownTerm(model, of, meta.endpoint));
  if (strange.length > 0) {
    causes.push(`unknown-term ${strange.map((meta) => meta.endpoint).join()}`);
  }
  const serving = metas.find((meta) => acceptsWrites(model, of, meta));
  if (serving !== undefined) {
    const own = lastOffset(dirAt(model, of, serving.endpoint)?.runs ?? []);
    const ahead = metas.filter(
      (meta) =>
        lastOffset(dirAt(model, of, meta.endpoint)?.runs ?? []) > own ||
        (loadedAt(model, of, meta.endpoint) === undefined && (meta.offset ?? 0n) > own),
    );
    if (ahead.length > 0) causes.push(`ahead ${ahead.map((meta) => meta.endpoint).join()}`);
    const leaderRuns = dirAt(model, of, serving.endpoint)?.runs ?? [];
    const surplus = metas.filter(
      (meta) =>
        meta !== serving &&
        (hasSurplus(world, of, meta) || holdsOthers(model, of, meta, leaderRuns)),
    );
    if (surplus.length > 0) causes.push(`ahead ${surplus.map((meta) => meta.endpoint).join()}`);
    // If the operator let a replica with a hole in its log lead, a follower that starts from nothing cannot get the missing
    // entries.
    if (BigInt(rowCount(leaderRuns)) < own) {
      const followers = metas.filter((meta) => meta !== serving).map((meta) => meta.endpoint);
      causes.push(`hole ${followers.join()}`);
    }
    const empty = emptyDisks(world, of);
    if (empty.length > 0) causes.push(`disk-empty ${empty.join()}`);
    return causes;
  }

  return [...causes, ...leaderCauses(world, of)];
}

/**
 * True if a replica holds entries of the surviving history that the leader lacks. Offsets need not show it: a leader that lost
 * entries writes other ones under the same numbers.
 */
function holdsOthers(
  model: World["model"],
  of: Part,
  { endpoint }: PartitionMeta,
  leaderRuns: readonly Run[],
): boolean {
  const runs = dirAt(model, of, endpoint)?.runs ?? [];
  return subtract(surviving(of.part, runs), leaderRuns).length > 0;
}

/** The highest number of any entry. It need not be that of the last entry: a leader that lost entries reuses their numbers. */
function highestOffset(runs: readonly Run[]): bigint {
  let highest = 0n;
  for (const { to } of runs) if (to > highest) highest = to;
  return highest;
}

/** Whether an op of the partition waits for a tablet that no call reaches although the nameserver counts it as healthy. */
function isBlocked({ model }: World, { table, part }: Part): boolean {
  const server = model.leader;
  const isHeld = [...model.tablets.keys()].some(
    (endpoint) => server?.isHealthy(endpoint) === true && isAddressAmbiguous(model, endpoint),
  );
  const ops = server?.ops.list() ?? [];
  return (
    isHeld &&
    ops.some(
      ({ info }) =>
        info.db === table.db &&
        info.name === table.name &&
        info.pid === part.pid &&
        (info.taskStatus === TaskStatus.kDoing || info.taskStatus === TaskStatus.kInited),
    )
  );
}

/**
 * Whether a replica shows a term that the record does not have: the term of its snapshot if it is not loaded, or its own if it
 * runs as leader and is not flagged leader and alive.
 */
export function hasUnknownTerm(model: World["model"], of: Part, endpoint: string): boolean {
  const newest = of.part.termOffset.at(-1)?.term ?? 0n;
  const snapshot = dirAt(model, of, endpoint)?.snapshot;
  const loaded = loadedAt(model, of, endpoint);
  if (loaded === undefined) return (snapshot?.term ?? 0n) > newest;
  const meta = of.part.partitionMeta.find((one) => one.endpoint === endpoint);
  const isOnRecord = meta?.isLeader === true && meta.isAlive;
  return loaded.role === "leader" && !isOnRecord && loaded.term > newest;
}

/** Whether an ex-leader has, or had when it was last seen, entries from the beginning of the newest leadership on. */
function hasSurplus({ model }: World, of: Part, meta: PartitionMeta): boolean {
  const begun = of.part.termOffset.length > 1 ? of.part.termOffset.at(-1)?.offset : undefined;
  if (!meta.isLeader || begun === undefined) return false;
  const isLoaded = loadedAt(model, of, meta.endpoint) !== undefined;
  const held = lastOffset(dirAt(model, of, meta.endpoint)?.runs ?? []);
  return held >= begun || (!isLoaded && (meta.offset ?? 0n) >= begun);
}

/** The reasons why no replica can be made leader without a decision of the operator. */
function leaderCauses({ model }: World, of: Part): string[] {
  const causes: string[] = [];
  const metas = of.part.partitionMeta;
  const flagged = metas.filter((meta) => meta.isLeader);
  if (flagged.length === 0) causes.push("no-leader-flagged");
  const alive = flagged.filter((meta) => meta.isAlive);
  const entitled = alive.length > 0 ? alive : flagged;
  const offsets = metas.map((meta) => ({
    meta,
    offset: lastOffset(surviving(of.part, dirAt(model, of, meta.endpoint)?.runs ?? [])),
  }));
  const begun = (of.part.termOffset.at(-1)?.offset ?? 1n) - 1n;
  if (offsets.every(({ offset }) => offset < begun)) causes.push("history-says-more");
  // Several replicas led, all are marked not alive, and no call shows which entries are of the newest term.
  const change = of.part.termOffset[1]?.offset;
  const reaching = offsets.filter(({ offset }) => change !== undefined && offset >= change);
  const isKnown = reaching.some(
    ({ meta, offset }) => meta.isAlive && reaching.every((other) => other.offset <= offset),
  );
  if (alive.length === 0 && flagged.length > 1 && reaching.length > 1 && !isKnown) {
    causes.push("leaderships-parted");
  }
  // The newest leadership wrote nothing, so the entries of an ex-leader beyond its beginning could still be kept.
  const isUnwritten = entitled.every((meta) => lastOffset(runsAt(model, of, meta)) <= begun);
  const isExLeader = (meta: PartitionMeta) => meta.isLeader && !entitled.includes(meta);
  const reaches = (meta: PartitionMeta) => lastOffset(runsAt(model, of, meta)) > begun;
  if (isUnwritten && metas.some((meta) => isExLeader(meta) && reaches(meta))) {
    causes.push("newest-leadership-unwritten");
  }
  const most = entitled.map((meta) => lastOffset(runsAt(model, of, meta)));
  const goesFurther = (meta: PartitionMeta) =>
    most.every((offset) => lastOffset(runsAt(model, of, meta)) > offset);
  if (
    mayFollowUnflagged(model, of) &&
    metas.some((meta) => isExLeader(meta) && goesFurther(meta))
  ) {
    causes.push("may-have-followed");
  }
  for (const { meta, offset } of offsets) {
    if (!entitled.includes(meta)) continue;
    if (dirAt(model, of, meta.endpoint)?.meta.schema === undefined)
      causes.push("leader-disk-empty");
    const ahead = offsets.filter((one) => one.meta !== meta && one.offset > offset);
    if (ahead.length > 0) causes.push("leader-behind");
    if (metas.some((one) => (one.offset ?? 0n) > offset)) causes.push("offset-seen-is-gone");
  }
  return causes;
}

/** Whether an op failed that may have made the leader replicate to an ex-leader again. */
function mayFollowUnflagged(model: World["model"], { table, part }: Part): boolean {
  return (model.leader?.ops.list() ?? []).some(
    ({ info }) =>
      info.db === table.db &&
      info.name === table.name &&
      info.pid === part.pid &&
      OPType[info.opType]?.startsWith("kReAddReplica") === true &&
      info.taskStatus === TaskStatus.kFailed,
  );
}

function runsAt(model: World["model"], of: Part, meta: PartitionMeta) {
  return dirAt(model, of, meta.endpoint)?.runs ?? [];
}

/**
 * Followers that refuse their leader permanently: an election fenced them with a newer term than that of the leader. Their logs
 * fit, so RecoverTable does not reload them (OpenMLDB 0.9: kReAddReplicaSimplifyOP), and the documented method has no other call
 * that does. The direct method reloads them.
 */
export function fencedFollowers({ model }: World, of: Part): string[] {
  const leader = of.part.partitionMeta.find((meta) => acceptsWrites(model, of, meta));
  const led = leader && loadedAt(model, of, leader.endpoint)?.term;
  const endpoints = of.part.partitionMeta.map((meta) => meta.endpoint);
  return led === undefined
    ? []
    : endpoints.filter((endpoint) => (loadedAt(model, of, endpoint)?.term ?? 0n) > led);
}

/** Followers of a disk table on wiped disks: no call distinguishes them from followers that cannot be read. */
function emptyDisks({ model }: World, of: Part): string[] {
  if (of.table.storageMode === StorageMode.kMemory) return [];
  return of.part.partitionMeta
    .map((meta) => meta.endpoint)
    .filter((endpoint) => loadedAt(model, of, endpoint) === undefined)
    .filter((endpoint) => dirAt(model, of, endpoint)?.meta.schema === undefined);
}

/** Whether a reported problem exists in the model; undefined if the model cannot check it. */
export function isTrueProblem(
  world: World,
  of: Part,
  problem: PartitionResult["problems"][number],
): boolean | undefined {
  const { model } = world;
  const { endpoint } = problem;
  const metas = of.part.partitionMeta;
  const meta = metas.find((one) => one.endpoint === endpoint);
  const replica = endpoint === undefined ? undefined : loadedAt(model, of, endpoint);
  const leader = metas.find((one) => acceptsWrites(model, of, one));
  switch (problem.code) {
    case "no-leader-flagged":
      return !metas.some((one) => one.isLeader);
    case "tablet-offline":
      return endpoint !== undefined && model.leader?.isHealthy(endpoint) !== true;
    case "tablet-silent":
      return (
        endpoint !== undefined &&
        (!model.process(endpoint).isAnswering || isAddressAmbiguous(model, endpoint))
      );
    case "not-loaded":
      return replica === undefined;
    case "loading":
      return replica !== undefined && !isServing(replica);
    case "marked-dead":
      return meta?.isAlive === false;
    case "extra-leader":
      return meta?.isLeader === true && leader !== undefined && leader !== meta;
    case "wrong-role":
      return replica !== undefined && (replica.role === "leader") !== meta?.isLeader;
    case "not-linked":
      return (
        leader !== undefined &&
        endpoint !== undefined &&
        loadedAt(model, of, leader.endpoint)?.links.has(endpoint) === false
      );
    case "rows-missing":
    case "leader-unavailable":
      return trueCauses(world, of).length > 0;
    default:
      return undefined;
  }
}
