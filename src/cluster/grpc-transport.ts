import type {
  DescMessage,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { create, toBinary } from "@bufbuild/protobuf";
import type { ChannelOptions } from "@grpc/grpc-js";
import { Channel, connectivityState, credentials, Metadata, status } from "@grpc/grpc-js";
import { messageOf, OpsError } from "../errors.js";
import { TabletServer } from "../gen/openmldb/api_pb.js";
import { memoized } from "../util/memoized.js";
import { oneLine } from "../util/text.js";
import { MAX_ANSWER_BYTES } from "./answer-size.js";
import type { Connection } from "./cluster.js";
import { decodeInTurns, type Repeats } from "./decode.js";
import { failure, interruption } from "./failure.js";
import { type CallName, fromStatus, tooLate } from "./grpc-status.js";
import type { CallOptions, Transport } from "./transport.js";

/**
 * The HTTP/2 flow-control window in bytes. brpc resets a stream (RST_STREAM code 3) if the whole body does not fit
 * the rest of the connection's window, and grpc-js extends the window only after half of it was used. The window
 * therefore always has room for two of the largest answers. It takes no memory by itself, and limits unread data
 * from a peer. HTTP/2 allows at most 2^31-1.
 */
function flowControlWindow(maxAnswerBytes: number): number {
  return Math.min(2 ** 31 - 1, 4 * maxAnswerBytes);
}

/** The status for a call that ends with OK but without a message. */
const NO_MESSAGE = { code: status.UNIMPLEMENTED, details: "no message in the answer" };

const channelOptions: ChannelOptions = {
  // Reconnect to a restarted peer quickly: the pause grows from 50 to 150 ms (+- 20 %).
  "grpc.initial_reconnect_backoff_ms": 50,
  "grpc.max_reconnect_backoff_ms": 150,
  "grpc.dns_min_time_between_resolutions_ms": 1000,
  // Only the clients decide which calls are repeated.
  "grpc.enable_retries": 0,
  // Never share connections: brpc checks the authorization of the first call of a connection only.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_http_proxy": 0,
  "grpc.service_config_disable_resolution": 1,
  // Nothing reads the channelz counters.
  "grpc.enable_channelz": 0,
};

/** The size of an answer for which `onLargeAnswer` runs: ShowTable of some 140,000 replicas. */
const LARGE_ANSWER_BYTES = 16 * 1024 * 1024;

/** The polled method: during loads its answers have hundreds of replicas, mostly unchanged. */
const polled: DescMethodUnary = TabletServer.method.getTableStatus;

/**
 * The transport over gRPC on plaintext HTTP/2, as brpc serves it: one channel for each address, opened with its
 * first call.
 *
 * A call on a broken connection fails at once instead of waiting for its deadline. The channel reconnects in the
 * background about every 150 ms, and at once with the next call after a working connection was lost.
 *
 * Answers that cannot be decoded or lack a required field fail with `bad-answer`. A large answer is decoded in
 * pieces and never blocks the event loop for long.
 *
 * @param options `authorization`: the metadata of every call; see `authorizationFor`. `maxAnswerBytes`: a larger
 *   answer, compressed or decompressed, fails with `bad-answer`; 128 MiB if left out. `onLargeAnswer`: called
 *   before an answer of more than 16 MiB is decoded, so that the caller can adjust garbage collection.
 */
export function createGrpcTransport(options: {
  readonly authorization: string;
  readonly maxAnswerBytes?: number | undefined;
  readonly onLargeAnswer?: (() => void) | undefined;
}): Transport {
  const { maxAnswerBytes = MAX_ANSWER_BYTES } = options;
  const connections = new Map<string, Peer>();
  const inFlight = callsInFlight();
  const repeats = polledAnswers();
  const metadata = new Metadata();
  metadata.set("authorization", options.authorization);
  let isClosed = false;

  function connectionOf(address: string): Peer {
    let connection = connections.get(address);
    if (connection === undefined) {
      const channel = new Channel(`dns:${address}`, credentials.createInsecure(), {
        ...channelOptions,
        "grpc-node.flow_control_window": flowControlWindow(maxAnswerBytes),
        // Also limits the decompressed size (grpc-js 1.14: compression-filter).
        "grpc.max_receive_message_length": maxAnswerBytes,
      });
      connection = { channel, answeredAt: undefined, mark: undefined };
      connections.set(address, connection);
      identifyConnections(connection, address);
    }
    return connection;
  }

  /** Closes a connection without an answer since `silentSince` (the peer vanished). The next call reconnects. */
  function forget(address: string, connection: Peer, silentSince: number): void {
    const { answeredAt = Number.NEGATIVE_INFINITY } = connection;
    if (answeredAt > silentSince || connections.get(address) !== connection) return;
    connections.delete(address);
    // Calls in flight keep their deadlines.
    connection.channel.close();
  }

  return {
    async unary<I extends DescMessage, O extends DescMessage>(
      address: string,
      method: DescMethodUnary<I, O>,
      request: MessageInitShape<I>,
      { timeoutMs, signal }: CallOptions,
    ): Promise<MessageShape<O>> {
      if (signal?.aborted === true || isClosed) {
        throw interruption(signal);
      }
      const name = { address, method: method.name, timeoutMs, maxAnswerBytes };
      const body = encode(name, method.input, request);
      const path = `/${method.parent.typeName}/${method.name}`;
      const call = { name, path, body, metadata, signal, inFlight };
      const connection = connectionOf(address);
      const answer = await send(connection, call, (since) => forget(address, connection, since));
      connection.answeredAt = performance.now();
      if (answer.length > LARGE_ANSWER_BYTES) options.onLargeAnswer?.();
      return decode(name, method.output, answer, repeats.of(address, method));
    },
    connection: (address) => connections.get(address)?.mark,
    close(): void {
      isClosed = true;
      inFlight.endAll();
      for (const { channel } of connections.values()) {
        channel.close();
      }
      connections.clear();
      repeats.clear();
    },
  };
}

/** The channel to one address, and its state. */
interface Peer {
  readonly channel: Channel;
  /** Time of the last answer, milliseconds of `performance.now()`; undefined if it has not answered yet. */
  answeredAt: number | undefined;
  /** The identity of its current connection; undefined if there is none. */
  mark: Connection | undefined;
}

/**
 * Assigns a new identity to each connection of a channel. The library calls a watcher once, immediately on the next
 * change of state (grpc-js 1.14: watchConnectivityState), so it is registered again each time.
 */
function identifyConnections(peer: Peer, address: string): void {
  const watch = () => {
    const state = peer.channel.getConnectivityState(false);
    peer.mark = state === connectivityState.READY ? Symbol(address) : undefined;
    if (state === connectivityState.SHUTDOWN) return;
    peer.channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, watch);
  };
  watch();
}

