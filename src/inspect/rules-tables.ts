import { changing, doing, looking } from "../model/advice.js";
import {
  type Endpoint,
  isOpActive,
  type PartitionId,
  replicaKey,
  type TableClaim,
} from "../model/cluster-state.js";
import { isInScope, partitionKey, tableName } from "../model/partition-name.js";
import {
  compareText,
  isSystemDatabase,
  type PartitionView,
  type ReplicaView,
} from "../model/partition-view.js";
import { partitionFlags } from "../model/tool-command.js";
import { each, flatMapped, type Work } from "../model/work.js";
import { freeTabletText, isFree } from "../policy/free-tablets.js";
import { isServing, servingLeader } from "../policy/what-it-holds.js";
import { maxOf } from "../util/extremes.js";
import { isRemoved } from "./distribution.js";
import { type Case, partitionSubject, type Rule, type RuleFacts, type Subject } from "./rule.js";

/** The inspected tables for which `holds` is true, by db and name. */
function tablesOf(
  { state, scope }: RuleFacts,
  holds: (table: TableClaim) => boolean,
): TableClaim[] {
  return state.tables
    .filter((table) => isInScope(scope, table) && holds(table))
    .sort((a, b) => compareText(a.db, b.db) || compareText(a.table, b.table));
}

/** The partitions without an active op: the state of the others may be temporary. */
function quiet({ views }: RuleFacts): PartitionView[] {
  return views.filter((view) => view.activeOps.length === 0);
}

const tableSubject = ({ db, table }: TableClaim): Subject => ({ kind: "table", db, table });

/** Number of the leader's entries that a loaded follower lacks; undefined if not known. */
function lagOf(replica: ReplicaView, leader: ReplicaView | undefined): bigint | undefined {
  if (leader === undefined || leader === replica || !isServing(replica)) return undefined;
  const own = replica.report?.offset ?? 0n;
  const listed = leader.followers?.followers.get(replica.endpoint) ?? own;
  const reached = own < listed ? own : listed;
  const led = leader.followers?.offset ?? leader.report?.offset ?? 0n;
  return led > reached ? led - reached : 0n;
}

function lagCases(facts: RuleFacts): Work<Case[]> {
  return flatMapped(facts.views, (view) => {
    const leader = servingLeader(view);
    return view.replicas.flatMap((replica): Case[] => {
      const lag = lagOf(replica, leader);
      if (lag === undefined || lag <= facts.maxLag || leader === undefined) return [];
      return [
        {
          subject: partitionSubject(view.id),
          text: `${replica.endpoint} is ${lag} entries behind leader ${leader.endpoint} (limit ${facts.maxLag})`,
          next: [
            looking("check whether it catches up", getFollower(facts, leader.endpoint, view.id)),
          ],
        },
      ];
    });
  });
}

function countCases({ otherCounts, print }: RuleFacts): readonly Case[] {
  return otherCounts.map(({ id, offset, counts }) => {
    const perReplica = [...counts].map(([endpoint, count]) => `${endpoint} ${count}`).join(", ");
    const command = print({ cmd: "verify", deep: true, ...partitionFlags(id) });
    return {
      subject: partitionSubject(id),
      text: `at offset ${offset} its replicas have different record counts, and no rows expire: ${perReplica}`,
      next: [looking("compare their rows", command)],
    };
  });
}

function getFollower(facts: RuleFacts, endpoint: Endpoint, { tid, pid }: PartitionId): string {
  return facts.print({ cmd: "getfollower", endpoint, tid, pid });
}

function unrecordedFollowerCases(facts: RuleFacts): Work<Case[]> {
  return flatMapped(quiet(facts), (view) => {
    const leader = servingLeader(view);
    const known = new Set(view.replicas.map((one) => one.endpoint));
    const unrecorded = [...(leader?.followers?.followers.keys() ?? [])].filter(
      (endpoint) => !known.has(endpoint),
    );
    return unrecorded.map(
      (endpoint): Case => ({
        subject: partitionSubject(view.id),
        text: `leader ${leader?.endpoint} replicates to ${endpoint}, which is not on record as a replica (a replica cluster's tablet is not either)`,
        next: [looking("see the list", getFollower(facts, leader?.endpoint ?? "", view.id))],
      }),
    );
  });
}

