import type {
  Endpoint,
  PartitionClaim,
  ReplicaClaim,
  ReplicaReport,
  Role,
} from "../model/cluster-state.js";
import type { ReplicaEvidence } from "../model/evidence.js";
import { type PartitionView, replicaAt } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import type { Step } from "../model/step.js";
import { checkLeaderChange } from "../policy/check-leader-change.js";
import { isServing, newestTerm, servingLeader } from "../policy/what-it-holds.js";
import { discardedBy, discardedText, whyNotOverwrite } from "../policy/what-may-be-overwritten.js";

/** Returns one replica from the record of a partition. */
export function replicaIn(
  claim: PartitionClaim | undefined,
  endpoint: Endpoint,
): ReplicaClaim | undefined {
  return claim?.replicas.find((one) => one.endpoint === endpoint);
}

/** True if clients write to a replica by the record: flagged leader and alive. */
function isLeaderIn(claim: PartitionClaim | undefined, endpoint: Endpoint): boolean {
  const replica = replicaIn(claim, endpoint);
  return replica?.isLeader === true && replica.isAlive;
}

/** True if a replica is loaded and serves, in the given role if any. */
export function serves(report: ReplicaReport | undefined, role?: ReplicaReport["role"]): boolean {
  return isServing({ report }) && (role === undefined || report?.role === role);
}

/**
 * Returns why the plan of a lane no longer fits the nameserver's record: a leadership began since, or
 * the table or a replica of the step is gone. Undefined if it fits.
 */
function outdated(
  lane: Pick<Lane, "newestTerm">,
  claim: PartitionClaim | undefined,
  endpoints: readonly Endpoint[],
): string | undefined {
  if (claim === undefined) return "the table is gone";
  const gone = endpoints.find((one) => replicaIn(claim, one) === undefined);
  if (gone !== undefined) return `the partition has no replica at ${gone} any more`;
  const newest = newestTerm(claim);
  if (newest === lane.newestTerm.term) return undefined;
  return `term ${newest} began since it was planned for term ${lane.newestTerm.term}`;
}

/**
 * The state that a step finds in the nameserver's record and at the tablet of its replica right before
 * it acts.
 */
export interface Found {
  /** Undefined if the table or the partition is gone. */
  readonly claim: PartitionClaim | undefined;
  /** Undefined if its tablet has not loaded the replica, or if no expectation needs it. */
  readonly report: ReplicaReport | undefined;
  /** Another replica that leads; undefined if none does, or if no expectation needs it. */
  readonly other: Endpoint | undefined;
  /** A tablet that is available again; undefined if none is, or if no expectation needs it. */
  readonly returned: Endpoint | undefined;
}

/** A replica on a tablet that was not available when the step was planned. */
export type AwayReplica = Pick<ReplicaEvidence, "endpoint" | "away">;

/** A condition that a step expects right before it acts. Plans print it, and the step checks it. */
export interface Expectation {
  /** In words without a full stop; undefined if it holds for all steps alike and is not printed. */
  readonly text?: string | undefined;
  /**
   * What must be read in addition to the record: the tablet's report, which other leaders count, and which tablets
   * may be available again.
   */
  readonly needs?: {
    readonly report?: true;
    readonly other?: "flagged" | "any";
    readonly away?: readonly AwayReplica[];
  };
  /** Returns why it does not hold; undefined if it does. Absent if the call itself enforces it. */
  readonly check?: (found: Found) => string | undefined;
  /** The same check on a view of the whole partition. */
  readonly checkView?: (view: PartitionView) => string | undefined;
}

/** The record still has these replicas, and no leadership began since the lane was planned. */
export function isAsPlanned(lane: Lane, endpoints: readonly Endpoint[]): Expectation {
  return { check: ({ claim }) => outdated(lane, claim, endpoints) };
}

/** A text without a check, for conditions that the call itself enforces or the step waits for. */
export function statement(text: string): Expectation {
  return { text };
}

