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
import { MAX_ANSWER_BYTES } from "./answer-size.js";
import type { Connection } from "./cluster.js";
import { decodeInTurns, type Repeats } from "./decode.js";
import { failure, interruption } from "./failure.js";
import { type CallName, fromStatus, tooLate } from "./grpc-status.js";
import { oneLine } from "./text.js";
import type { CallOptions, Transport } from "./transport.js";

/**
 * brpc resets a stream (RST_STREAM code 3) whose whole body does not fit what is left of the
 * connection's window, and grpc-js gives the window back only after half of it was used. So the window
 * leaves room for two of the largest answers at any time; it costs no memory by itself, and bounds what a
 * peer can send that is not read. The largest that HTTP/2 knows is 2^31-1.
 */
function flowControlWindow(maxAnswerBytes: number): number {
  return Math.min(2 ** 31 - 1, 4 * maxAnswerBytes);
}

/** What is made of an answer that ends well and has no message. */
const NO_MESSAGE = { code: status.UNIMPLEMENTED, details: "no message in the answer" };

const channelOptions: ChannelOptions = {
  // A restarted peer must be reachable at once; the pause grows from 50 to 150 ms (+- 20 %).
  "grpc.initial_reconnect_backoff_ms": 50,
  "grpc.max_reconnect_backoff_ms": 150,
  "grpc.dns_min_time_between_resolutions_ms": 1000,
  // Which calls may be repeated is decided by the clients, nowhere else.
  "grpc.enable_retries": 0,
  // brpc checks the authorization of the first call of a connection only: never share connections.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_http_proxy": 0,
  "grpc.service_config_disable_resolution": 1,
  // Counters that nothing reads.
  "grpc.enable_channelz": 0,
};

/** Asked again and again while loads run, with hundreds of replicas in each answer, mostly unchanged. */
const polled: DescMethodUnary = TabletServer.method.getTableStatus;

/**
 * Calls over gRPC on plaintext HTTP/2, as brpc speaks it: one channel for each address, opened
 * with its first call.
 *
 * A call on a connection that is known to be broken fails at once instead of waiting for its
 * deadline; the channel connects again in the background every 150 ms or so, and at once with the
 * next call after a connection that had worked was lost.
 *
 * Undecodable answers and answers that lack a required field fail with `bad-answer`. An answer of
 * tens of megabytes is decoded in turns and never blocks the event loop for long.
 *
 * @param options `authorization` is the metadata that every call carries; see `authorizationFor`. An
 *   answer of more than `maxAnswerBytes` (128 MiB if left out), as received or unpacked, is not read to
 *   its end and fails with `bad-answer`.
 */
export function createGrpcTransport(options: {
  readonly authorization: string;
  readonly maxAnswerBytes?: number | undefined;
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
        // Holds for what a compressed answer unpacks to as well (grpc-js 1.14: compression-filter).
        "grpc.max_receive_message_length": maxAnswerBytes,
      });
      connection = {
        channel,
        hasAnswered: false,
        heardAt: Number.NEGATIVE_INFINITY,
        mark: undefined,
      };
      connections.set(address, connection);
      markConnections(connection, address);
    }
    return connection;
  }

  /**
   * A peer that is gone without a word leaves a connection that never ends: the next call dials anew.
   */
  function forget(address: string, connection: Peer, silentSince: number): void {
    if (connection.heardAt > silentSince || connections.get(address) !== connection) return;
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
      connection.hasAnswered = true;
      connection.heardAt = performance.now();
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

/** One address, and what is known of it. */
interface Peer {
  readonly channel: Channel;
  /** Whether it has answered a call, and so accepts the authorization. */
  hasAnswered: boolean;
  /** When it answered last, milliseconds of `performance.now()`. */
  heardAt: number;
  /** The connection that its channel has; undefined while it has none. */
  mark: Connection | undefined;
}

/**
 * Gives each connection that a channel makes a mark of its own. The library calls a watcher as the state
 * changes, at once and one time (grpc-js 1.14: watchConnectivityState).
 */
function markConnections(peer: Peer, address: string): void {
  const look = () => {
    const state = peer.channel.getConnectivityState(false);
    peer.mark = state === connectivityState.READY ? Symbol(address) : undefined;
    if (state === connectivityState.SHUTDOWN) return;
    peer.channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, look);
  };
  look();
}

