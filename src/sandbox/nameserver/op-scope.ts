import type { TableInfo } from "../../gen/openmldb/nameserver_pb.js";
import type { NameserverState } from "./nameserver-state.js";
import type { QueuedOp } from "./ops.js";

/** What the steps of one op are about. */
export interface OpScope {
  readonly server: NameserverState;
  readonly op: QueuedOp;
  readonly table: TableInfo;
  readonly tid: number;
  readonly pid: number;
}
