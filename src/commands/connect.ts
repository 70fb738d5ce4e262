import { setFlagsFromString } from "node:v8";
import type { CommonFlags } from "../cli/common-specs.js";
import type { Cluster } from "../cluster/cluster.js";
import { type OpenedCluster, type OpenOptions, openCluster } from "../cluster/open.js";
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
 * @param use Receives the cluster and its ZooKeeper client.
 * @returns The result of `use`.
 * @throws The errors of `openCluster` and `use`; the reason of a signal that comes while connecting.
 */
export async function withCluster<T>(
  flags: CommonFlags,
  io: CommandIo,
  use: (cluster: Cluster, opened: OpenedCluster) => Promise<T>,
  options: ConnectOptions = {},
): Promise<T> {
  const opened = await open(flags, io, options);
  try {
    return await use(opened.cluster, opened);
  } finally {
    await closeQuietly(opened.cluster, (error) =>
      io.log.debug("closing the connections failed", { error }),
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
    const on = {
      onNote: (text: string) => io.log.warn(text),
      connecting: io.signal,
      calls: endsCallsOnSignal ? io.signal : undefined,
      onLeader,
    };
    return await openCluster({ ...openOptions(flags, on), onLargeAnswer: collectOften });
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

/**
 * Converts flags to options for opening the cluster.
 *
 * @param on `connecting` aborts connecting; `calls` aborts calls in flight and refuses later ones.
 */
export function openOptions(
  flags: CommonFlags,
  on: {
    readonly onNote: (text: string) => void;
    readonly connecting?: AbortSignal | undefined;
    readonly calls?: AbortSignal | undefined;
    readonly onLeader?: ((leader: Endpoint) => void) | undefined;
  },
): OpenOptions {
  return {
    zooKeeper: {
      hosts: flags.zkCluster.join(","),
      timeoutMs: flags.zkTimeoutMs,
      sessionTimeoutMs: flags.zkSessionTimeoutMs,
      authScheme: flags.zkAuthSchema,
      authCert: flags.zkCert,
      onNote: on.onNote,
      signal: on.connecting,
    },
    rootPath: flags.zkRootPath,
    rpcTimeoutMs: flags.rpcTimeoutMs,
    maxAnswerBytes: flags.maxAnswerBytes,
    nsConcurrency: flags.nsConcurrency,
    user: flags.user,
    password: flags.password.text,
    onLeader: on.onLeader,
    signal: on.calls,
  };
}

/** Closes the connections within {@link CLOSE_MS}. Never throws: errors go to `onFailed`. */
export async function closeQuietly(
  cluster: Cluster,
  onFailed: (error: unknown) => void,
): Promise<void> {
  await within(cluster.clock, CLOSE_MS, "the connections", cluster.close()).catch(onFailed);
}
