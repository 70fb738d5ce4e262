import {
  type Endpoint,
  type FollowerList,
  type PartitionNumbers,
  type ReplicaReport,
  type ReplicaState,
  replicaKey,
} from "../model/cluster-state.js";
import { compareText } from "../model/partition-view.js";
import { bytesText } from "./readable.js";
import { columns, orNothing, type Shown } from "./shown.js";

/** OpenMLDB's words for the states of a replica (api.proto, TableState). */
export const STATE_WORDS: Readonly<Record<ReplicaState, string>> = {
  undefined: "kTableUndefined",
  normal: "kTableNormal",
  loading: "kTableLoading",
  "making-snapshot": "kMakingSnapshot",
  "snapshot-paused": "kSnapshotPaused",
  other: "unknown",
};

const ROLE_WORDS = { leader: "kTableLeader", follower: "kTableFollower" } as const;

/** Database and name of each table by `replicaKey`, as far as they are known. */
type Names = ReadonlyMap<string, { readonly db: string; readonly table: string }>;

const COLUMNS = columns(
  ...[">tid", ">pid", "db", "name", ">offset", "mode", "state"],
  ...["?>record_cnt", "?>memused", "?>diskused"],
);

/** The replicas that one tablet reports as loaded, by tid and pid. */
export function shownReplicas(
  endpoint: Endpoint,
  reports: readonly ReplicaReport[],
  names: Names,
): Shown {
  const sorted = inOrder(reports);
  return {
    columns: COLUMNS,
    rows: sorted.map((one) => reportRow(one, names)),
    empty: `${endpoint} has loaded nothing`,
    json: { endpoint, replicas: sorted.map((one) => reportJson(one, names)) },
  };
}

/** The answer of one tablet, or why there was none. */
export type TabletAnswer = { readonly endpoint: Endpoint; readonly names: Names } & (
  | { readonly reports: readonly ReplicaReport[] }
  | { readonly error: string }
);

/** The loaded replicas of every tablet, and the tablets that did not answer. */
export function shownReplicasOfAll(answers: readonly TabletAnswer[]): Shown {
  return {
    columns: [{ title: "endpoint" }, ...COLUMNS],
    rows: answers.flatMap((one) =>
      "error" in one
        ? []
        : inOrder(one.reports).map((report) => [one.endpoint, ...reportRow(report, one.names)]),
    ),
    empty: "no tablet has loaded anything",
    notes: answers.flatMap((one) =>
      "error" in one ? [`${one.endpoint} did not answer: ${one.error}`] : [],
    ),
    json: {
      endpoint: null,
      tablets: answers.map((one) =>
        "error" in one
          ? { endpoint: one.endpoint, replicas: null, error: one.error }
          : {
              endpoint: one.endpoint,
              replicas: inOrder(one.reports).map((report) => reportJson(report, one.names)),
              error: null,
            },
      ),
    },
  };
}

function inOrder(reports: readonly ReplicaReport[]): ReplicaReport[] {
  return [...reports].sort((a, b) => a.tid - b.tid || a.pid - b.pid);
}

function reportRow(one: ReplicaReport, names: Names): string[] {
  const name = names.get(replicaKey(one));
  return [
    String(one.tid),
    String(one.pid),
    orNothing(name?.db),
    orNothing(name?.table),
    String(one.offset),
    one.role === undefined ? "unknown" : ROLE_WORDS[one.role],
    STATE_WORDS[one.state],
    String(one.recordCount),
    bytesText(one.memoryBytes + one.indexBytes),
    bytesText(one.diskBytes),
  ];
}

function reportJson(one: ReplicaReport, names: Names): Record<string, unknown> {
  const name = names.get(replicaKey(one));
  return {
    tid: one.tid,
    pid: one.pid,
    db: name?.db ?? null,
    table: name?.table ?? null,
    role: one.role ?? null,
    state: STATE_WORDS[one.state],
    offset: one.offset,
    rows: one.recordCount,
    memoryBytes: one.memoryBytes,
    indexBytes: one.indexBytes,
    diskBytes: one.diskBytes,
  };
}

/**
 * The followers that a leader replicates to, sorted, with the acknowledged offset and the lag of each.
 */
export function shownFollowers(
  leader: PartitionNumbers & { readonly endpoint: Endpoint },
  list: FollowerList,
): Shown {
  const { tid, pid } = leader;
  const followers = [...list.followers]
    .sort(([a], [b]) => compareText(a, b))
    .map(([endpoint, offset]) => ({
      endpoint,
      offset,
      lag: list.offset > offset ? list.offset - offset : 0n,
    }));
  return {
    columns: columns(">tid", ">pid", ">leader_offset", "follower", ">offset", ">lag"),
    rows: followers.map((one) => [
      String(tid),
      String(pid),
      String(list.offset),
      one.endpoint,
      String(one.offset),
      one.lag === 0n ? "0" : { text: String(one.lag), color: "doubtful" },
    ]),
    empty: `${leader.endpoint} leads tid ${tid} pid ${pid} and has no follower`,
    json: { ...leader, leaderOffset: list.offset, followers },
  };
}