/** Loaded replicas whose offset is smaller than the one that the nameserver has stored. */
function* shrunkCases(facts: RuleFacts): Work<Case[]> {
  const unhealthy = new Set<string>();
  yield* each(facts.unhealthy, ({ id }) => unhealthy.add(replicaKey(id)));
  return yield* flatMapped(quiet(facts), (view) =>
    unhealthy.has(replicaKey(view.id))
      ? []
      : view.replicas.flatMap(({ endpoint, claim, report }): Case[] => {
          const seen = claim.offset ?? 0n;
          if (report === undefined || report.offset >= seen) return [];
          return [
            {
              subject: partitionSubject(view.id),
              text: `the nameserver saw offset ${seen} at ${endpoint}, its tablet has ${report.offset}`,
              next: [
                doing(
                  "find out what happened to the tablet's disk; compare with gettablestatus",
                  "thought",
                ),
              ],
            },
          ];
        }),
  );
}

function fewReplicas(facts: RuleFacts): Work<Case[]> {
  const wanted = new Map(facts.state.tables.map((table) => [table.tid, table.replicaCount]));
  const loads = facts.loads
    .filter((one) => one.health === "ok")
    .sort((a, b) => a.replicas - b.replicas);
  return flatMapped(quiet(facts), (view): Case[] => {
    const want = wanted.get(view.id.tid) ?? 0;
    const have = view.replicas.length;
    if (have >= want) return [];
    const to = loads.find((one) => isFree(facts.state, view, one.endpoint))?.endpoint;
    return [
      {
        subject: partitionSubject(view.id),
        text: `${have} of ${want} replicas are on record`,
        next:
          to === undefined
            ? [
                doing(
                  `${freeTabletText(facts.state, view)}; then inspect again for the command that adds a replica`,
                  "server",
                ),
              ]
            : [
                changing(
                  "run",
                  facts.print({ cmd: "addreplica", ...partitionFlags(view.id), endpoint: to }),
                ),
              ],
      },
    ];
  });
}

function twiceOnOneTablet({ views }: RuleFacts): Work<Case[]> {
  return flatMapped(views, ({ id, replicas }) => {
    const endpoints = replicas.map((one) => one.endpoint);
    const twice = endpoints.filter((one, index) => endpoints.indexOf(one) !== index);
    return [...new Set(twice)].map(
      (endpoint): Case => ({
        subject: partitionSubject(id),
        text: `two of its replicas are on record at tablet ${endpoint}`,
        next: [
          doing(
            "the record is wrong: a tablet holds one of them at most; compare with gettablestatus",
            "thought",
          ),
        ],
      }),
    );
  });
}

/**
 * Replicas that a tablet has loaded and that are not on record. A tid above all tids on record belongs to a table
 * created after the record was read (tids only grow), so it is left out.
 */
function strayCases(facts: RuleFacts): Work<Case[]> {
  const { state, scope } = facts;
  const tables = new Map(state.tables.map((table) => [table.tid, table]));
  const newest = maxOf(tables.keys());
  const busy = new Set(state.ops.filter(isOpActive).map((op) => partitionKey(op)));
  return flatMapped(state.tablets.values(), ({ endpoint, reports }) =>
    [...(reports?.values() ?? [])].flatMap(({ tid, pid, role }): Case[] => {
      const table = tables.get(tid);
      if (tid > newest || !isInScope(scope, table ?? { db: "", table: "" })) return [];
      const partition = table?.partitions.find((one) => one.pid === pid);
      if (partition?.replicas.some((one) => one.endpoint === endpoint)) return [];
      if (table !== undefined && busy.has(partitionKey({ ...table, pid }))) return [];
      const what =
        table === undefined
          ? `tid ${tid} pid ${pid}, which is not a table on record`
          : `${tableName(table)}:${pid}, which is not on record there`;
      return [
        {
          subject: { kind: "tablet", endpoint },
          text: `has loaded ${what} (as ${role ?? "an unknown role"})`,
          next: [looking("see it", facts.print({ cmd: "gettablestatus", endpoint, tid, pid }))],
        },
      ];
    }),
  );
}

