import type {
  Endpoint,
  PartitionClaim,
  ReplicaClaim,
  ReplicaReport,
} from "../model/cluster-state.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Lane } from "../model/plan.js";
import { isServing } from "../policy/what-it-holds.js";

/** One replica in the record of a partition. */
export function replicaIn(
  claim: PartitionClaim | undefined,
  endpoint: Endpoint,
): ReplicaClaim | undefined {
  return claim?.replicas.find((one) => one.endpoint === endpoint);
}

/** Whether clients write to a replica, by the record: flagged leader and alive. */
function isLeaderIn(claim: PartitionClaim | undefined, endpoint: Endpoint): boolean {
  const replica = replicaIn(claim, endpoint);
  return replica?.isLeader === true && replica.isAlive;
}

/** Whether a replica is loaded and serves, and in that role if one is named. */
export function serves(report: ReplicaReport | undefined, role?: ReplicaReport["role"]): boolean {
  return isServing({ report }) && (role === undefined || report?.role === role);
}

/**
 * Why the plan of a lane does not fit the nameserver's record any more: a leadership began since,
 * or the table or one of the replicas that the step is about is gone. Undefined if it fits.
 */
function outdated(
  lane: Pick<Lane, "newestTerm">,
  claim: PartitionClaim | undefined,
  endpoints: readonly Endpoint[],
): string | undefined {
  if (claim === undefined) return "the table is gone";
  const gone = endpoints.find((one) => replicaIn(claim, one) === undefined);
  if (gone !== undefined) return `the partition has no replica at ${gone} any more`;
  const newest = claim.terms.at(-1)?.term ?? 0n;
  if (newest === lane.newestTerm.term) return undefined;
  return `term ${newest} began since it was planned for term ${lane.newestTerm.term}`;
}

/** What a step finds in the nameserver's record and at the tablet of its replica right before it acts. */
export interface Found {
  /** Undefined if the table or the partition is gone. */
  readonly claim: PartitionClaim | undefined;
  /** Undefined if its tablet has not loaded the replica, or no expectation asks. */
  readonly report: ReplicaReport | undefined;
  /** A replica that leads beside the one of the step; undefined if none does, or no expectation asks. */
  readonly other: Endpoint | undefined;
}

/** What a step expects to find right before it acts. Plans print it, and the step checks it. */
export interface Expectation {
  /** In words without a final stop; undefined if it holds for all steps alike and is not printed. */
  readonly text?: string;
  /** What has to be asked for beside the record: the tablet, and which other leaders count. */
  readonly needs?: { readonly report?: true; readonly other?: "flagged" | "any" };
  /** Why it is not so; undefined if it is. Absent: the call itself is refused then. */
  readonly check?: (found: Found) => string | undefined;
  /** The same, judged on all that is known of the partition. */
  readonly checkView?: (view: PartitionView) => string | undefined;
}

/** The record still has these replicas, and no leadership began since the lane was planned. */
export function isAsPlanned(lane: Lane, endpoints: readonly Endpoint[]): Expectation {
  return { check: ({ claim }) => outdated(lane, claim, endpoints) };
}

/** Words alone, for what the call itself refuses or the step waits for. */
export function said(text: string): Expectation {
  return { text };
}

/** The replica is loaded and serves. */
export function isLoaded(text?: string): Expectation {
  return {
    ...(text === undefined ? {} : { text }),
    needs: { report: true },
    check({ report }) {
      if (report === undefined) return "it is not loaded any more";
      return serves(report) ? undefined : `it does not serve: its tablet says ${report.state}`;
    },
  };
}

/** The replica has all that is known of the partition; a leader below that has lost rows. */
export function holdsAtLeast(least: bigint, text?: string): Expectation {
  return {
    ...(text === undefined ? {} : { text }),
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
 * @param unless Nothing is expected if the record has this one as leader already.
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

/** The tablet runs the replica in the role that clients will expect of it. */
export function runsAs(role: "leader" | "follower", text: string): Expectation {
  return {
    text,
    needs: { report: true },
    check: ({ report }) =>
      report?.role === role
        ? undefined
        : `its tablet runs it as ${report?.role ?? "an unknown role"} now, not as ${role}`,
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

/** A leader that clients write to is made a follower beside another such leader, and never otherwise. */
export function isUnused(endpoint: Endpoint, leader: Endpoint | undefined): Expectation {
  return {
    text: "no client writes to it",
    check: ({ claim, report }) =>
      report?.role !== "follower" && isLeaderIn(claim, endpoint) && !isLeaderIn(claim, leader ?? "")
        ? "it leads the partition now"
        : undefined,
  };
}

/** A leader that is flagged alive takes writes, so it must run as leader. */
export const servesAsLeader: Expectation = {
  needs: { report: true },
  check: ({ report }) => (serves(report, "leader") ? undefined : "it does not run as leader now"),
};

/** The record still flags a replica leader, or says nothing of it. */
export function isFlaggedLeader(leader: Endpoint): Expectation {
  return {
    check: ({ claim }) =>
      replicaIn(claim, leader)?.isLeader === false
        ? `${leader} is not flagged leader any more`
        : undefined,
  };
}

/** The replica serves as follower. */
export function servesAsFollower(text: string): Expectation {
  return {
    text,
    needs: { report: true },
    check({ report }) {
      if (report === undefined) return "it is not loaded any more";
      return serves(report, "follower")
        ? undefined
        : `its tablet runs it as ${report.role ?? "an unknown role"}, ${report.state}`;
    },
  };
}

/** Followers are marked as the plan has them: writing the record as a whole would revert other marks. */
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

/** Something known of the whole partition; `why` says why it is not so. */
export function holds(text: string, why: (view: PartitionView) => string | undefined): Expectation {
  return { text, checkView: why };
}

/** Why a step must not act on a partition as it is seen; undefined if all expectations hold. */
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

/** What a step expects, in words. */
export function expectationText(expects: readonly Expectation[]): string {
  return expects.flatMap(({ text }) => text ?? []).join(", ") || "nothing";
}
