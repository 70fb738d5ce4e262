import type { Endpoint } from "./cluster-state.js";
import type { Loss } from "./loss.js";
import type { PartitionRef } from "./partition-name.js";

/** Database and table; an empty database means a table without one. */
interface TableFlags {
  readonly db?: string | undefined;
  readonly table: string;
}

/** Partitions of one table: one pid, pids in ascending order, or `all`. */
interface PartitionFlags extends TableFlags {
  readonly pid: number | readonly number[] | "all";
}

/** Replicas of one table on one tablet. */
interface ReplicaFlags extends PartitionFlags {
  readonly endpoint: Endpoint;
}

/** The flags of a printed recovery other than its scope. */
export interface RecoverMore {
  /** Partitions, each with the leader at the same position of `leader`; or the accepted loss with lost tablets. */
  readonly accept_data_loss?: readonly (PartitionRef | Loss)[];
  readonly leader?: readonly Endpoint[];
  readonly lost?: readonly Endpoint[];
  readonly replace?: boolean;
  /** The file that open decisions are written to, and the file that is applied. */
  readonly decisions_out?: string;
  readonly decisions?: string;
  readonly keep_off_while_undecided?: boolean;
  readonly cancel_stuck?: boolean;
}

/** A recovery command with its flags. */
export type RecoverCommand =
  | ({ readonly cmd: "recoverdata"; readonly db?: string | undefined } & RecoverMore)
  | ({
      readonly cmd: "recovertable";
      readonly pid?: number | readonly number[] | undefined;
      readonly endpoint?: Endpoint | undefined;
      readonly force?: boolean;
    } & TableFlags &
      RecoverMore);

/** Flags of the commands that act on a whole tablet. */
interface TabletFlags {
  readonly endpoint: Endpoint;
  readonly concurrency?: number | undefined;
  readonly accept_data_loss?: readonly PartitionRef[];
}

interface UpgradeFlags {
  readonly endpoints: readonly Endpoint[];
  readonly statfile: string;
}

/**
 * A command of this tool as data: its name and its flags by name, in the order in which they are printed.
 * Flags that are undefined or false are not printed. Connection flags are not part of it.
 */
export type ToolCommand =
  | RecoverCommand
  | { readonly cmd: "restore" }
  | {
      readonly cmd: "verify";
      readonly deep?: boolean;
      readonly resume?: boolean;
      readonly db?: string | undefined;
      readonly table?: string | undefined;
      readonly pid?: number | readonly number[] | "all" | undefined;
      readonly sample?: string | undefined;
      readonly show_keys?: boolean;
    }
  | { readonly cmd: "inspect"; readonly lost?: readonly Endpoint[] }
  | { readonly cmd: "confset"; readonly key: "auto_failover"; readonly value: "true" | "false" }
  | { readonly cmd: "confget"; readonly key: "auto_failover" }
  | { readonly cmd: "showopstatus"; readonly filter: readonly string[] }
  | {
      readonly cmd: "gettablestatus" | "getfollower";
      readonly endpoint: Endpoint;
      readonly tid: number;
      readonly pid: number;
    }
  | ({ readonly cmd: "offlineendpoint"; readonly allow_single_replica?: boolean } & TabletFlags)
  | ({ readonly cmd: "recoverendpoint"; readonly need_restore?: boolean } & TabletFlags)
  | ({
      readonly cmd: "changeleader";
      readonly pid: number;
      readonly candidate?: Endpoint | "auto" | undefined;
      readonly no_recover?: boolean;
      readonly accept_data_loss?: boolean;
    } & TableFlags)
  | ({ readonly cmd: "addreplica" | "delreplica" } & ReplicaFlags)
  | ({
      readonly cmd: "migrate";
      readonly src: Endpoint;
      readonly des: Endpoint;
    } & PartitionFlags)
  | ({
      readonly cmd: "updatetablealive";
      readonly alive: "yes" | "no";
      readonly force?: boolean;
    } & ReplicaFlags)
  | ({
      readonly cmd: "loadtable";
      readonly leader?: boolean;
      readonly follower?: boolean;
    } & ReplicaFlags)
  | { readonly cmd: "movetablet"; readonly from: Endpoint; readonly to: Endpoint }
  | { readonly cmd: "cancelop"; readonly op_id: bigint }
  | {
      readonly cmd: "deleteop";
      readonly op_id?: bigint;
      readonly status?: "done" | "failed" | "canceled";
    }
  | {
      readonly cmd: "scaleout";
      readonly dry_run?: boolean;
      readonly keep_surplus?: boolean;
      readonly add_missing?: boolean;
    }
  | {
      readonly cmd: "scalein";
      readonly endpoints: readonly Endpoint[];
      readonly keep_surplus?: boolean;
    }
  | ({ readonly cmd: "pre-upgrade"; readonly allow_single_replica?: boolean } & UpgradeFlags)
  | ({ readonly cmd: "post-upgrade" } & UpgradeFlags);

/** Formats a command for the shell, with the connection flags of this run. */
export type PrintCommand = (command: ToolCommand) => string;

/** Formats the command that repeats a recovery for the same partitions, with further flags. */
export type RecoverAgain = (more?: RecoverMore) => string;

/** Returns the function that formats a repeated recovery. */
export function recoverAgain(command: RecoverCommand, print: PrintCommand): RecoverAgain {
  return (more = {}) =>
    print({ ...command, ...more, lost: [...(command.lost ?? []), ...(more.lost ?? [])] });
}

/** The flags that name one partition. */
export function partitionFlags({ db, table, pid }: PartitionRef) {
  return { db, table, pid };
}
