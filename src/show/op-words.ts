import type { OpStatus } from "../model/cluster-state.js";

/** OpenMLDB's words for the states of an op (api.proto, TaskStatus). */
export const STATUS_WORDS: Readonly<Record<OpStatus, string>> = {
  inited: "kInited",
  doing: "kDoing",
  done: "kDone",
  failed: "kFailed",
  canceled: "kCanceled",
  other: "unknown",
};

/** The values of `--filter`: statuses (api.proto, TaskStatus), then types (api.proto, OPType). */
export const OP_WORDS = [
  ...["kInited", "kDoing", "kDone", "kFailed", "kCanceled"],
  ...["kMakeSnapshotOP", "kAddReplicaOP", "kDelReplicaOP", "kChangeLeaderOP"],
  ...["kOfflineReplicaOP", "kReAddReplicaOP", "kReAddReplicaNoSendOP"],
  ...["kReAddReplicaWithDropOP", "kReAddReplicaSimplifyOP", "kUpdateTableAliveOP"],
  ...["kMigrateOP", "kReLoadTableOP", "kUpdatePartitionStatusOP", "kRecoverTableOP"],
  ...["kCreateTableRemoteOP", "kDropTableRemoteOP", "kAddReplicaSimplyRemoteOP"],
  ...["kDelReplicaRemoteOP", "kAddReplicaRemoteOP", "kAddIndexOP", "kDeployOP"],
] as const;
