import { OpsError } from "../errors.js";
import type { Endpoint } from "../model/cluster-state.js";
import { oneLine } from "../util/text.js";

/** The meaning of one response code of OpenMLDB. */
interface ResponseCode {
  /** OpenMLDB's own text. */
  readonly name: string;
  /** The meaning, for a sentence such as "... was refused: ...". */
  readonly meaning: string;
  /** True if the same call may succeed later without any other change. */
  readonly retryable: boolean;
  /** What the user can do about it. */
  readonly hint?: string;
}

/** The response codes that the code depends on. */
export const codes = {
  ok: 0,
  tableAlreadyExists: 101,
  tableIsLeader: 102,
  tableIsFollower: 103,
  replicaExists: 119,
  noFollower: 134,
  notLeader: 300,
  opHasEnded: 312,
} as const;

function entry(
  name: string,
  meaning: string,
  more?: { retryable?: boolean; hint?: string },
): ResponseCode {
  return { name, meaning, retryable: false, ...more };
}

/** The codes of OpenMLDB 0.9 (base::ReturnCode) that this tool's calls can return. */
export const meanings: ReadonlyMap<number, ResponseCode> = new Map([
  [-1, entry("error", "it named no reason")],
  [0, entry("ok", "the call succeeded")],
  [100, entry("table is not exist", "it does not have that table or partition")],
  [101, entry("table already exists", "the replica is loaded already")],
  [102, entry("table is leader", "the replica is a leader there")],
  [103, entry("table is follower", "the replica is a follower there")],
  [104, entry("table is loading", "the replica is still loading", { retryable: true })],
  [107, entry("table status is not kSnapshotPaused", "its snapshots are not paused")],
  [110, entry("replicator is not exist", "the replica has no replicator")],
  [119, entry("replica endpoint already exists", "the replica is in the replication list already")],
  [129, entry("table meta is illegal", "the table's description is not acceptable")],
  [
    131,
    entry("create table failed", "the table cannot be opened from its disk", {
      hint: "the partition's directory may be gone from that tablet's disk, or lie in the path of another storage mode",
    }),
  ],
  [134, entry("no follower", "the partition has no follower")],
  [
    138,
    entry("fail to get db root path", "that tablet has no path configured for this storage mode", {
      hint: "check db_root_path, ssd_root_path and hdd_root_path in the tablet's configuration",
    }),
  ],
  [
    300,
    entry("nameserver is not leader", "this nameserver does not lead (yet)", { retryable: true }),
  ],
  [
    301,
    entry("auto_failover is enabled", "auto_failover is switched on, which forbids it", {
      hint: "something switched auto_failover on again during the run: find out what, then run the command again",
    }),
  ],
  [302, entry("endpoint is not exist", "the nameserver does not know that tablet")],
  [
    303,
    entry("tablet is not healthy", "the nameserver does not count the tablet as healthy", {
      retryable: true,
    }),
  ],
  [304, entry("set zk failed", "the nameserver could not write to ZooKeeper", { retryable: true })],
  [305, entry("create op failed", "the nameserver could not make the op", { retryable: true })],
  [306, entry("add op data failed", "the nameserver could not queue the op", { retryable: true })],
  [307, entry("invalid parameter", "a parameter is not valid")],
  [308, entry("pid is not exist", "there is no such replica of the partition on that tablet")],
  [309, entry("leader is alive", "the partition's leader is alive")],
  [310, entry("no alive follower", "the partition has no alive follower")],
  [311, entry("partition is alive", "the replica is marked alive")],
  [312, entry("op status is not doing or inited", "the op has ended already")],
  [
    318,
    entry(
      "src_endpoint is not exist or not healthy",
      "the tablet to move from is unknown or not healthy",
    ),
  ],
  [
    319,
    entry(
      "des_endpoint is not exist or not healthy",
      "the tablet to move to is unknown or not healthy",
    ),
  ],
  [320, entry("migrate failed", "the replica cannot be moved")],
  [321, entry("no pid has update", "that tablet holds no replica of the table")],
  [
    1101,
    entry("not authorized", "the user may not do this", {
      hint: "check --user and --password_file",
    }),
  ],
]);

/**
 * The error `rejected` for an answer with a code other than 0.
 *
 * @param answer `endpoint`: the peer, by its name in the cluster. `method`: such as `RecoverTable`. `msg`: the message
 *   in the answer; may be empty.
 */
export function rejection(answer: {
  readonly endpoint: Endpoint;
  readonly method: string;
  readonly code: number;
  readonly msg: string;
}): OpsError {
  const { endpoint, method, code, msg } = answer;
  const known = meanings.get(code);
  const text = oneLine(msg);
  const tail = text === "" ? `code ${code}` : `code ${code}: ${text}`;
  return new OpsError({
    code: "rejected",
    message: `${method} at ${endpoint} was refused${known === undefined ? "" : `: ${known.meaning}`} (${tail})`,
    hint: known?.hint,
    retryable: known?.retryable ?? false,
    endpoint,
    responseCode: code,
  });
}