/** One call, encoded. */
interface RawCall {
  readonly name: CallName;
  readonly path: string;
  readonly body: Buffer;
  readonly metadata: Metadata;
  readonly signal: AbortSignal | undefined;
  readonly inFlight: ReturnType<typeof callsInFlight>;
}

/** The calls in flight. One abort listener for each signal, because any number of calls share the signal of a run. */
function callsInFlight() {
  const all = new Set<() => void>();
  const endEach = (calls: ReadonlySet<() => void>) => {
    for (const end of [...calls]) end();
  };
  const callsOf = memoized((signal: AbortSignal) => {
    const calls = new Set<() => void>();
    signal.addEventListener("abort", () => endEach(calls), { once: true });
    return calls;
  }, new WeakMap());
  return {
    /**
     * @param end Called when the signal is aborted, or by `endAll`.
     * @returns A function that must be called once the call has ended.
     */
    add(signal: AbortSignal | undefined, end: () => void): () => void {
      const own = signal && callsOf(signal);
      all.add(end);
      own?.add(end);
      return () => {
        all.delete(end);
        own?.delete(end);
      };
    },
    endAll: () => endEach(all),
  };
}

/** Makes one call and waits for its answer, its deadline or its signal. @throws OpsError only. */
async function send(
  connection: Peer,
  call: RawCall,
  onNoAnswer: (since: number) => void,
): Promise<Buffer> {
  const { name, signal, inFlight } = call;
  const began = performance.now();
  let end = () => {};
  try {
    return await new Promise<Buffer>((resolve, reject) => {
      // Not the library's `Client`, which takes a stack trace for every call. No deadline of the library either,
      // because it uses the wall clock, which can be set: see the timer below.
      const running = connection.channel.createCall(
        call.path,
        Number.POSITIVE_INFINITY,
        undefined,
        null,
        undefined,
      );
      let answer: Buffer | undefined;
      running.start(call.metadata, {
        onReceiveMetadata: () => undefined,
        onReceiveMessage(message: Buffer) {
          answer = message;
        },
        onReceiveStatus(ended) {
          if (ended.code === status.OK && answer !== undefined) resolve(answer);
          else reject(ended.code === status.OK ? NO_MESSAGE : ended);
        },
      });
      running.sendMessageWithContext({}, call.body);
      running.halfClose();
      running.startRead();
      const cancel = (error: OpsError) => {
        reject(error);
        running.cancelWithStatus(status.CANCELLED, "given up");
      };
      const onDeadline = () => {
        cancel(tooLate(name));
        onNoAnswer(began);
      };
      const timer = setTimeout(onDeadline, name.timeoutMs);
      const remove = inFlight.add(signal, () => cancel(interruption(signal)));
      end = () => {
        clearTimeout(timer);
        remove();
      };
    });
  } catch (error) {
    // The library reports most errors as a status, and throws some.
    throw error instanceof OpsError
      ? error
      : fromStatus(name, error, connection.answeredAt !== undefined);
  } finally {
    end();
  }
}

