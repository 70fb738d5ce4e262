import { type CommonFlags, commonSpecs } from "../cli/common-specs.js";
import type { FlagSpec } from "../cli/spec.js";
import { type OpenedCluster, openCluster } from "../cluster/open.js";
import { closeQuietly, openOptions } from "../commands/connect.js";
import { usageError } from "../errors.js";
import type { OnEvent } from "../model/outcome.js";

/** Options of {@link connect}; the command's flags of the same names have the details. */
export interface ConnectOptions {
  /** Servers of ZooKeeper as `host:port`, separated by commas. */
  readonly zkCluster: string;
  /** The `zk_root_path` of the cluster's own configuration, such as `/openmldb`. */
  readonly zkRootPath: string;
  /** Scheme of `zkCert`; `digest` if undefined. */
  readonly zkAuthSchema?: string | undefined;
  /** Credentials for ZooKeeper as `user:password`; none if undefined. */
  readonly zkCert?: string | undefined;
  /** Limit for connecting to ZooKeeper, milliseconds; 10 000 if undefined. */
  readonly zkTimeoutMs?: number | undefined;
  /** The requested session timeout of ZooKeeper, milliseconds; 10 000 if undefined. */
  readonly zkSessionTimeoutMs?: number | undefined;
  /** OpenMLDB user; undefined if the servers do not check users. */
  readonly user?: string | undefined;
  /** Password of `user`; empty if undefined. */
  readonly password?: string | undefined;
  /** Deadline of one call to a nameserver or tablet, milliseconds; 10 000 if undefined. */
  readonly rpcTimeoutMs?: number | undefined;
  /** The largest answer accepted from a nameserver or tablet, bytes; 128 MiB if undefined. */
  readonly maxAnswerBytes?: number | undefined;
  /** Limit of concurrent calls to the nameserver; 16 if undefined. */
  readonly nsConcurrency?: number | undefined;
  /** Aborts connecting. Each function that uses the connection takes its own signal. */
  readonly signal?: AbortSignal | undefined;
  /** Receives warnings about the connection, one line each. */
  readonly onWarning?: ((text: string) => void) | undefined;
}

/** A connection to one cluster, made by {@link connect}. */
export interface Connection {
  /** Servers of ZooKeeper as `host:port`. */
  readonly zkCluster: readonly string[];
  /** Starts with `/` and does not end with it. */
  readonly zkRootPath: string;
  /** Closes the ZooKeeper session and all connections, within a second. Never throws. */
  close(): Promise<void>;
}

/** The internal parts of a connection, for the functions of the library. */
export interface ConnectionParts {
  readonly opened: OpenedCluster;
  readonly flags: CommonFlags;
  /** Passes warnings to `onWarning` of the connection. */
  readonly onEvent: OnEvent;
}

const PARTS = new WeakMap<Connection, ConnectionParts>();

/**
 * Connects to the ZooKeeper of a cluster. Makes no call to OpenMLDB, and writes nothing.
 *
 * @throws OpsError `usage` for a malformed option, `zookeeper-unreachable` or `zookeeper-auth`.
 */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const flags = flagsOf(options);
  const onWarning = options.onWarning ?? (() => {});
  const { signal } = options;
  const opened = await openCluster(openOptions(flags, { onNote: onWarning, signal }));
  const connection: Connection = {
    zkCluster: flags.zkCluster,
    zkRootPath: opened.rootPath,
    async close() {
      PARTS.delete(connection);
      await closeQuietly(opened.cluster, () => {});
    },
  };
  const onEvent: OnEvent = (event) => event.kind === "warning" && onWarning(event.text);
  PARTS.set(connection, { opened, flags, onEvent });
  return connection;
}

/**
 * Returns the internal parts of a connection.
 *
 * @throws OpsError `usage` if it was closed, or not made by {@link connect}.
 */
export function partsOf(connection: Connection): ConnectionParts {
  const parts = PARTS.get(connection);
  if (parts !== undefined) return parts;
  throw usageError("the connection is closed, or connect() did not make it");
}

/** Converts the options to the command's flags, with the same parsers and defaults. */
function flagsOf(options: ConnectOptions): CommonFlags {
  const { user, password = "", zkCert } = options;
  const specs = commonSpecs;
  return {
    cluster: undefined,
    config: undefined,
    openmldbHome: undefined,
    zkCluster: optionOf(specs.zkCluster, "zkCluster", options.zkCluster),
    zkRootPath: optionOf(specs.zkRootPath, "zkRootPath", options.zkRootPath),
    zkAuthSchema: optionOf(specs.zkAuthSchema, "zkAuthSchema", options.zkAuthSchema),
    zkCert,
    zkTimeoutMs: timeOf(specs.zkTimeoutMs, "zkTimeoutMs", options.zkTimeoutMs),
    zkSessionTimeoutMs: timeOf(
      specs.zkSessionTimeoutMs,
      "zkSessionTimeoutMs",
      options.zkSessionTimeoutMs,
    ),
    user,
    password: { text: password, file: undefined },
    rpcTimeoutMs: timeOf(specs.rpcTimeoutMs, "rpcTimeoutMs", options.rpcTimeoutMs),
    maxAnswerBytes: optionOf(specs.maxAnswerBytes, "maxAnswerBytes", options.maxAnswerBytes),
    nsConcurrency: optionOf(specs.nsConcurrency, "nsConcurrency", options.nsConcurrency),
    output: "json",
    logLevel: "info",
    logFile: undefined,
    noColor: true,
  };
}

/** @throws OpsError `usage`. */
function optionOf<T>(spec: FlagSpec<T>, name: string, value: string | number | undefined): T {
  if (value === undefined && "value" in spec.absent) return spec.absent.value;
  // A JavaScript caller may leave out a required option.
  return spec.parse(String(value ?? ""), name);
}

function timeOf(spec: FlagSpec<number>, name: string, ms: number | undefined): number {
  return optionOf(spec, name, ms === undefined ? undefined : `${ms}ms`);
}
