import type { Endpoint } from "../model/cluster-state.js";
import { givenUpCount, isWithin, type Loss } from "../model/loss.js";
import { type PartitionView, type ReplicaView, replicaAt } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Problem } from "../model/problem.js";
import type { Step } from "../model/step.js";
import { isLost, lostBeyond } from "../policy/absent-replicas.js";
import { evidenceOf, withChanged } from "../policy/evidence.js";
import { isUnproven, oldRecordProblem, withoutProofs } from "../policy/old-record.js";
import { partedAt, partedFrom } from "../policy/parted-logs.js";
import { givenUpText } from "../policy/what-is-given-up.js";
import { isServing, trueOffset } from "../policy/what-it-holds.js";
import { hasDiverged, isDiscard } from "../policy/what-may-be-overwritten.js";
import type { decideLeader } from "../policy/who-may-lead.js";
import type { AttemptHistory } from "./attempt-history.js";
import {
  afterDemotions,
  aliveMark,
  at,
  blockedLane,
  demotion,
  laneOf,
  promotion,
  rebuild,
} from "./build-lane.js";

/** What is known in addition to the view when a round is planned. */
export interface Known {
  readonly attempts: AttemptHistory;
  /**
   * The leader that the operator chose for a decision that gives something up (`--accept_data_loss` with
   * `--leader`).
   */
  readonly accepted?: Endpoint | undefined;
  /**
   * The accepted loss of the partition with lost tablets (see `Lost.losses`): the replica with the longest log then
   * leads.
   */
  readonly lossOfLost?: Loss | undefined;
  /** The rule by which the leader is chosen; `decideLeader` if undefined. */
  readonly decide?: typeof decideLeader | undefined;
  /** The step that recovers the only replica whose problems are planned for; see `planRejoin`. */
  readonly rejoin?: Step<"rejoin"> | undefined;
}

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
    return blockedLane(view, { ...blocked, text });
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
    return blockedLane(view, { ...blocked, text, candidate: diverged.endpoint });
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
    `${leader.endpoint} leads from offset ${trueOffset(leader)} under --accept_data_loss; ${givenUpText(view, leader)}`,
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
    steps: afterDemotions(view, leader, rebuilt),
    notes: [
      `${leader.endpoint} keeps leading at offset ${trueOffset(leader)} under --accept_data_loss; ${givenUpText(view, leader)}`,
    ],
    givesUp: true,
  });
}

/** True if a decision is caused by lost tablets alone and its loss is within what was accepted. */
export function isCovered({ isOfLost, loss }: Problem, accepted: Loss | undefined): boolean {
  if (isOfLost !== true || loss === undefined || accepted === undefined) return false;
  return isWithin(loss, accepted);
}

/** Adds the removal of replicas on lost tablets from the record, after all other steps. */
export function planRemoval(
  view: PartitionView,
  leader: ReplicaView,
  steps: readonly Step[],
  { accepted, lossOfLost }: Known,
): Lane {
  const lost = view.replicas.filter(isLost);
  const beyond = lostBeyond(view, leader);
  const loss = { atLeast: beyond, atMost: beyond };
  const mayLose =
    accepted === leader.endpoint || (lossOfLost !== undefined && isWithin(loss, lossOfLost));
  if (lost.length === 0) return laneOf(view, { leader, steps });
  if (beyond > 0n && !mayLose) {
    const blocked: Problem = {
      code: "rows-missing",
      endpoint: lost[0]?.endpoint,
      text: `${leader.endpoint} leads at offset ${trueOffset(leader)}, and ${beyond} entries beyond it were on tablets that are lost`,
      candidate: leader.endpoint,
      loss,
      isOfLost: true,
    };
    return steps.length > 0 ? laneOf(view, { leader, steps }) : blockedLane(view, blocked);
  }
  const removals = lost.map(
    (one): Step => ({
      kind: "remove-from-record",
      ...at(view, one, "tablet-offline"),
      acceptsLoss: beyond > 0n,
    }),
  );
  const names = lost.map((one) => one.endpoint).join(", ");
  const cost = beyond > 0n ? `${givenUpCount(loss)} given up` : "no known row is given up";
  return laneOf(view, {
    leader,
    steps: [...steps, ...removals],
    notes: [`${names} is lost and removed from the record; ${cost}`],
    givesUp: beyond > 0n,
  });
}