/** The caches of polled answers, by address. */
function polledAnswers() {
  const byAddress = new Map<string, Repeats>();
  return {
    /** Undefined for the first answer of an address: with a thousand tablets, most are read only once. */
    of(address: string, method: DescMethodUnary): Repeats | undefined {
      if (method !== polled) return undefined;
      const known = byAddress.get(address);
      if (known === undefined) byAddress.set(address, { last: new Map() });
      return known;
    },
    clear: () => byAddress.clear(),
  };
}

/** @throws OpsError `bad-answer` if a value does not fit its field, such as a tid of the cluster above 2^31. */
function encode<I extends DescMessage>(
  name: CallName,
  desc: I,
  request: MessageInitShape<I>,
): Buffer {
  try {
    const bytes = toBinary(desc, create(desc, request));
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  } catch (error) {
    throw failure("unsent", {
      code: "bad-answer",
      message: `${name.method} cannot be sent to ${name.address}: ${oneLine(messageOf(error))}`,
      endpoint: name.address,
      cause: error,
    });
  }
}

async function decode<O extends DescMessage>(
  name: CallName,
  desc: O,
  answer: Uint8Array,
  repeats: Repeats | undefined,
): Promise<MessageShape<O>> {
  const call = `${name.method} at ${name.address}`;
  const decoded = await decodeInTurns(desc, answer, repeats, name.maxAnswerBytes).catch(
    (error: unknown) => {
      throw new OpsError({
        code: "bad-answer",
        message: `${call}: the answer cannot be decoded: ${oneLine(messageOf(error))}`,
        endpoint: name.address,
        cause: error,
      });
    },
  );
  if ("message" in decoded) return decoded.message;
  throw new OpsError({
    code: "bad-answer",
    message: `${call}: the answer lacks the required field ${decoded.missing}`,
    endpoint: name.address,
  });
}
