import { type CommonFlags, commonSpecs } from "../cli/common-specs.js";
import type { FlagSpec } from "../cli/spec.js";
import { type OpenedCluster, openCluster } from "../cluster/open.js";
import { closeQuietly, openOptions } from "../commands/connect.js";
import { OpsError } from "../errors.js";
import type { KnownOffsetsStore } from "../model/evidence.js";
import type { OnEvent } from "../model/outcome.js";
import { createKnownOffsetsStore } from "../run/known-offsets-store.js";

/** Where a cluster is, and how to talk to it; the command's flags of the same names say more. */
export interface ConnectOptions {
  /** Servers of ZooKeeper as `host:port`, several with commas between them. */
  readonly zkCluster: string;
  /** The `zk_root_path` of the cluster's own configuration, such as `/openmldb`. */
  readonly zkRootPath: string;
  /** Scheme of `zkCert`; `digest` if undefined. */
  readonly zkAuthSchema?: string | undefined;
  /** Credentials for ZooKeeper as `user:password`; none if undefined. */
  readonly zkCert?: string | undefined;
  /** How long connecting to ZooKeeper may take, milliseconds; 10 000 if undefined. */
  readonly zkTimeoutMs?: number | undefined;
  /** The session timeout that ZooKeeper is asked for, milliseconds; 10 000 if undefined. */
  readonly zkSessionTimeoutMs?: number | undefined;
  /** OpenMLDB user; undefined if the servers do not check users. */
  readonly user?: string | undefined;
  /** Password of `user`; empty if undefined. */
  readonly password?: string | undefined;
  /** How long one call to a nameserver or tablet may take, milliseconds; 10 000 if undefined. */
  readonly rpcTimeoutMs?: number | undefined;
  /** The largest answer accepted from a nameserver or tablet, bytes; 128 MiB if undefined. */
  readonly maxAnswerBytes?: number | undefined;
  /** Calls to the nameserver in flight at once; 16 if undefined. */
  readonly nsConcurrency?: number | undefined;
  /** Ends connecting. Each function that uses the connection takes a signal of its own. */
  readonly signal?: AbortSignal | undefined;
  /** Told what an operator should know of the connection, one line each; nothing is told if undefined. */
  readonly onWarning?: ((text: string) => void) | undefined;
}

/** A connection to one cluster, made by {@link connect}. */
export interface Connection {
  /** Servers of ZooKeeper as `host:port`. */
  readonly zkCluster: readonly string[];
  /** Starts with `/` and does not end with it. */
  readonly zkRootPath: string;
  /** Ends the ZooKeeper session and all connections, within a second. Never throws. */
  close(): Promise<void>;
}

/** What the functions of the library use of a connection, and what its owner does not see. */
export interface ConnectionParts {
  readonly opened: OpenedCluster;
  readonly flags: CommonFlags;
  readonly onWarning: (text: string) => void;
}

const PARTS = new WeakMap<Connection, ConnectionParts>();

/**
 * Connects to the ZooKeeper of a cluster. Nothing is asked of OpenMLDB yet, and nothing is written.
 *
 * @throws OpsError `usage` for a malformed option, `zookeeper-unreachable` or `zookeeper-auth`.
 */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const flags = flagsOf(options);
  const onWarning = options.onWarning ?? (() => {});
  const { signal } = options;
  const opened = await openCluster(openOptions(flags, { onNote: onWarning, connecting: signal }));
  const connection: Connection = {
    zkCluster: flags.zkCluster,
    zkRootPath: opened.rootPath,
    async close() {
      PARTS.delete(connection);
      await closeQuietly(opened.cluster, () => {});
    },
  };
  PARTS.set(connection, { opened, flags, onWarning });
  return connection;
}

/**
 * What is behind a connection.
 *
 * @throws OpsError `usage` if it was closed, or not made by {@link connect}.
 */
export function partsOf(connection: Connection): ConnectionParts {
  const parts = PARTS.get(connection);
  if (parts !== undefined) return parts;
  throw new OpsError({
    code: "usage",
    message: "the connection is closed, or connect() did not make it",
  });
}

/** The options as the command has them, read by the same parsers and with the same defaults. */
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
  // A program without types may leave out what is needed.
  return spec.parse(String(value ?? ""), name);
}

function timeOf(spec: FlagSpec<number>, name: string, ms: number | undefined): number {
  return optionOf(spec, name, ms === undefined ? undefined : `${ms}ms`);
}

/**
 * What runs note about partitions that lack rows.
 *
 * @param onEvent Told what cannot be read; the connection's owner if left out.
 */
export function knownOffsetsOf(connection: Connection, onEvent?: OnEvent): KnownOffsetsStore {
  const { opened, onWarning } = partsOf(connection);
  const tell: OnEvent = (event) => event.kind === "warning" && onWarning(event.text);
  return createKnownOffsetsStore({
    ...opened,
    clock: opened.cluster.clock,
    onEvent: onEvent ?? tell,
  });
}