function singleReplicas(facts: RuleFacts, isSystem: boolean): Case[] {
  const isSingle = ({ db, partitions, replicaCount }: TableClaim) =>
    replicaCount <= 1 &&
    partitions.length > 0 &&
    partitions.every((one) => one.replicas.length === 1) &&
    isSystemDatabase(db) === isSystem;
  return tablesOf(facts, isSingle).map((table) => ({
    subject: tableSubject(table),
    text: "has one replica only",
  }));
}

/** Tablets that hold nothing, or more than twice the average, if the average is at least two. */
function uneven(facts: RuleFacts, what: "replicas" | "leaders"): Case[] {
  const next = [looking("see what would move", facts.print({ cmd: "scaleout", dry_run: true }))];
  const loads = facts.loads.filter((one) => one.health === "ok");
  const total = loads.reduce((sum, one) => sum + one[what], 0);
  const mean = total / loads.length;
  if (loads.length < 2 || mean < 2) return [];
  return loads
    .filter((one) => one[what] === 0 || one[what] > 2 * mean)
    .map(({ endpoint, ...own }) => ({
      subject: { kind: "tablet", endpoint },
      text: `holds ${own[what]} of ${total} ${what}, the average of ${loads.length} tablets is ${mean.toFixed(1)}`,
      next,
    }));
}

/** Rules about replication, records, and the distribution of replicas. */
export const TABLE_RULES: readonly Rule[] = [
  {
    code: "record-shrunk",
    level: "warning",
    effect: "rows may be missing on that replica",
    find: shrunkCases,
  },
  {
    code: "replica-twice",
    level: "warning",
    effect: "one failure loses both replicas",
    find: twiceOnOneTablet,
  },
  {
    code: "lag",
    level: "warning",
    effect: "entries that the follower lacks are lost if the leader's disk is lost",
    find: lagCases,
  },
  {
    code: "record-counts-differ",
    level: "warning",
    effect: "a query may see other rows after a change of leader",
    find: countCases,
  },
  {
    code: "feeds-stranger",
    level: "warning",
    effect: "the leader keeps its binlog for a follower that is not on record",
    find: unrecordedFollowerCases,
  },
  {
    code: "stray-replica",
    level: "warning",
    effect: "it takes memory and serves no client",
    find: strayCases,
  },
  {
    code: "storage-unknown",
    level: "warning",
    effect: "no tablet can load it: it cannot be recovered after a restart",
    find: (facts) =>
      tablesOf(facts, (table) => table.storageMode === "unknown").map((table) => ({
        subject: tableSubject(table),
        text: "its storage mode is one that this version does not know",
        next: [
          doing("use a version of this tool that supports this version of OpenMLDB", "thought"),
        ],
      })),
  },
  {
    code: "replicas-few",
    level: "warning",
    effect: "the table tolerates fewer failures than it was made for",
    find: fewReplicas,
  },
  {
    code: "too-few-tablets",
    level: "warning",
    effect: "its replicas cannot all be placed on tablets of their own",
    find(facts) {
      const count = facts.loads.filter((one) => !isRemoved(one)).length;
      return tablesOf(facts, (table) => table.replicaCount > count).map((table) => ({
        subject: tableSubject(table),
        text: `wants ${table.replicaCount} replicas, and there are ${count} tablets`,
        next: [doing("start more tablets", "server")],
      }));
    },
  },
  {
    code: "replicas-uneven",
    level: "warning",
    effect: "memory and load are spread unevenly",
    find: (facts) => uneven(facts, "replicas"),
  },
  {
    code: "leaders-uneven",
    level: "warning",
    effect: "writes and reads go to few tablets",
    find: (facts) => uneven(facts, "leaders"),
  },
  {
    code: "system-single-replica",
    level: "note",
    effect: "if its tablet fails, SQL fails as well",
    find: (facts) => singleReplicas(facts, true),
  },
  {
    code: "single-replica",
    level: "note",
    effect: "if its tablet fails, it is down until that tablet is back",
    find: (facts) => singleReplicas(facts, false),
  },
];
