import { create } from "@bufbuild/protobuf";
import { TermPairSchema } from "../../gen/openmldb/nameserver_pb.js";
import type { Endpoint } from "../../model/cluster-state.js";
import { aliveLeader, partitionOf } from "../table-store.js";
import { changeRole, followNoOne } from "../tablet/tablet-tasks.js";
import type { OpScope } from "./nameserver-state.js";
import type { StepEnd } from "./ops.js";

/**
 * kSelectLeader: gives every follower a new term, so that it refuses the old leader, reads its offset,
 * and selects the candidate, or else a random one of those with the highest offset.
 *
 * @see OpenMLDB 0.9 nameserver: SelectLeader
 */
export function selectLeader(scope: OpScope): StepEnd {
  const { server, op } = scope;
  const { followers = [], candidate } = op.data;
  if (candidate !== undefined && !followers.includes(candidate)) return "failed";
  const part = partitionOf(scope.table, scope.pid);
  if (server.autoFailover && aliveLeader(part) !== undefined) return "failed";
  const term = server.nextTerms();
  const offsets = fence(scope, followers, term);
  if (offsets === undefined) return "failed";
  const highest = [...offsets].sort((a, b) => (a < b ? 1 : -1))[0];
  const best = followers.filter((_, index) => offsets[index] === highest);
  const leader = candidate ?? best[server.context.random.below(best.length)];
  if (leader === undefined) return "failed";
  op.data = {
    ...op.data,
    chosen: { leader, offset: String(highest), term: String(term + 1n) },
  };
  return "done";
}

/** @returns The followers' offsets, in their order; undefined if one of them refuses or is silent. */
function fence(
  scope: OpScope,
  followers: readonly Endpoint[],
  term: bigint,
): readonly bigint[] | undefined {
  const offsets: bigint[] = [];
  for (const endpoint of followers) {
    const tablet = scope.server.context.reachable(endpoint);
    const offset = tablet && followNoOne(tablet, scope, term);
    if (offset === undefined) return undefined;
    offsets.push(offset);
  }
  return offsets;
}

/** kChangeLeader: makes the chosen replica leader, which replicates to the other followers. */
export function changeLeader(scope: OpScope): StepEnd {
  const { server, op } = scope;
  const { chosen, followers = [] } = op.data;
  if (chosen === undefined || server.tablets.get(chosen.leader)?.isHealthy !== true)
    return "failed";
  const tablet = server.context.reachable(chosen.leader);
  if (tablet === undefined) return "failed";
  const answer = changeRole(tablet, scope, {
    role: "leader",
    term: BigInt(chosen.term),
    followers: followers.filter((endpoint) => endpoint !== chosen.leader),
  });
  return answer.code === 0 ? "done" : "failed";
}

/**
 * kUpdateLeaderInfo: the old leader becomes not alive (it stays flagged leader), the new one is
 * flagged leader, and the term history grows.
 */
export function updateLeaderInfo(scope: OpScope): StepEnd {
  const { chosen } = scope.op.data;
  const part = partitionOf(scope.table, scope.pid);
  if (chosen === undefined || part === undefined) return "failed";
  const old = aliveLeader(part);
  const next = part.partitionMeta.find(
    (meta) => meta.endpoint === chosen.leader && !(meta.isLeader && meta.isAlive),
  );
  if (old !== undefined) old.isAlive = false;
  if (next === undefined) return "failed";
  next.isLeader = true;
  part.termOffset.push(
    create(TermPairSchema, { term: BigInt(chosen.term), offset: BigInt(chosen.offset) + 1n }),
  );
  scope.server.tables.save(scope.table);
  return "done";
}
