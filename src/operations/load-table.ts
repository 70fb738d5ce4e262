import { refused } from "../errors.js";
import type { ClusterState, Role } from "../model/cluster-state.js";
import { tableName } from "../model/partition-name.js";
import {
  type PartitionView,
  partitionName,
  type ReplicaView,
  replicaAt,
} from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import { partitionFlags } from "../model/tool-command.js";
import { leastOffsetToLead, whyNotLead } from "../policy/check-leader-change.js";
import { isServing, lowerBound, servingLeader } from "../policy/what-it-holds.js";
import { type ReplicaOptions, replicaFlags } from "./add-replica.js";
import type { Operation, OperationPlan } from "./operation.js";
import { assertNone, assertUsable, findPartitions, type Obstacle } from "./targets.js";

/** Limit of partitions that are processed concurrently; a tablet loads three at a time. */
const CONCURRENCY = 32;

/** The replicas to load, and their role. */
export interface LoadOptions extends ReplicaOptions {
  /** Undefined: as the nameserver flags the replica. */
  readonly role: Role | undefined;
  /** The table id that the operator expects; undefined: not compared. */
  readonly tid?: number | undefined;
}

/**
 * Loads replicas from a tablet's own disk (LoadTable), with the table id, storage mode and segments on
 * record. A future leader is loaded as follower first, so that no client writes to it before it has shown all known
 * entries of the partition.
 */
export function loadTableOperation(options: LoadOptions): Operation {
  const { endpoint, role } = options;
  return {
    typed: {
      cmd: "loadtable",
      ...replicaFlags(options),
      leader: role === "leader",
      follower: role === "follower",
    },
    needsOff: false,
    concurrency: CONCURRENCY,
    plan: (state) => planLoads(state, options),
    verify: (after) =>
      findPartitions(after, options).views.flatMap((view) => {
        const replica = replicaAt(view, endpoint);
        if (replica === undefined || isLoadedAs(view, options)) return [];
        const wanted = role ?? flagged(replica);
        return [`${partitionName(view.id)}: ${endpoint} does not serve as ${wanted}`];
      }),
    conclude: (after) =>
      findPartitions(after, options).views.flatMap((view) => outcome(view, options)),
  };
}

function flagged({ claim }: ReplicaView): Role {
  return claim.isLeader ? "leader" : "follower";
}

function planLoads(state: ClusterState, options: LoadOptions): OperationPlan {
  const { endpoint, pids } = options;
  const { table, views } = findPartitions(state, options);
  if (options.tid !== undefined && options.tid !== table.tid) {
    throw refused(
      `${tableName(table)} has the id ${table.tid}, not ${options.tid}`,
      "showtable shows the id of each table",
    );
  }
  assertUsable(state, endpoint, "tablet");
  const meant =
    pids === "all" ? views.filter((view) => replicaAt(view, endpoint) !== undefined) : views;
  const wanted = meant.filter((view) => !isLoadedAs(view, options));
  assertNone(
    wanted.flatMap((view) => obstacleTo(view, options) ?? []),
    `loadtable on ${endpoint}`,
  );
  return {
    steps: wanted.map((view) => stepFor(view, options)),
    notes: [
      ...meant
        .filter((view) => !wanted.includes(view))
        .map((view) => `${partitionName(view.id)}: ${endpoint} serves it already`),
      ...wanted.flatMap((view) => notesOn(view, options)),
    ],
    restsOn: views,
  };
}

function isLoadedAs(view: PartitionView, { endpoint, role }: LoadOptions): boolean {
  const replica = replicaAt(view, endpoint);
  if (replica === undefined || !isServing(replica)) return false;
  return replica.report?.role === (role ?? flagged(replica));
}

function stepFor(view: PartitionView, { endpoint, role }: LoadOptions): Step {
  const replica = replicaAt(view, endpoint) as ReplicaView;
  const as = role ?? flagged(replica);
  const least = as === "leader" ? leastOffsetToLead(view, replica) : lowerBound(view, replica);
  const why = as === flagged(replica) ? `flagged ${as}` : `requested, flagged ${flagged(replica)}`;
  const expected = least === 0n ? "" : `, known to hold entries up to ${least}`;
  return {
    kind: "load-table",
    id: view.id,
    endpoint,
    role: as,
    least,
    why: `${why}${expected}`,
  };
}

function notesOn(view: PartitionView, { endpoint, role }: LoadOptions): string[] {
  const replica = replicaAt(view, endpoint);
  if (replica === undefined || role === undefined || role === flagged(replica)) return [];
  return [
    `${partitionName(view.id)}: ${endpoint} is flagged ${flagged(replica)} in the nameserver's record, and loading it as ${role} does not change that`,
  ];
}

function obstacleTo(view: PartitionView, options: LoadOptions): Obstacle | undefined {
  const { endpoint, print } = options;
  const name = partitionName(view.id);
  const replica = replicaAt(view, endpoint);
  if (replica === undefined) {
    return {
      text: `${name}: the record has no replica at ${endpoint}`,
      hint: `its replicas are at ${view.replicas.map((one) => one.endpoint).join(", ")}`,
    };
  }
  if (view.storageMode === "unknown") {
    return {
      text: `${name}: the record has a storage mode that this version does not know`,
      hint: "use a newer version of this tool",
    };
  }
  const as = options.role ?? flagged(replica);
  const recover = print({ cmd: "recovertable", ...partitionFlags(view.id) });
  if (as === "follower") {
    if (replica.report?.role !== "leader") return undefined;
    return {
      text: `${name}: ${endpoint} runs it as leader, and LoadTable does not change the role`,
      hint: `see the fault and repair it with: ${recover}`,
    };
  }
  const why = whyNotLead(view, endpoint);
  if (why === undefined) return undefined;
  return {
    text: `${name}: ${why}`,
    hint: `let recovery choose the leader by what each replica holds: ${recover}`,
  };
}

function outcome(view: PartitionView, { endpoint, print }: LoadOptions): string[] {
  const replica = replicaAt(view, endpoint);
  const report = replica?.report;
  if (replica === undefined || report === undefined || !isServing(replica)) return [];
  const { role, offset, recordCount } = report;
  const line = `${partitionName(view.id)}: ${endpoint} is loaded as ${role} at offset ${offset} (${recordCount} rows)`;
  const isReplicatedTo = servingLeader(view)?.followers?.followers.has(endpoint) === true;
  const rest = [
    ...(role === "follower" && !isReplicatedTo ? ["no leader replicates to it"] : []),
    ...(replica.claim.isAlive ? [] : ["marked not alive"]),
  ];
  const next = print({ cmd: "recovertable", ...partitionFlags(view.id) });
  return [rest.length === 0 ? line : `${line}; ${rest.join(", ")}: continue with ${next}`];
}