/** One call, encoded. */
interface RawCall {
  readonly name: CallName;
  readonly path: string;
  readonly body: Buffer;
  readonly metadata: Metadata;
  readonly signal: AbortSignal | undefined;
  readonly inFlight: CallsInFlight;
}

/** Calls that wait for their answers. */
interface CallsInFlight {
  /**
   * @param end Is run when the signal is aborted, or when all calls are ended.
   * @returns To be called once the call has ended.
   */
  add(signal: AbortSignal | undefined, end: () => void): () => void;
  endAll(): void;
}

/** Any number of calls share the signal of a run: one listener serves them all. */
function callsInFlight(): CallsInFlight {
  const all = new Set<() => void>();
  const bySignal = new WeakMap<AbortSignal, Set<() => void>>();
  const endEach = (calls: ReadonlySet<() => void>) => {
    for (const end of [...calls]) end();
  };
  const callsOf = (signal: AbortSignal) => {
    const known = bySignal.get(signal);
    if (known !== undefined) return known;
    const calls = new Set<() => void>();
    bySignal.set(signal, calls);
    signal.addEventListener("abort", () => endEach(calls), { once: true });
    return calls;
  };
  return {
    add(signal, end) {
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

/** Makes one call and waits for its answer, its deadline or its signal, whatever the library makes of it. */
async function send(
  connection: Peer,
  call: RawCall,
  onSilence: (since: number) => void,
): Promise<Buffer> {
  const { name, signal, inFlight } = call;
  const began = performance.now();
  let end = () => {};
  try {
    return await new Promise<Buffer>((resolve, reject) => {
      // The library's `Client` does this too, and takes a stack trace for every call.
      // It measures deadlines on the wall clock, which can be set: see the timer below.
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
      const giveUp = (error: OpsError) => {
        reject(error);
        running.cancelWithStatus(status.CANCELLED, "given up");
      };
      const onDeadline = () => {
        giveUp(tooLate(name));
        onSilence(began);
      };
      const timer = setTimeout(onDeadline, name.timeoutMs);
      const remove = inFlight.add(signal, () => giveUp(interruption(signal)));
      end = () => {
        clearTimeout(timer);
        remove();
      };
    });
  } catch (error) {
    // The library gives a status for errors, and throws some.
    throw error instanceof OpsError ? error : fromStatus(name, error, connection.hasAnswered);
  } finally {
    end();
  }
}

/** What is remembered of answers that are polled, by address. */
function polledAnswers() {
  const byAddress = new Map<string, Repeats>();
  return {
    /** Undefined for an answer that is asked for the first time: it may be one of a thousand. */
    of(address: string, method: DescMethodUnary): Repeats | undefined {
      if (method !== polled) return undefined;
      const known = byAddress.get(address);
      if (known === undefined) byAddress.set(address, { last: new Map() });
      return known;
    },
    clear: () => byAddress.clear(),
  };
}

/** Values that do not fit their field (a tid above 2^31 in LoadTable) came from the cluster itself. */
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
  const who = `${name.method} at ${name.address}`;
  const decoded = await decodeInTurns(desc, answer, repeats, name.maxAnswerBytes).catch(
    (error: unknown) => {
      throw new OpsError({
        code: "bad-answer",
        message: `${who}: the answer cannot be decoded: ${oneLine(messageOf(error))}`,
        endpoint: name.address,
        cause: error,
      });
    },
  );
  if ("message" in decoded) return decoded.message;
  throw new OpsError({
    code: "bad-answer",
    message: `${who}: the answer lacks the required field ${decoded.missing}`,
    endpoint: name.address,
  });
}
