import type { OperateFlags, operateSpecs } from "../cli/common-specs.js";
import type {
  cancelOpSpecs,
  changeLeaderSpecs,
  deleteOpSpecs,
  loadTableSpecs,
  migrateSpecs,
  offlineEndpointSpecs,
  recoverEndpointSpecs,
  replicaSpecs,
  tableAliveSpecs,
} from "../cli/operate-specs.js";
import { commandPrinter } from "../cli/printed-command.js";
import type { moveTabletSpecs } from "../cli/recovery-specs.js";
import type {
  PostUpgradeFlags,
  postUpgradeSpecs,
  preUpgradeSpecs,
  scaleInSpecs,
  scaleOutSpecs,
} from "../cli/scale-specs.js";
import type { FlagsOf } from "../cli/spec.js";
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

/** Creates the command that runs an operation, whose options are the flags of the command; see {@link operate}. */
function commandOf<S extends typeof operateSpecs>(
  operation: (options: FlagsOf<S> & { readonly print: PrintCommand }) => Operation,
): Command<FlagsOf<S>> {
  return {
    run: async (flags, io) =>
      operate(flags, io, operation({ ...flags, print: commandPrinter(flags) })),
  };
}

/** The commands that run an operation. */
export const OPERATIONS = {
  changeLeader: commandOf<typeof changeLeaderSpecs>((options) =>
    changeLeaderOperation({ ...options, recovers: !options.noRecover }),
  ),
  offlineEndpoint: commandOf<typeof offlineEndpointSpecs>(offlineEndpointOperation),
  recoverEndpoint: commandOf<typeof recoverEndpointSpecs>(recoverEndpointOperation),
  addReplica: commandOf<typeof replicaSpecs>(addReplicaOperation),
  delReplica: commandOf<typeof replicaSpecs>(delReplicaOperation),
  migrate: commandOf<typeof migrateSpecs>(migrateOperation),
  updateTableAlive: commandOf<typeof tableAliveSpecs>(tableAliveOperation),
  loadTable: commandOf<typeof loadTableSpecs>((options) => {
    const role = options.leader ? "leader" : options.follower ? "follower" : undefined;
    return loadTableOperation({ ...options, role });
  }),
  cancelOp: commandOf<typeof cancelOpSpecs>(cancelOpOperation),
  deleteOp: commandOf<typeof deleteOpSpecs>(({ op, opId, status, print }) => {
    const wanted = op ?? opId ?? status;
    if (wanted === undefined) throw usageError("no op is given");
    const options = typeof wanted === "bigint" ? { op: wanted } : { status: wanted };
    return deleteOpOperation(options, print);
  }),
  moveTablet: commandOf<typeof moveTabletSpecs>(moveTabletOperation),
  scaleOut: commandOf<typeof scaleOutSpecs>((options) =>
    options.addsMissing ? addMissingOperation(options.concurrency) : scaleOutOperation(options),
  ),
  scaleIn: commandOf<typeof scaleInSpecs>(scaleInOperation),
  preUpgrade: commandOf<typeof preUpgradeSpecs>((options) =>
    preUpgradeOperation({ ...options, ...upgraded(options) }),
  ),
  postUpgrade: commandOf<typeof postUpgradeSpecs>((options) =>
    postUpgradeOperation({ ...options, ...upgraded(options) }),
  ),
};

/** The upgraded tablet and its statfile, which is checked before connecting. @throws OpsError `usage`. */
function upgraded({ endpoints, statfile, ...cluster }: PostUpgradeFlags & OperateFlags) {
  return { endpoint: endpoints[0] ?? "", store: checkedStatStore(statfile, cluster) };
}
