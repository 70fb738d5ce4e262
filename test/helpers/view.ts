import type {
  FollowerList,
  Op,
  ReplicaReport,
  ReplicaState,
  Role,
} from "../../src/model/cluster-state.js";
import type { PartitionView, ReplicaView, TabletHealth } from "../../src/model/partition-view.js";

/**
 * Builds one partition from a table of replicas, one a line:
 *
 *     ENDPOINT  FLAG,ALIVE  KNOWN-OFFSET  RUNS  [replicates ENDPOINT=OFFSET ...]
 *
 * FLAG is leader or follower, ALIVE alive or dead, the offset a number or `-` (never stored).
 * RUNS is `-` (not loaded), `offline`, `silent`, or ROLE,STATE,OFFSET as the tablet reports.
 */
export function partition(
  table: string,
  more: { readonly terms?: PartitionView["terms"]; readonly activeOps?: readonly Op[] } = {},
): PartitionView {
  return {
    id: { db: "db1", table: "t1", tid: 7, pid: 0 },
    segCount: 8,
    storageMode: "memory",
    terms: more.terms ?? [{ term: 1n, offset: 0n }],
    replicas: table
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "")
      .map(replica),
    activeOps: more.activeOps ?? [],
  };
}

function replica(line: string): ReplicaView {
  const [endpoint = "", flags = "", known = "-", runs = "-", replicates, ...list] =
    line.split(/\s+/);
  const [flag, alive] = flags.split(",");
  const tablet: TabletHealth = runs === "offline" || runs === "silent" ? runs : "ok";
  const report = tablet === "ok" && runs !== "-" ? reportOf(runs) : undefined;
  return {
    endpoint,
    claim: {
      endpoint,
      isLeader: flag === "leader",
      isAlive: alive === "alive",
      offset: known === "-" ? undefined : BigInt(known),
      recordCount: undefined,
      memoryBytes: undefined,
      diskBytes: 0n,
    },
    tablet,
    tabletDetail: tablet === "ok" ? "" : tablet,
    report,
    followers: report && replicates === "replicates" ? listOf(report.offset, list) : undefined,
  };
}

function reportOf(runs: string): ReplicaReport {
  const [role, state, offset = "0"] = runs.split(",");
  return {
    tid: 7,
    pid: 0,
    role: role as Role,
    state: state as ReplicaState,
    offset: BigInt(offset),
    recordCount: BigInt(offset),
    memoryBytes: 0n,
    indexBytes: 0n,
    diskBytes: 0n,
  };
}

function listOf(offset: bigint, list: readonly string[]): FollowerList {
  return {
    offset,
    followers: new Map(
      list.map((one) => {
        const [endpoint = "", acked = "0"] = one.split("=");
        return [endpoint, BigInt(acked)];
      }),
    ),
  };
}