/** The replica is loaded and serves, in the given role if any. */
export function runs(text: string | undefined, role?: Role): Expectation {
  return {
    text,
    needs: { report: true },
    check({ report }) {
      if (report === undefined) return "it is not loaded any more";
      if (!serves(report)) return `it does not serve: its tablet says ${report.state}`;
      return serves(report, role)
        ? undefined
        : `its tablet runs it as ${report.role ?? "an unknown role"} now, not as ${role}`;
    },
  };
}

/** The replica holds all known entries of the partition; a leader with less has lost rows. */
export function holdsAtLeast(least: bigint): Expectation {
  return {
    needs: { report: true },
    check: ({ report }) =>
      report !== undefined && report.offset < least
        ? `it is at offset ${report.offset}, no longer ${least}`
        : undefined,
  };
}

/**
 * No other replica leads: `flagged`, one that clients write to; `any`, one that its tablet runs as
 * leader.
 *
 * @param unless Nothing is expected if the record already has this one as leader.
 */
export function noOtherLeads(which: "flagged" | "any", unless?: Endpoint): Expectation {
  return {
    text: "no other replica leads",
    needs: { other: which },
    check: ({ claim, other }) =>
      other === undefined || (unless !== undefined && isLeaderIn(claim, unless))
        ? undefined
        : `${other} ${which === "any" ? "runs as leader" : "leads the partition"} now`,
  };
}

/**
 * Replicas that could not be read when the leader was chosen still cannot be read: a replica on a tablet that is back
 * may hold more than the chosen one, for example after a power failure.
 */
export function noneIsBack({ evidence }: Lane): Expectation {
  const away = [...evidence.replicas.values()].filter((one) => one.away !== undefined);
  return {
    needs: { away },
    check: ({ returned }) =>
      returned === undefined ? undefined : `tablet ${returned} is back and may hold more entries`,
  };
}

/** A follower that clients are to read from is not flagged leader. */
export function isFlaggedFollower(endpoint: Endpoint): Expectation {
  return {
    check: ({ claim }) =>
      replicaIn(claim, endpoint)?.isLeader === true ? "the record flags it leader now" : undefined,
  };
}

/** The replica is loaded, serving or not. */
export const isLoadedAtAll: Pick<Expectation, "needs" | "check"> = {
  needs: { report: true },
  check: ({ report }) => (report === undefined ? "it is not loaded any more" : undefined),
};

/**
 * The replica is not the only leader that clients write to; such a leader is never made a follower.
 */
export function isUnused(endpoint: Endpoint, leader: Endpoint | undefined): Expectation {
  return {
    text: "no client writes to it",
    check: ({ claim, report }) =>
      report?.role !== "follower" && isLeaderIn(claim, endpoint) && !isLeaderIn(claim, leader ?? "")
        ? "it leads the partition now"
        : undefined,
  };
}

/** The record still flags a replica leader, or says nothing of it. */
export function isFlaggedLeader(leader: Endpoint): Expectation {
  return {
    check: ({ claim }) =>
      replicaIn(claim, leader)?.isLeader === false
        ? `${leader} is not flagged leader any more`
        : undefined,
  };
}

/**
 * Followers are marked as in the plan: the record is written as a whole, which would revert other
 * marks.
 */
export function marksAreAsPlanned(leader: Endpoint, alive: readonly Endpoint[]): Expectation {
  return {
    check({ claim }) {
      const marked = claim?.replicas.find(
        (one) =>
          one.endpoint !== leader &&
          alive.includes(one.endpoint) !== (one.isAlive && !one.isLeader),
      );
      return marked && `${marked.endpoint} was marked by another client`;
    },
  };
}

/** A condition on the whole partition; `why` returns why it does not hold. */
export function holds(text: string, why: (view: PartitionView) => string | undefined): Expectation {
  return { text, checkView: why };
}

