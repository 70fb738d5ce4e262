import type { TableInfo } from "../../gen/openmldb/nameserver_pb.js";
import type { NameserverState } from "./nameserver-state.js";
import type { QueuedOp } from "./ops.js";

/** The op whose steps are run, with its table. */
export interface OpScope {
  readonly server: NameserverState;
  readonly op: QueuedOp;
  readonly table: TableInfo;
  readonly tid: number;
  readonly pid: number;
}
