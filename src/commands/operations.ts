import type { OperateFlags } from "../cli/common-specs.js";
import type {
  CancelOpFlags,
  ChangeLeaderFlags,
  DeleteOpFlags,
  LoadTableFlags,
  MigrateFlags,
  OfflineEndpointFlags,
  RecoverEndpointFlags,
  ReplicaFlags,
  TableAliveFlags,
} from "../cli/operate-specs.js";
import { commandPrinter } from "../cli/printed-command.js";
import type { MoveTabletFlags } from "../cli/recovery-specs.js";
import type {
  PostUpgradeFlags,
  PreUpgradeFlags,
  ScaleInFlags,
  ScaleOutFlags,
} from "../cli/scale-specs.js";
import { usageError } from "../errors.js";
import type { PrintCommand } from "../model/tool-command.js";
import { addMissingOperation } from "../operations/add-missing.js";
import { addReplicaOperation } from "../operations/add-replica.js";
import { cancelOpOperation } from "../operations/cancel-op.js";
import { changeLeaderOperation } from "../operations/change-leader.js";
import { delReplicaOperation } from "../operations/del-replica.js";
import { deleteOpOperation } from "../operations/delete-op.js";
import { loadTableOperation } from "../operations/load-table.js";
import { migrateOperation } from "../operations/migrate.js";
import { moveTabletOperation } from "../operations/move-tablet.js";
import { offlineEndpointOperation } from "../operations/offline-endpoint.js";
import type { Operation } from "../operations/operation.js";
import { postUpgradeOperation } from "../operations/post-upgrade.js";
import { preUpgradeOperation } from "../operations/pre-upgrade.js";
import { recoverEndpointOperation } from "../operations/recover-endpoint.js";
import { scaleInOperation } from "../operations/scalein.js";
import { scaleOutOperation } from "../operations/scaleout.js";
import { tableAliveOperation } from "../operations/table-alive.js";
import type { Command } from "./command.js";
import { operate } from "./operate.js";
import { checkedStatStore } from "./stat-store.js";

/** Creates the command that runs an operation; see {@link operate}. */
function commandOf<F extends OperateFlags>(
  operation: (flags: F, print: PrintCommand) => Operation,
): Command<F> {
  return {
    run: async (flags, io) => operate(flags, io, operation(flags, commandPrinter(flags))),
  };
}

/** Gives one partition another leader. */
export const changeLeader = commandOf((flags: ChangeLeaderFlags, print) =>
  changeLeaderOperation({ ...flags, recovers: !flags.noRecover, print }),
);

/** Takes a tablet out of service. */
export const offlineEndpoint = commandOf((flags: OfflineEndpointFlags, print) =>
  offlineEndpointOperation({ ...flags, print }),
);

/** Recovers the replicas of a tablet that are marked not alive. */
export const recoverEndpoint = commandOf((flags: RecoverEndpointFlags, print) =>
  recoverEndpointOperation({ ...flags, print }),
);

/** Creates new followers on a tablet. */
export const addReplica = commandOf((flags: ReplicaFlags, print) =>
  addReplicaOperation({ ...flags, print }),
);

/** Deletes followers from a tablet. */
export const delReplica = commandOf((flags: ReplicaFlags, print) =>
  delReplicaOperation({ ...flags, print }),
);

/** Moves followers from one tablet to another. */
export const migrate = commandOf((flags: MigrateFlags, print) =>
  migrateOperation({ ...flags, print }),
);

/** Marks replicas alive or not alive. */
export const updateTableAlive = commandOf((flags: TableAliveFlags, print) =>
  tableAliveOperation({ ...flags, print }),
);

/** Loads replicas from a tablet's own disk, in the role that the record gives them unless a flag names one. */
export const loadTable = commandOf((flags: LoadTableFlags, print) => {
  const role = flags.leader ? "leader" : flags.follower ? "follower" : undefined;
  return loadTableOperation({ ...flags, role, print });
});

/** Cancels an op that is queued or running. */
export const cancelOp = commandOf((flags: CancelOpFlags, print) =>
  cancelOpOperation({ ...flags, print }),
);

/** Removes ended ops from the nameserver's list. */
export const deleteOp = commandOf(({ op, opId, status }: DeleteOpFlags, print) => {
  const wanted = op ?? opId ?? status;
  if (wanted === undefined) throw usageError("no op is given");
  return deleteOpOperation(typeof wanted === "bigint" ? { op: wanted } : { status: wanted }, print);
});

/** Records the new address of a tablet that has the disk of another one. */
export const moveTablet = commandOf((flags: MoveTabletFlags, print) =>
  moveTabletOperation({ ...flags, print }),
);

/** Spreads replicas and leaders over all healthy tablets, or only adds missing replicas. */
export const scaleOut = commandOf((flags: ScaleOutFlags) =>
  flags.addsMissing ? addMissingOperation(flags.concurrency) : scaleOutOperation(flags),
);

/** Moves every replica off some tablets. */
export const scaleIn = commandOf((flags: ScaleInFlags, print) =>
  scaleInOperation({ ...flags, print }),
);

/** Moves the leaders off a tablet before it is stopped. */
export const preUpgrade = commandOf((flags: PreUpgradeFlags, print) =>
  preUpgradeOperation({ ...upgradeOptions(flags), allowsSingle: flags.allowsSingle, print }),
);

/** Moves the leaders back to a tablet after its upgrade. */
export const postUpgrade = commandOf((flags: PostUpgradeFlags, print) =>
  postUpgradeOperation({ ...upgradeOptions(flags), print }),
);

/** The common options of both upgrade commands. Checks the statfile before connecting. @throws OpsError `usage`. */
function upgradeOptions(flags: PostUpgradeFlags) {
  const { endpoints, concurrency, statfile } = flags;
  return { endpoint: endpoints[0] ?? "", concurrency, store: checkedStatStore(statfile, flags) };
}