/** The replica may be recovered, by RecoverTable or from its own log; see {@link whyNotOverwrite}. */
export function mayBeRecovered(
  { endpoint, since, acceptsLoss = false }: Step<"recover-table" | "rejoin">,
  { leader }: Lane,
): Expectation {
  return holds(`${leader} leads and holds every known entry of this replica`, (view) => {
    const replica = replicaAt(view, endpoint);
    const danger = replica && whyNotOverwrite(view, replica, since);
    return danger === undefined || (danger.isLoss && acceptsLoss) ? undefined : danger.text;
  });
}

/** The replica may be deleted, or moved: it does not lead, and holds no entries that its leader lacks. */
export function mayBeDeleted({ endpoint }: { readonly endpoint: Endpoint }): Expectation {
  return holds("a follower that holds nothing its leader lacks", (view) => {
    const leader = servingLeader(view);
    if (leader === undefined) return "no replica leads the partition now";
    const replica = replicaAt(view, endpoint);
    if (replica?.claim.isLeader === true) return `${endpoint} is flagged leader now`;
    const discarded = replica && discardedBy(view, replica, leader);
    return discarded && discardedText(discarded, leader);
  });
}

/** The replica may go out of service: another one leads, or it is the only one. */
export function mayGoOffline({ endpoint }: { readonly endpoint: Endpoint }): Expectation {
  return holds("another replica leads", (view) => {
    if (view.replicas.length === 1) return undefined;
    const leader = servingLeader(view);
    if (leader === undefined) return "no replica leads the partition";
    return leader.endpoint === endpoint ? "it leads the partition" : undefined;
  });
}

/**
 * The replica may become the leader of a new term. An accepted loss was computed for the offset of the plan, so the
 * replica must still be at that offset, in the same term.
 */
export function mayLeadNewTerm(
  { endpoint, acceptsLoss, offset, lastSeen }: Step<"change-leader">,
  { newestTerm: planned }: Lane,
): Expectation {
  const text =
    offset === undefined
      ? "an alive follower that holds all known entries"
      : `loaded as follower at offset ${offset}, no other replica leads`;
  return holds(text, (view) => {
    const change = checkLeaderChange(view, { candidate: endpoint, acceptsLoss, lastSeen });
    if ("refusal" in change) return change.refusal;
    if (offset === undefined) return undefined;
    const newest = newestTerm(view);
    if (newest !== planned.term) {
      return `term ${newest} began since it was planned for term ${planned.term}`;
    }
    return change.offset === offset
      ? undefined
      : `it is at offset ${change.offset}, no longer at ${offset}`;
  });
}

/** The replica may be recorded at another tablet: its own tablet is gone. */
export function mayBeMovedInRecord({ endpoint, to }: Step<"move-in-record">): Expectation {
  const text =
    "its tablet is not registered; at the other one it loads as follower, with the table's schema and all its known entries";
  return holds(text, (view) => {
    const replica = replicaAt(view, endpoint);
    if (replica === undefined) return undefined;
    if (replicaAt(view, to) !== undefined) return `${to} has another replica of it`;
    if (view.activeOps.length > 0) return "ops of the partition are running";
    return replica.tablet === "offline" && replica.absence?.kind !== "restarting"
      ? undefined
      : `tablet ${endpoint} is not gone (${replica.tabletDetail || "it answers"})`;
  });
}

/** Returns why a step must not act on a partition; undefined if all expectations hold. */
export function refusalIn(
  view: PartitionView,
  expects: readonly Expectation[],
): string | undefined {
  for (const { checkView } of expects) {
    const why = checkView?.(view);
    if (why !== undefined) return why;
  }
  return undefined;
}

/** The expectations of a step, in words. */
export function expectationText(expects: readonly Expectation[]): string {
  return expects.flatMap(({ text }) => text ?? []).join(", ") || "nothing";
}
