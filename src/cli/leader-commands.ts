import { type CommandEntry, clusterEntryOf } from "./command-entry.js";
import { operateSpecs } from "./flag-specs.js";
import { anyText, integer, listOf } from "./flag-values.js";
import type {
  ChangeLeaderFlags,
  OfflineEndpointFlags,
  RecoverEndpointFlags,
} from "./flags-operate.js";
import { needed, optional, type SpecsFor, toggle, withNone } from "./spec-makers.js";

/** Flags of `changeleader`. */
export const changeLeaderSpecs: SpecsFor<ChangeLeaderFlags> = {
  ...operateSpecs,
  db: optional(["db", "NAME", "database of the table, if several have one of that name"], anyText),
  table: needed(["table", "NAME", "table"], anyText, "--table=t1"),
  pid: needed(["pid", "N", "partition"], integer(0, 1_000_000), "--pid=0"),
  candidate: optional(
    ["candidate", "ENDPOINT", "the follower that shall lead; auto: the one that holds most"],
    anyText,
  ),
  noRecover: toggle("no_recover", "leave the old leader marked not alive"),
  acceptDataLoss: {
    ...toggle("accept_data_loss", "give up entries that the new leader does not hold"),
    hasEnvironment: false,
  },
};

const endpointSpecs: Pick<
  SpecsFor<OfflineEndpointFlags>,
  "endpoint" | "concurrency" | "acceptDataLoss"
> = {
  endpoint: needed(["endpoint", "ENDPOINT", "tablet"], anyText, "--endpoint=10.0.0.1:9527"),
  concurrency: optional(
    ["concurrency", "N", "queues of the nameserver to use, 1 to 8"],
    integer(1, 8),
  ),
  acceptDataLoss: {
    ...withNone(
      ["accept_data_loss", "DB.TABLE:PID", "give up entries there; only what is named"],
      listOf(/^(\S+:\d+)$/, "a partition, such as db1.t1:0"),
    ),
    isList: true,
    hasEnvironment: false,
  },
};

/** Flags of `offlineendpoint`. */
export const offlineEndpointSpecs: SpecsFor<OfflineEndpointFlags> = {
  ...operateSpecs,
  ...endpointSpecs,
  allowSingleReplica: toggle(
    "allow_single_replica",
    "let partitions that have their only replica there go out of service",
  ),
};

/** Flags of `recoverendpoint`. */
const recoverEndpointSpecs: SpecsFor<RecoverEndpointFlags> = {
  ...operateSpecs,
  ...endpointSpecs,
  needRestore: toggle("need_restore", "make it lead again what it led before it went"),
};

/** Commands about who leads, and about a tablet that goes and comes back. */
export const LEADER_COMMANDS: readonly CommandEntry[] = [
  clusterEntryOf({
    name: "changeleader",
    summary: "give a partition another leader, without losing a row",
    examples: [
      "changeleader --db=db1 --table=t1 --pid=0 --candidate=auto",
      "changeleader --db=db1 --table=t1 --pid=0",
    ],
    specs: changeLeaderSpecs,
    load: () => import("../commands/changeleader.js"),
  }),
  clusterEntryOf({
    name: "offlineendpoint",
    summary: "take a tablet out of service: others lead what it led",
    examples: ["offlineendpoint --endpoint=10.0.0.1:9527"],
    specs: offlineEndpointSpecs,
    load: () => import("../commands/offlineendpoint.js"),
  }),
  clusterEntryOf({
    name: "recoverendpoint",
    summary: "bring the replicas of a tablet back that are marked not alive",
    examples: ["recoverendpoint --endpoint=10.0.0.1:9527 --need_restore"],
    specs: recoverEndpointSpecs,
    load: () => import("../commands/recoverendpoint.js"),
  }),
];
