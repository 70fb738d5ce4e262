import { OpsError } from "../errors.js";
import { type CommandEntry, clusterEntryOf } from "./command-entry.js";
import { operateSpecs } from "./flag-specs.js";
import { anyText, badValue, choice, pidList, type ValueParser } from "./flag-values.js";
import type {
  CancelOpFlags,
  DeleteOpFlags,
  LoadTableFlags,
  MigrateFlags,
  ReplicaFlags,
  TableAliveFlags,
} from "./flags-operate.js";
import { needed, noVariable, optional, type SpecsFor, toggle } from "./spec-makers.js";

/** The largest op id: unsigned 64 bits on the wire. */
const OP_ID_MAX = 2n ** 64n - 1n;

const opId: ValueParser<bigint> = (text, where) => {
  const value = /^\d{1,20}$/.test(text) ? BigInt(text) : undefined;
  if (value === undefined || value > OP_ID_MAX) throw badValue(where, "not the id of an op");
  return value;
};

const yesOrNo: ValueParser<boolean> = Object.assign(
  (text: string, where: string) => choice("yes", "no")(text, where) === "yes",
  { words: ["yes", "no"] },
);

/** The status of ended ops, also as OpenMLDB's clients write it (`kFailed`). */
const endedStatus: ValueParser<"done" | "failed" | "canceled"> = (text, where) =>
  choice("done", "failed", "canceled")(text.replace(/^k(?=[A-Z])/, ""), where);

const tableSpecs: SpecsFor<Pick<ReplicaFlags, "db" | "table" | "pid">> = {
  db: noVariable(
    optional(["db", "NAME", "the table's database; not needed if only one has it"], anyText),
  ),
  table: noVariable(needed(["table", "NAME", "the table"], anyText, "--table=t1")),
  pid: noVariable(
    needed(["pid", "LIST", "its partitions, such as 0,2,5-7; * for all"], pidList, "--pid=0"),
  ),
};

/** Flags of `addreplica` and `delreplica`. */
export const replicaSpecs: SpecsFor<ReplicaFlags> = {
  ...tableSpecs,
  endpoint: noVariable(
    needed(["endpoint", "ENDPOINT", "the tablet"], anyText, "--endpoint=127.0.0.1:10921"),
  ),
  ...operateSpecs,
};

/** Flags of `migrate`. */
export const migrateSpecs: SpecsFor<MigrateFlags> = {
  src: noVariable(
    needed(["src", "ENDPOINT", "the tablet that the followers leave"], anyText, "--src=HOST:PORT"),
  ),
  des: noVariable(
    needed(["des", "ENDPOINT", "the tablet that they go to"], anyText, "--des=HOST:PORT"),
  ),
  ...tableSpecs,
  ...operateSpecs,
};

/** Flags of `cancelop`. */
export const cancelOpSpecs: SpecsFor<CancelOpFlags> = {
  opId: noVariable(needed(["op_id", "N", "the op, see showopstatus"], opId, "--op_id=42")),
  ...operateSpecs,
};

/** Flags of `deleteop`. */
export const deleteOpSpecs: SpecsFor<DeleteOpFlags> = {
  opId: noVariable(optional(["op_id", "N", "this op, see showopstatus"], opId)),
  status: noVariable(
    optional(["status", "STATUS", "all ops that ended so: done, failed, canceled"], endedStatus),
  ),
  ...operateSpecs,
};

/** Flags of `updatetablealive`. */
export const tableAliveSpecs: SpecsFor<TableAliveFlags> = {
  ...replicaSpecs,
  alive: noVariable(needed(["alive", "yes|no", "how they are marked"], yesOrNo, "--alive=no")),
  force: noVariable(toggle("force", "mark them against what their tablets show too")),
};

/** Flags of `loadtable`. */
export const loadTableSpecs: SpecsFor<LoadTableFlags> = {
  ...replicaSpecs,
  leader: noVariable(toggle("leader", "load as leader; as the nameserver flags it if left out")),
  follower: noVariable(toggle("follower", "load as follower")),
};

function checkDeleteOp({ opId: id, status }: DeleteOpFlags): void {
  if ((id === undefined) !== (status === undefined)) return;
  throw new OpsError({
    code: "usage",
    message:
      id === undefined
        ? "neither --op_id nor --status is given"
        : "--op_id and --status exclude each other",
    hint: "give one of them, such as --op_id=42 or --status=failed",
  });
}

function checkLoadTable({ leader, follower }: LoadTableFlags): void {
  if (!leader || !follower) return;
  throw new OpsError({
    code: "usage",
    message: "--leader and --follower exclude each other",
    hint: "give one of them, or neither for what the nameserver says",
  });
}

/** Commands about single replicas and ops, in the order in which help lists them. */
export const REPLICA_COMMANDS: readonly CommandEntry[] = [
  clusterEntryOf({
    name: "addreplica",
    summary: "make new followers of partitions on a tablet",
    examples: ["addreplica --db=demo_db --table=t1 --pid=0,2,5-7 --endpoint=127.0.0.1:10921"],
    specs: replicaSpecs,
    load: () => import("../commands/addreplica.js"),
  }),
  clusterEntryOf({
    name: "delreplica",
    summary: "delete followers of partitions from a tablet",
    examples: ["delreplica --db=demo_db --table=t1 --pid=0 --endpoint=127.0.0.1:10921"],
    specs: replicaSpecs,
    load: () => import("../commands/delreplica.js"),
  }),
  clusterEntryOf({
    name: "migrate",
    summary: "move followers from one tablet to another",
    examples: [
      "migrate --src=127.0.0.1:10921 --des=127.0.0.1:10922 --db=demo_db --table=t1 --pid=0",
    ],
    specs: migrateSpecs,
    load: () => import("../commands/migrate.js"),
  }),
  clusterEntryOf({
    name: "updatetablealive",
    summary: "mark replicas alive or not in the nameserver's record",
    examples: [
      "updatetablealive --db=demo_db --table=t1 --pid='*' --endpoint=127.0.0.1:10921 --alive=no",
    ],
    specs: tableAliveSpecs,
    load: () => import("../commands/updatetablealive.js"),
  }),
  clusterEntryOf({
    name: "loadtable",
    summary: "load replicas from a tablet's own disk",
    examples: ["loadtable --endpoint=127.0.0.1:10921 --db=demo_db --table=t1 --pid=0"],
    specs: loadTableSpecs,
    check: checkLoadTable,
    load: () => import("../commands/loadtable.js"),
  }),
  clusterEntryOf({
    name: "cancelop",
    summary: "end an op of the nameserver that is queued or running",
    examples: ["cancelop --op_id=42"],
    specs: cancelOpSpecs,
    load: () => import("../commands/cancelop.js"),
  }),
  clusterEntryOf({
    name: "deleteop",
    summary: "take ended ops off the nameserver's list (OpenMLDB 0.8 and later)",
    examples: ["deleteop --op_id=42", "deleteop --status=failed"],
    specs: deleteOpSpecs,
    check: checkDeleteOp,
    load: () => import("../commands/deleteop.js"),
  }),
];
