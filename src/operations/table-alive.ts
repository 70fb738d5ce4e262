import { problemsAt } from "../diagnosis/diagnose.js";
import { refused } from "../errors.js";
import type { ClusterState, Endpoint } from "../model/cluster-state.js";
import { tableName } from "../model/partition-name.js";
import { type PartitionView, partitionName, replicaAt } from "../model/partition-view.js";
import { pidText, type Step } from "../model/step.js";
import { partitionFlags } from "../model/tool-command.js";
import { servingLeader } from "../policy/what-it-holds.js";
import { type ReplicaOptions, replicaFlags } from "./add-replica.js";
import type { Operation, OperationPlan } from "./operation.js";
import { assertNone, findPartitions, type Obstacle, switchedOffNote, tabletAt } from "./targets.js";

/** Limit of partitions that are processed concurrently. */
const CONCURRENCY = 8;

/** The flags to set in the nameserver's record. */
export interface AliveOptions extends ReplicaOptions {
  readonly isAlive: boolean;
  /** True if replicas are marked even if their tablets contradict it. */
  readonly isForced: boolean;
}

/**
 * Marks replicas alive or not alive in the nameserver's record (UpdateTableAliveStatus); clients use the replicas that
 * are marked alive. All partitions of a table on an endpoint are marked with one call.
 */
export function tableAliveOperation(options: AliveOptions): Operation {
  const { isAlive, isForced, endpoint } = options;
  return {
    typed: {
      cmd: "updatetablealive",
      ...replicaFlags(options),
      alive: isAlive ? "yes" : "no",
      force: isForced,
    },
    needsOff: true,
    concurrency: CONCURRENCY,
    plan: (state) => planMarks(state, options),
    verify: (after) =>
      findPartitions(after, options)
        .views.filter((view) => (replicaAt(view, endpoint)?.claim.isAlive ?? isAlive) !== isAlive)
        .map((view) => `${partitionName(view.id)}: ${endpoint} is ${word(!isAlive)}`),
  };
}

function word(isAlive: boolean): string {
  return isAlive ? "marked alive" : "marked not alive";
}

function planMarks(state: ClusterState, options: AliveOptions): OperationPlan {
  const { endpoint, isAlive, isForced, pids } = options;
  const { table, views } = findPartitions(state, options);
  tabletAt(state, endpoint);
  const held = views.filter((view) => replicaAt(view, endpoint) !== undefined);
  const missing = views.filter((view) => !held.includes(view));
  if (held.length === 0 || (pids !== "all" && missing.length > 0)) {
    const which = pidText(missing.map((one) => one.id.pid));
    const has = table.partitions.filter((one) => one.replicas.some((r) => r.endpoint === endpoint));
    throw refused(
      `${endpoint} has no replica of ${tableName(table)} partition ${which}`,
      `it has replicas of its partitions: ${pidText(has.map((one) => one.pid)) || "none"}`,
    );
  }
  const wanted = held.filter((view) => replicaAt(view, endpoint)?.claim.isAlive !== isAlive);
  const against = wanted.flatMap((view) => obstacleTo(view, options) ?? []);
  if (!isForced) assertNone(against, `updatetablealive of ${endpoint}`);
  return {
    steps: stepsOf(wanted, options),
    notes: [
      ...held
        .filter((view) => !wanted.includes(view))
        .map((view) => `${partitionName(view.id)}: ${endpoint} is ${word(isAlive)} already`),
      ...against.map((one) => `--force: ${one.text}`),
      ...(wanted.length > 0 ? switchedOffNote(state, ", and then acts on the marks") : []),
    ],
    restsOn: views,
  };
}

function stepsOf(wanted: readonly PartitionView[], options: AliveOptions): Step[] {
  const { endpoint, isAlive, isForced, pids } = options;
  const why = isAlive ? "clients use it afterwards" : "clients stop using it";
  const first = wanted[0];
  if (first === undefined) return [];
  if (pids === "all") {
    const { db, table, tid } = first.id;
    const of = { db, table, tid, pids: wanted.map((view) => view.id.pid) };
    return [{ kind: "mark-table", ...of, endpoint, isAlive, isForced, why }];
  }
  return wanted.map((view): Step => {
    const of = { id: view.id, endpoint, why };
    if (!isAlive) return { kind: "mark-dead", ...of, mayLead: isForced };
    const role = replicaAt(view, endpoint)?.claim.isLeader === true ? "leader" : "follower";
    return { kind: "mark-alive", ...of, role, checks: isForced ? "nothing" : "health" };
  });
}

function obstacleTo(view: PartitionView, options: AliveOptions): Obstacle | undefined {
  const { endpoint, isAlive, print } = options;
  const why = whyNotMark(view, endpoint, isAlive);
  if (why === undefined) return undefined;
  const of = partitionFlags(view.id);
  const better = isAlive
    ? `recover it with: ${print({ cmd: "recovertable", ...of, endpoint })}`
    : `change the leader first with: ${print({ cmd: "changeleader", ...of, candidate: "auto" })}`;
  return {
    text: `${partitionName(view.id)}: ${why}`,
    hint: `${better}; --force marks it anyway`,
  };
}

/**
 * Returns why marking a replica would send clients to one that does not serve, or leave the partition without a
 * leader; undefined if it would not.
 */
export function whyNotMark(
  view: PartitionView,
  endpoint: Endpoint,
  isAlive: boolean,
): string | undefined {
  if (!isAlive) {
    return servingLeader(view)?.endpoint === endpoint
      ? `${endpoint} leads it: marked not alive, the partition takes no writes`
      : undefined;
  }
  const problems = problemsAt(view, endpoint).filter(
    (one) => one.code !== "marked-dead" && one.code !== "behind",
  );
  return problems.length === 0
    ? undefined
    : `${endpoint} cannot serve: ${problems.map((one) => one.text).join(", ")}`;
}
