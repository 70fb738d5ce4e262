import type { PartitionView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { StepKind } from "../model/step.js";
import { whyNotMark } from "../operations/table-alive.js";
import { whyNotRemove } from "../policy/absent-replicas.js";
import { whyNotLead } from "../policy/check-leader-change.js";
import { changeLeader } from "./change-leader.js";
import {
  back,
  changed,
  flagged,
  inNewTerm,
  inRole,
  inSync,
  recorded,
  running,
  unlisted,
  withFollower,
  without,
} from "./effects.js";
import {
  holds,
  holdsAtLeast,
  isAsPlanned,
  isFlaggedFollower,
  isFlaggedLeader,
  isLoadedAtAll,
  isUnused,
  marksAreAsPlanned,
  mayBeDeleted,
  mayBeMovedInRecord,
  mayBeRecovered,
  mayGoOffline,
  mayLeadNewTerm,
  noneIsBack,
  noOtherLeads,
  runs,
  statement,
} from "./expectations.js";
import { markAlive, markDead, markTable, recoverSnapshot, setFlags } from "./flags.js";
import { loadFollower, loadLeader, loadTable, waitForLoad } from "./load.js";
import { cancelOp, deleteOp, waitForOps } from "./ops.js";
import { moveInRecord, removeFromRecord } from "./record.js";
import { offlineEndpoint, offlineReplica, recoverEndpoint } from "./recover-endpoint.js";
import { recoverTable } from "./recover-table.js";
import { rejoin } from "./rejoin.js";
import { addReplica, delReplica, migrate } from "./replicas.js";
import { replicate, waitForSync } from "./replicate.js";
import { changeRole, demote, promote } from "./role.js";
import { ACTS, CALLS, JOINS, LOADS, type StepRow, WAITS } from "./step-row.js";

const same = (view: PartitionView) => view;
const follows = (view: PartitionView, { endpoint }: { endpoint: string }) =>
  inRole(view, endpoint, "follower");
const leadsNow = (view: PartitionView, { endpoint }: { endpoint: string }) =>
  inRole(view, endpoint, "leader");

const lastSeen = (lane: Lane, endpoint: string) => {
  // No snapshot and no offset at the nameserver are both 0.
  const offset = lane.lastSeen.get(endpoint) ?? 0n;
  return offset === 0n ? "no offset known" : `last seen at offset ${offset}`;
};

/** All kinds of steps. A new kind is a row here and the function that `run` names. */
export const STEPS: { readonly [K in StepKind]: StepRow<K> } = {
  "wait-ops": {
    ...WAITS,
    limit: "partitions",
    failureEnds: "lane",
    words: () => "wait until its ops have ended",
    expects: () => [statement("ops of the partition have not ended")],
    effect: (view) => ({ ...view, activeOps: [] }),
    run: waitForOps,
  },
  "wait-load": {
    ...WAITS,
    limit: "loads",
    isParallel: true,
    words: (step) => `wait until ${step.endpoint} is loaded`,
    expects: () => [statement("its tablet is loading it")],
    effect: (view, step) => running(view, step.endpoint),
    run: waitForLoad,
  },
  "wait-sync": {
    ...WAITS,
    turn: "follower",
    words: (step) => `wait until ${step.endpoint} has caught up`,
    expects: (_step, lane) => [statement(`${lane.leader} replicates to it, behind it`)],
    effect: (view, step, lane) => inSync(view, lane.leader, step.endpoint),
    run: (context, { step }) => waitForSync(context, step),
  },
  "load-follower": {
    ...LOADS,
    isParallel: true,
    failureEnds: "replica",
    words: (step) => `load ${step.endpoint} as follower, without replication`,
    expects: (step, lane) => [
      isAsPlanned(lane, [step.endpoint]),
      statement(`not loaded, ${lastSeen(lane, step.endpoint)}`),
    ],
    effect: (view, step) => running(view, step.endpoint, { role: "follower" }),
    run: loadFollower,
  },
  "load-leader": {
    ...LOADS,
    words: (step) => `load ${step.endpoint} as leader`,
    expects: (step, lane) => [
      isAsPlanned(lane, [step.endpoint]),
      {
        ...statement(
          `not loaded, ${lastSeen(lane, step.endpoint)}, expected at ${lane.leastOffset} or more`,
        ),
        needs: { report: true },
      },
      noOtherLeads("flagged"),
    ],
    effect: leadsNow,
    run: loadLeader,
  },
  "load-table": {
    ...LOADS,
    words: (step) => `load ${step.endpoint} as ${step.role}`,
    expects: (step) =>
      step.role === "follower"
        ? [statement(`holds entries up to ${step.least} at least`)]
        : [
            holds("no other replica leads or holds more", (view) =>
              whyNotLead(view, step.endpoint),
            ),
          ],
    effect: (view, step) => inRole(view, step.endpoint, step.role),
    run: loadTable,
  },
  demote: {
    ...CALLS,
    failureEnds: "lane",
    words: (step) => `make ${step.endpoint} a follower`,
    expects: (step, lane) => [
      isAsPlanned(lane, [step.endpoint]),
      { ...statement("loaded, must not run as leader"), ...isLoadedAtAll },
      ...(step.isDecided ? [] : [isUnused(step.endpoint, lane.leader)]),
    ],
    effect: follows,
    run: demote,
  },
  promote: {
    ...CALLS,
    words: (step) =>
      `make ${step.endpoint} the leader, replicating to ${step.followers.join(", ") || "none"}`,
    expects: (step, lane) => [
      isAsPlanned(lane, [step.endpoint]),
      runs(`loaded as follower at offset ${lane.leastOffset} or more`),
      noOtherLeads("any"),
      noneIsBack(lane),
      holdsAtLeast(lane.leastOffset),
    ],
    effect: (view, step) => inRole(view, step.endpoint, "leader", step.followers),
    run: promote,
  },
  "change-role": {
    ...CALLS,
    words: (step) => `make ${step.endpoint} the leader`,
    expects: (step, lane) => [
      isAsPlanned(lane, [step.endpoint]),
      runs("loaded as follower"),
      noOtherLeads("flagged"),
      holdsAtLeast(lane.leastOffset),
    ],
    effect: leadsNow,
    run: changeRole,
  },
  "set-flags": {
    ...CALLS,
    failureEnds: "lane",
    words: (step) => `record ${step.endpoint} as the only leader; alive: ${step.alive.join(", ")}`,
    expects: (step, lane) => [
      isAsPlanned(lane, [step.endpoint, ...step.alive]),
      statement("the record names another leader, or several"),
      noOtherLeads("flagged", step.endpoint),
      ...(step.alive.includes(step.endpoint)
        ? [runs(undefined, "leader"), marksAreAsPlanned(step.endpoint, step.alive)]
        : []),
    ],
    effect: (view, step) => recorded(view, step.endpoint, step.alive, step.keepsFlag),
    run: setFlags,
  },
  "mark-dead": {
    ...CALLS,
    failureEnds: "lane",
    words: (step) => `mark ${step.endpoint} not alive`,
    expects: () => [statement("flagged alive, or marked already")],
    effect: (view, step) => flagged(view, step.endpoint, { isAlive: false }),
    run: markDead,
  },
  "mark-alive": {
    ...CALLS,
    words: (step) => `mark ${step.endpoint} alive`,
    expects: (step, lane) => {
      const text =
        step.role === "leader" ? "runs as leader, marked not alive" : `in sync with ${lane.leader}`;
      if (step.checks === "nothing") return [statement("marked not alive")];
      if (step.checks === "health") {
        return [holds(text, (view) => whyNotMark(view, step.endpoint, true))];
      }
      return [
        isAsPlanned(lane, [step.endpoint]),
        runs(text, step.role),
        ...(step.role === "follower" ? [isFlaggedFollower(step.endpoint)] : []),
      ];
    },
    effect: (view, step) => flagged(view, step.endpoint, { isAlive: true }),
    run: markAlive,
  },
  "mark-table": {
    ...ACTS,
    failureEnds: "lane",
    words: (step) =>
      `mark all replicas of ${step.table} at ${step.endpoint} ${step.isAlive ? "alive" : "not alive"}`,
    expects: (step) => [
      statement(step.isAlive ? "each serves in the role on record" : "none of them leads"),
    ],
    effect: same,
    run: markTable,
  },
  replicate: {
    ...JOINS,
    words: (step) =>
      `replicate to ${step.endpoint} from the leader and wait until it has everything`,
    expects: (step, lane) => [
      isAsPlanned(lane, [lane.leader ?? "", step.endpoint]),
      isFlaggedLeader(lane.leader ?? ""),
      runs(`loaded as follower, its log not longer than that of ${lane.leader}`, "follower"),
    ],
    effect: (view, step, lane) => inSync(view, lane.leader, step.endpoint),
    run: replicate,
  },
  "recover-snapshot": {
    ...ACTS,
    words: (step) => `resume snapshots of ${step.endpoint} (RecoverSnapshot)`,
    expects: () => [statement("in kSnapshotPaused with no op running")],
    effect: (view, step) => running(view, step.endpoint),
    run: recoverSnapshot,
  },
  "recover-table": {
    ...JOINS,
    words: (step) => `rebuild ${step.endpoint} from the leader (RecoverTable)`,
    expects: (step, lane) => [mayBeRecovered(step, lane)],
    effect: back,
    run: recoverTable,
  },
  rejoin: {
    ...JOINS,
    words: (step) => `recover ${step.endpoint}, from its own log if that is a prefix`,
    expects: (step, lane) => [mayBeRecovered(step, lane)],
    effect: back,
    run: rejoin,
  },
  "change-leader": {
    ...ACTS,
    words: (step) => `make ${step.endpoint} the leader of a new term (ChangeLeader)`,
    expects: (step, lane) => [mayLeadNewTerm(step, lane)],
    effect: (view, step) => inNewTerm(view, step.endpoint),
    run: changeLeader,
  },
  "add-replica": {
    ...ACTS,
    words: (step) => `create a follower at ${step.endpoint} (AddReplicaNS)`,
    expects: (step) => [statement(`no replica at ${step.endpoint}, and none loaded there`)],
    effect: (view, step, lane) => withFollower(view, lane.leader, step.endpoint),
    run: addReplica,
  },
  "del-replica": {
    ...ACTS,
    words: (step) => `delete the follower at ${step.endpoint} (DelReplicaNS)`,
    expects: (step) => [mayBeDeleted(step)],
    effect: (view, step) => without(view, step.endpoint),
    run: delReplica,
  },
  "remove-from-record": {
    ...ACTS,
    words: (step) => `remove ${step.endpoint} from the record (SetTablePartition without it)`,
    expects: (step) => [
      holds("its tablet is not registered, another replica leads", (view) =>
        whyNotRemove(view, step),
      ),
    ],
    effect: (view, step) => without(view, step.endpoint),
    run: removeFromRecord,
  },
  "move-in-record": {
    ...ACTS,
    words: (step) => `record ${step.to} in place of ${step.endpoint}`,
    expects: (step) => [mayBeMovedInRecord(step)],
    effect: (view, step) => changed(view, step.endpoint, (one) => ({ ...one, endpoint: step.to })),
    run: moveInRecord,
  },
  migrate: {
    ...ACTS,
    words: (step) => `move the follower from ${step.endpoint} to ${step.to} (Migrate)`,
    expects: (step) => [mayBeDeleted(step)],
    effect: (view, step, lane) => without(withFollower(view, lane.leader, step.to), step.endpoint),
    run: migrate,
  },
  "offline-replica": {
    ...ACTS,
    words: (step) => `take ${step.endpoint} out of service`,
    expects: (step) => [mayGoOffline(step)],
    effect: (view, step, lane) =>
      changed(flagged(view, step.endpoint, { isAlive: false }), lane.leader ?? "", (one) =>
        unlisted(one, step.endpoint),
      ),
    run: offlineReplica,
  },
  "offline-endpoint": {
    ...ACTS,
    words: (step) => `take tablet ${step.endpoint} out of service (OfflineEndpoint)`,
    expects: () => [statement("no partition loses entries")],
    effect: same,
    run: offlineEndpoint,
  },
  "recover-endpoint": {
    ...ACTS,
    words: (step) => `recover the replicas at ${step.endpoint} (RecoverEndpoint)`,
    expects: () => [statement("their leaders hold every known entry of them")],
    effect: same,
    run: recoverEndpoint,
  },
  "cancel-op": {
    ...ACTS,
    words: (step) => `cancel op ${step.op} (CancelOP)`,
    expects: () => [statement("it is queued or running")],
    effect: same,
    run: cancelOp,
  },
  "delete-op": {
    ...ACTS,
    words: (step) =>
      "op" in step.ops
        ? `delete op ${step.ops.op} (DeleteOP)`
        : `delete the ops that ended ${step.ops.status} (DeleteOP)`,
    expects: () => [statement("they have ended")],
    effect: same,
    run: deleteOp,
  },
};
