import { type Advice, changing, looking } from "../model/advice.js";
import { isOpActive, type Op } from "../model/cluster-state.js";
import { countBy } from "../model/groups.js";
import { tableName } from "../model/partition-name.js";
import { tabletHealth } from "../model/partition-view.js";
import { ownerText } from "../run/owner.js";
import type { InspectFacts } from "./facts.js";
import { stuckReason } from "./op-age.js";
import type { Case, Rule, RuleFacts } from "./rule.js";

const CLUSTER = { kind: "cluster" } as const;

/** An op by name: `kRecoverTableOP 17 of db1.t1:0`. */
function opName(op: Op): string {
  return `${op.type} ${op.id} of ${tableName(op)}:${op.pid}`;
}

/** True if a tablet blocks all ops; the rule `ops-blocked` has the advice. */
function isBlocked({ loads }: RuleFacts): boolean {
  return loads.some(({ absence }) => absence?.kind === "unreachable");
}

/** One case about the cluster if the condition is true, else none. */
function one(condition: boolean, text: () => string, next?: Advice): Case[] {
  return condition ? [{ subject: CLUSTER, text: text(), next }] : [];
}

/** The owner of the marker, if a run holds the lock. */
function liveOwner({ marker, lock }: InspectFacts) {
  return marker?.kind === "marker" && lock !== undefined ? marker.owner : undefined;
}

/** The marker of a run that has ended; undefined if there is none, or if a run holds the lock. */
function leftMarker({ marker, lock }: InspectFacts) {
  return marker?.kind === "marker" && lock === undefined ? marker : undefined;
}

/**
 * The advice to switch auto_failover on; undefined unless everything is healthy, because it can cost rows: the
 * nameserver elects leaders without checking whether an absent tablet holds more entries, and rebuilds the
 * replicas of a tablet that returns (OpenMLDB 0.9 nameserver: OfflineEndpointDBInternal, OnTabletOnline).
 */
function switchOn({ unhealthy, state, print }: InspectFacts, words: string): Advice | undefined {
  const isAllWell =
    unhealthy.length === 0 &&
    [...state.tablets.values()].every((tablet) => tabletHealth(tablet).tablet === "ok");
  return isAllWell
    ? [changing(words, print({ cmd: "confset", key: "auto_failover", value: "true" }))]
    : undefined;
}

function byType(ops: readonly Op[]): string {
  return [...countBy(ops.map(({ type }) => type))]
    .map(([type, count]) => `${count} ${type}`)
    .join(", ");
}

/** Rules about auto_failover, other runs of this tool, and the ops of the nameserver. */
export const CLUSTER_RULES: readonly Rule[] = [
  {
    code: "marker-left",
    level: "error",
    effect: "auto_failover stays off until it is restored",
    find: (facts) => {
      const marker = leftMarker(facts);
      if (marker === undefined || marker.leftOffSince !== undefined || facts.state.autoFailover) {
        return [];
      }
      return [
        {
          subject: CLUSTER,
          text: `${ownerText(marker.owner)} ended without restoring auto_failover to ${marker.original}`,
          next: [changing("run", facts.print({ cmd: "restore" }))],
        },
      ];
    },
  },
  {
    code: "marker-stale",
    level: "warning",
    effect: "if auto_failover is switched off on purpose, the next command switches it on again",
    find: (facts) => {
      const marker = leftMarker(facts);
      return one(
        marker !== undefined && facts.state.autoFailover,
        () =>
          `auto_failover is on, but ZooKeeper still has the marker of ${marker && ownerText(marker.owner)}, which says that it is to be restored`,
        [changing("run", facts.print({ cmd: "restore" }))],
      );
    },
  },
  {
    code: "auto-failover-left-off",
    level: "warning",
    turn: "after",
    effect: "if a tablet fails, no other replica takes over what it leads",
    find: (facts) => {
      const { unhealthy, print } = facts;
      const marker = leftMarker(facts);
      if (marker?.leftOffSince === undefined || facts.state.autoFailover) return [];
      return [
        {
          subject: CLUSTER,
          text: `auto_failover is left off on purpose since ${marker.leftOffSince}, because partitions needed a decision: ${ownerText(marker.owner)}`,
          next: [
            unhealthy.length === 0
              ? changing("run", print({ cmd: "recoverdata" }))
              : changing("decide; then, to restore it", print({ cmd: "recoverdata" }), "thought"),
          ],
        },
      ];
    },
  },
  {
    code: "marker-unreadable",
    level: "error",
    // If auto_failover were switched on first, it would interfere with the recovery.
    turn: "after",
    effect: "the value of auto_failover before a run that died is not known",
    find: (facts) =>
      one(
        facts.marker?.kind === "unreadable",
        () => "the marker of auto_failover in ZooKeeper cannot be read",
        switchOn(facts, "decide and run"),
      ),
  },
  {
    code: "auto-failover-off",
    level: "warning",
    effect: "if a tablet fails, no other replica takes over what it leads",
    find: (facts) =>
      one(
        !facts.state.autoFailover && facts.marker === undefined,
        () =>
          facts.lock === undefined
            ? "auto_failover is off; no run of this tool says that it switched it off"
            : "auto_failover is off, and according to its marker was off before the run in progress began",
        switchOn(facts, "run"),
      ),
  },
  {
    code: "auto-failover-held-off",
    level: "note",
    effect: "the run keeps it off while it works and then restores it",
    find: (facts) => {
      const owner = liveOwner(facts);
      return one(
        owner !== undefined,
        () => `auto_failover is kept off by run ${owner?.runId} since ${owner?.time}`,
      );
    },
  },
  {
    code: "lock-held",
    level: "note",
    effect: "no other run can change the cluster meanwhile; the observed state may be temporary",
    find: ({ lock }) =>
      one(lock !== undefined, () =>
        lock === undefined || lock === "unknown"
          ? "the lock is held by a run whose name cannot be read"
          : `the lock is held by ${ownerText(lock)}`,
      ),
  },
  {
    code: "op-stuck",
    level: "warning",
    // A recovery waits for active ops, so a stuck op comes first.
    turn: "before",
    effect: "ops behind it in its queue wait for it",
    find: (facts) =>
      facts.state.ops.flatMap((op): Case[] => {
        const why = isBlocked(facts) ? undefined : stuckReason(op, facts);
        const cancel = facts.print({ cmd: "cancelop", op_id: op.id });
        const next = [changing("if it makes no progress, run", cancel)];
        return why === undefined ? [] : [{ subject: CLUSTER, text: `${opName(op)} ${why}`, next }];
      }),
  },
  {
    code: "ops-running",
    level: "note",
    effect: "the observed state may be temporary",
    find: (facts) => {
      const ops = facts.state.ops.filter(
        (op) => isOpActive(op) && (isBlocked(facts) || stuckReason(op, facts) === undefined),
      );
      return one(ops.length > 0, () => `ops queued or running: ${byType(ops)}`);
    },
  },
  {
    code: "ops-failed",
    level: "note",
    effect: "none by itself: the partitions show the work that remains",
    find: ({ state, print }) => {
      const ops = state.ops.filter((op) => op.status === "failed");
      const last = ops.at(-1);
      return one(
        last !== undefined,
        () => `failed ops listed: ${ops.length}, the last is ${last && opName(last)}`,
        [looking("run", print({ cmd: "showopstatus", filter: ["kFailed"] }))],
      );
    },
  },
];
