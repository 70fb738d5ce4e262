import { setFlagsFromString } from "node:v8";
import type { CommonFlags, GlobalFlags } from "../cli/common-specs.js";
import type { Cluster } from "../cluster/cluster.js";
import { type OpenedCluster, type OpenOptions, openCluster } from "../cluster/open.js";
import type { ZooKeeperOptions } from "../cluster/zookeeper-client.js";
import { messageOf } from "../errors.js";
import type { Endpoint } from "../model/cluster-state.js";
import { within } from "../util/within.js";
import type { CommandIo } from "./command.js";

/** Options of {@link withCluster}. */
export interface ConnectOptions {
  /**
   * True if a signal aborts calls in flight and refuses later ones. False by default: a command that changes the
   * cluster needs calls after a signal, and checks `io.signal` itself.
   */
  readonly endsCallsOnSignal?: boolean;
  /** Receives the leading nameserver each time that it was read from ZooKeeper. */
  readonly onLeader?: (leader: Endpoint) => void;
}

/** Limit in milliseconds for closing the connections. */
const CLOSE_MS = 1_000;

/**
 * Opens the cluster that the flags name, passes it to `use`, and closes it in any case.
 *
 * @returns The result of `use`.
 * @throws The errors of `openCluster` and `use`; the reason of a signal that comes while connecting.
 */
export async function withCluster<T>(
  flags: CommonFlags,
  io: CommandIo,
  use: (opened: OpenedCluster) => Promise<T>,
  options: ConnectOptions = {},
): Promise<T> {
  const opened = await open(flags, io, options);
  try {
    return await use(opened);
  } finally {
    await closeQuietly(opened.cluster, (error) =>
      io.log.debug(`closing the connections failed: ${messageOf(error)}`),
    );
  }
}

async function open(
  flags: CommonFlags,
  io: CommandIo,
  { endsCallsOnSignal = false, onLeader }: ConnectOptions,
) {
  io.signal.throwIfAborted();
  try {
    return await openCluster({
      ...openOptions(flags, { onNote: (text) => io.log.warn(text), signal: io.signal }),
      signal: endsCallsOnSignal ? io.signal : undefined,
      onLeader,
      onLargeAnswer: collectOften,
    });
  } catch (error) {
    // If the signal was aborted, report that and not the error that it caused.
    io.signal.throwIfAborted();
    throw error;
  }
}

/**
 * Makes V8 collect garbage when the heap has grown by 60 % since the last collection. With 80,000 calls of `verify` V8
 * would otherwise keep 700 MB of garbage beside 190 MB in use, and pause for 0.3 s to collect it. Not set at start-up:
 * with changed flags V8 cannot use the code caches of Node and of the bundle, and a short command takes 10 % longer.
 */
function collectOften(): void {
  setFlagsFromString("--heap-growing-percent=60");
}

/** The flags of a connection to ZooKeeper. */
type ZooKeeperFlags = Pick<
  CommonFlags,
  "zkCluster" | "zkTimeoutMs" | "zkSessionTimeoutMs" | "zkAuthSchema" | "zkCert"
>;

/** Converts flags to options for connecting to ZooKeeper. @param on `signal` aborts connecting. */
export function zooKeeperOptions(
  flags: ZooKeeperFlags,
  on: Pick<ZooKeeperOptions, "onNote" | "signal">,
): ZooKeeperOptions {
  return {
    hosts: flags.zkCluster.join(","),
    timeoutMs: flags.zkTimeoutMs,
    sessionTimeoutMs: flags.zkSessionTimeoutMs,
    authScheme: flags.zkAuthSchema,
    authCert: flags.zkCert,
    ...on,
  };
}

/** Converts flags to options for opening the cluster. @param on `signal` aborts connecting. */
export function openOptions(
  flags: Omit<CommonFlags, keyof GlobalFlags>,
  on: Pick<ZooKeeperOptions, "onNote" | "signal">,
): OpenOptions {
  return {
    zooKeeper: zooKeeperOptions(flags, on),
    rootPath: flags.zkRootPath,
    rpcTimeoutMs: flags.rpcTimeoutMs,
    maxAnswerBytes: flags.maxAnswerBytes,
    nsConcurrency: flags.nsConcurrency,
    user: flags.user,
    password: flags.password.text,
  };
}

/** Closes the connections within {@link CLOSE_MS}. Never throws: errors go to `onFailed`. */
export async function closeQuietly(
  cluster: Cluster,
  onFailed: (error: unknown) => void,
): Promise<void> {
  await within(cluster.clock, CLOSE_MS, "the connections", cluster.close()).catch(onFailed);
}
