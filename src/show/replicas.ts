import type {
  Endpoint,
  FollowerList,
  ReplicaReport,
  ReplicaState,
} from "../model/cluster-state.js";
import { replicaKey } from "../model/cluster-state.js";
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

/**
 * What one tablet has loaded, as it says itself, by tid and pid.
 *
 * @param names Database and name of each table, by `replicaKey`, as far as they are known.
 */
export function shownReplicas(
  endpoint: Endpoint,
  reports: readonly ReplicaReport[],
  names: ReadonlyMap<string, { readonly db: string; readonly table: string }>,
): Shown {
  const sorted = [...reports].sort((a, b) => a.tid - b.tid || a.pid - b.pid);
  return {
    columns: columns(
      ...[">tid", ">pid", "db", "name", ">offset", "mode", "state"],
      ...[">record_cnt", ">memused", ">diskused"],
    ),
    rows: sorted.map((one) => {
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
    }),
    empty: `${endpoint} has loaded nothing`,
    json: { endpoint, replicas: sorted.map((one) => reportJson(one, names.get(replicaKey(one)))) },
  };
}

function reportJson(
  one: ReplicaReport,
  name: { readonly db: string; readonly table: string } | undefined,
): Record<string, unknown> {
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

/** The followers that a leader feeds, sorted, with what each has acknowledged and still lacks. */
export function shownFollowers(
  leader: { readonly endpoint: Endpoint; readonly tid: number; readonly pid: number },
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
