import { usageError } from "../errors.js";
import { dbOfTable, method, oneTable, oneTablet, operateSpecs } from "./common-specs.js";
import {
  anyText,
  choice,
  integer,
  oneEndpoint,
  opId,
  partitionNames,
  pidList,
  tidOrPid,
  type ValueParser,
} from "./flag-values.js";
import { type FlagsOf, many, noVariable, optional, required, toggle } from "./spec.js";

const yesOrNo: ValueParser<boolean> = Object.assign(
  (text: string, where: string) => choice("yes", "no")(text, where) === "yes",
  { words: ["yes", "no"] },
);

/** The status of ended ops, also in the spelling of OpenMLDB's clients (`kFailed`). */
const endedStatus: ValueParser<EndedStatus> = (text, where) =>
  choice("done", "failed", "canceled")(text.replace(/^k(?=[A-Z])/, ""), where);

/** Flags of `changeleader`. */
export const changeLeaderSpecs = {
  ...operateSpecs,
  db: dbOfTable,
  table: oneTable,
  pid: noVariable(required(["pid", "N", "the partition"], integer(0, 1_000_000), "--pid=0")),
  /** An endpoint, or `auto`; undefined: only if no leader is alive. */
  candidate: noVariable(
    optional(
      ["candidate", "ENDPOINT", "the follower to promote; auto: the one with most entries"],
      oneEndpoint,
    ),
  ),
  noRecover: toggle("no_recover", "leave the old leader marked not alive"),
  /** True if entries of this partition may be discarded. */
  acceptsLoss: noVariable(
    toggle("accept_data_loss", "give up entries that the new leader does not hold"),
  ),
};

/** Partitions in which entries may be discarded. */
const acceptDataLoss = noVariable(
  many(
    ["accept_data_loss", "DB.TABLE:PID", "give up entries there, only where named"],
    partitionNames,
  ),
);

const endpointSpecs = {
  endpoint: oneTablet,
  /** 1..8; undefined: the nameserver's default. */
  concurrency: optional(
    ["concurrency", "N", "partitions at a time, or queues of the nameserver to use; 1 to 8"],
    integer(1, 8),
  ),
  acceptDataLoss,
};

/** Flags of `offlineendpoint`. */
export const offlineEndpointSpecs = {
  ...operateSpecs,
  ...endpointSpecs,
  allowsSingleReplica: toggle(
    "allow_single_replica",
    "let partitions with their only replica there go out of service",
  ),
};

/** Flags of `recoverendpoint`. */
export const recoverEndpointSpecs = {
  ...operateSpecs,
  ...endpointSpecs,
  method,
  needRestore: toggle("need_restore", "make it lead again what it led before"),
};

const tableSpecs = {
  db: dbOfTable,
  table: oneTable,
  pids: noVariable(
    required(["pid", "LIST", "its partitions, such as 0,2,5-7; * for all"], pidList, "--pid=0"),
  ),
};

/** Flags of `addreplica` and `delreplica`. */
export const replicaSpecs = { ...tableSpecs, endpoint: oneTablet, ...operateSpecs };

/** Flags of `migrate`. */
export const migrateSpecs = {
  from: noVariable(
    required(
      ["src", "ENDPOINT", "the tablet that the followers leave"],
      oneEndpoint,
      "--src=HOST:PORT",
    ),
  ),
  to: noVariable(
    required(["des", "ENDPOINT", "the tablet that they go to"], oneEndpoint, "--des=HOST:PORT"),
  ),
  ...tableSpecs,
  ...operateSpecs,
};

/** Flags of `cancelop`. */
export const cancelOpSpecs = {
  op: noVariable(required(["op_id", "N", "the op, see showopstatus"], opId, "--op_id=42")),
  ...operateSpecs,
};

type EndedStatus = "done" | "failed" | "canceled";

const opOrStatus: ValueParser<bigint | EndedStatus> = (text, where) =>
  /^\d/.test(text) ? opId(text, where) : endedStatus(text, where);

/** Flags of `deleteop`: one of the three is given. */
export const deleteOpSpecs = {
  op: noVariable(optional(["op", "ID|STATUS", "one op, or all with that status"], opOrStatus)),
  opId: noVariable(optional(["op_id", "N", "this op, see showopstatus"], opId)),
  status: noVariable(
    optional(["status", "STATUS", "all ops with that status: done, failed, canceled"], endedStatus),
  ),
  ...operateSpecs,
};

/** Flags of `deleteop`: one of the three is given. */
export type DeleteOpFlags = FlagsOf<typeof deleteOpSpecs>;

/** Flags of `updatetablealive`. */
export const tableAliveSpecs = {
  ...replicaSpecs,
  isAlive: noVariable(required(["alive", "yes|no", "how they are marked"], yesOrNo, "--alive=no")),
  isForced: noVariable(toggle("force", "mark them even if their tablets contradict it")),
};

/** Flags of `loadtable`: at most one of the two roles is given. */
export const loadTableSpecs = {
  ...replicaSpecs,
  /** The tid to compare with the record; undefined: no comparison. */
  tid: noVariable(optional(["tid", "TID", "id of the table, compared with the record"], tidOrPid)),
  /** The fourth word of OpenMLDB's tablet client. Ignored, because this tool sends the record's value. */
  ttl: noVariable(
    optional(["ttl", "N", "accepted and ignored: the record's value is used"], anyText),
  ),
  /** The fifth word of OpenMLDB's tablet client. Ignored. */
  segmentCount: noVariable(
    optional(["segment_cnt", "N", "accepted and ignored: the record's value is used"], anyText),
  ),
  leader: noVariable(toggle("leader", "load as leader; as the nameserver flags it if left out")),
  follower: noVariable(toggle("follower", "load as follower")),
};

/** Flags of `loadtable`: at most one of the two roles is given. */
export type LoadTableFlags = FlagsOf<typeof loadTableSpecs>;

/** Checks the combination of flags. @throws OpsError `usage`. */
export function checkDeleteOp({ op, opId: id, status }: DeleteOpFlags): void {
  const given = [op, id, status].filter((one) => one !== undefined).length;
  if (given === 1) return;
  throw usageError(
    given === 0 ? "no op and no status is given" : "give one op or one status, not both",
    "such as deleteop 42 or deleteop failed",
  );
}

/** Checks the combination of flags. @throws OpsError `usage`. */
export function checkLoadTable({ leader, follower }: LoadTableFlags): void {
  if (!leader || !follower) return;
  throw usageError(
    "--leader and --follower cannot be combined",
    "give one of them, or neither to use the role in the record",
  );
}
