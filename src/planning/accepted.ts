import type { Endpoint } from "../model/cluster-state.js";
import { type PartitionView, type ReplicaView, replicaAt } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Problem } from "../model/problem.js";
import type { Step } from "../model/step.js";
import { evidenceOf, withChanged } from "../policy/evidence.js";
import { laneOf } from "../policy/lane-of.js";
import { isUnproven, oldRecordProblem, withoutProofs } from "../policy/old-record.js";
import { partedAt, partedFrom } from "../policy/parted-logs.js";
import { isServing, trueOffset } from "../policy/what-it-holds.js";
import { givenUp, hasDiverged, isDiscard } from "../policy/what-may-be-overwritten.js";
import { aliveMark, at, demotion, promotion, rebuild } from "./direct-steps.js";
import { exLeaderDemotions } from "./ex-leaders.js";

/**
 * Gives up entries by the operator's decision: the chosen replica becomes leader of a new term, so that the discarded
 * entries do not count as part of the history later. The record is first changed such
 * that the nameserver's ChangeLeader accepts the choice. Until that op has ended no replica leads, and
 * the next run finds the same situation.
 */
export function planAccepted(view: PartitionView, accepted: Endpoint, blocked: Problem): Lane {
  const leader = replicaAt(view, accepted);
  if (leader === undefined || !isServing(leader)) {
    const text = `${accepted} was chosen as leader and cannot lead: it is not loaded there (${blocked.text})`;
    return laneOf(view, { leader: undefined, steps: [], blocked: { ...blocked, text } });
  }
  const others = view.replicas.filter((one) => one !== leader);
  const demoted = view.replicas.filter((one) => isServing(one) && one.report?.role === "leader");
  const isOld = oldRecordProblem(view) !== undefined;
  // RecoverTable compares term and offset: it would take the diverged log of such a leader for a prefix. If the
  // record is old, every other replica is copied, so its log is never compared.
  const diverged = isOld
    ? undefined
    : demoted.find((one) => one !== leader && hasDiverged(view, leader, one));
  if (diverged !== undefined) {
    const text = `${accepted} was chosen as leader and cannot lead: ${diverged.endpoint} leads, and holds entries that diverged from those of ${accepted}; only ${diverged.endpoint} can continue to lead (${blocked.text})`;
    const kept = { ...blocked, text, candidate: diverged.endpoint };
    return laneOf(view, { leader: undefined, steps: [], blocked: kept });
  }
  const former = others.find((one) => one.claim.isLeader) ?? others[0];
  const steps: Step[] =
    former === undefined
      ? [promotion(view, leader, blocked.code, []), aliveMark(view, leader, "leader", blocked.code)]
      : [
          ...demoted.map((one) => demotion(view, one, blocked.code, true)),
          { kind: "set-flags", ...at(view, former, blocked.code), alive: [leader.endpoint] },
          {
            kind: "change-leader",
            ...at(view, leader, blocked.code),
            from: undefined,
            acceptsLoss: true,
            offset: trueOffset(leader),
          },
        ];
  const notes = [
    `${leader.endpoint} leads from offset ${trueOffset(leader)} under --accept_data_loss; ${givenUp(view, leader)}`,
  ];
  return laneOf(asDecided(withoutProofs(view, accepted), leader), {
    leader,
    steps,
    leastOffset: trueOffset(leader),
    notes,
    givesUp: true,
  });
}

/** The same view, with the limits of replicas that have parted from the chosen leader within its term. */
function asDecided(view: PartitionView, leader: ReplicaView): PartitionView {
  const { parted } = evidenceOf(view).bounds;
  return parted === undefined
    ? view
    : withChanged(view, { parted: partedFrom(view, leader, parted) });
}

/**
 * Keeps the serving leader by the operator's decision; entries that others hold beyond it are
 * discarded.
 */
export function planKeepLeader(
  view: PartitionView,
  leader: ReplicaView,
  problems: readonly Problem[],
): Lane {
  const of = withoutProofs(view, leader.endpoint);
  const ahead = view.replicas
    .filter((one) => one.tablet === "ok" && one !== leader)
    .filter((one) =>
      problems.some(
        ({ endpoint, code }) =>
          endpoint === one.endpoint &&
          (isUnproven(of, one) || isDiscard(code) || code === "not-loaded"),
      ),
    );
  const rebuilt = ahead.map((one) => {
    const how = { isForced: true, acceptsLoss: true };
    // RecoverTable compares offsets only: it would take a log that has parted for a prefix.
    const isCopy = isUnproven(of, one) || partedAt(of, one) !== undefined;
    return rebuild(view, one, "ahead", isCopy ? { ...how, isCopy } : how);
  });
  return laneOf(of, {
    leader,
    steps: [...exLeaderDemotions(view, leader, rebuilt), ...rebuilt],
    notes: [
      `${leader.endpoint} keeps leading at offset ${trueOffset(leader)} under --accept_data_loss; ${givenUp(view, leader)}`,
    ],
    givesUp: true,
  });
}
