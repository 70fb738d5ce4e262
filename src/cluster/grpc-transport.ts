import { setMaxListeners } from "node:events";
import type {
  DescMessage,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { create, toBinary } from "@bufbuild/protobuf";
import type { ChannelOptions } from "@grpc/grpc-js";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { messageOf, OpsError } from "../errors.js";
import { TabletServer } from "../gen/openmldb/api_pb.js";
import { MAX_ANSWER_BYTES } from "./answer-size.js";
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
  const connections = new Map<string, Connection>();
  const inFlight = new Set<() => void>();
  const repeats = polledAnswers();
  const metadata = new Metadata();
  metadata.set("authorization", options.authorization);
  let isClosed = false;

  function connectionOf(address: string): Connection {
    let connection = connections.get(address);
    if (connection === undefined) {
      const client = new Client(`dns:${address}`, credentials.createInsecure(), {
        ...channelOptions,
        "grpc-node.flow_control_window": flowControlWindow(maxAnswerBytes),
        // Holds for what a compressed answer unpacks to as well (grpc-js 1.14: compression-filter).
        "grpc.max_receive_message_length": maxAnswerBytes,
      });
      connection = { client, hasAnswered: false, heardAt: Number.NEGATIVE_INFINITY };
      connections.set(address, connection);
    }
    return connection;
  }

  /**
   * A peer that is gone without a word leaves a connection that never ends: the next call dials anew.
   */
  function forget(address: string, connection: Connection, silentSince: number): void {
    if (connection.heardAt > silentSince || connections.get(address) !== connection) return;
    connections.delete(address);
    // Calls in flight keep their deadlines.
    connection.client.close();
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
      const call = { name, path, body, metadata: metadata.clone(), signal, inFlight };
      const connection = connectionOf(address);
      const answer = await send(connection, call, (since) => forget(address, connection, since));
      connection.hasAnswered = true;
      connection.heardAt = performance.now();
      return decode(name, method.output, answer, repeats.of(address, method));
    },
    close(): void {
      isClosed = true;
      for (const end of [...inFlight]) {
        end();
      }
      for (const { client } of connections.values()) {
        client.close();
      }
      connections.clear();
      repeats.clear();
    },
  };
}

/** One address, and what is known of it. */
interface Connection {
  readonly client: Client;
  /** Whether it has answered a call, and so accepts the authorization. */
  hasAnswered: boolean;
  /** When it answered last, milliseconds of `performance.now()`. */
  heardAt: number;
}

/** One call, encoded. */
interface RawCall {
  readonly name: CallName;
  readonly path: string;
  readonly body: Uint8Array;
  readonly metadata: Metadata;
  readonly signal: AbortSignal | undefined;
  /** Ends each call that waits for its answer. */
  readonly inFlight: Set<() => void>;
}

/** Makes one call and waits for its answer, its deadline or its signal, whatever the library makes of it. */
async function send(
  connection: Connection,
  call: RawCall,
  onSilence: (since: number) => void,
): Promise<Buffer> {
  const { name, signal, inFlight } = call;
  const began = performance.now();
  let end = () => {};
  try {
    return await new Promise<Buffer>((resolve, reject) => {
      const running = connection.client.makeUnaryRequest(
        call.path,
        (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
        (bytes: Buffer) => bytes,
        call.body,
        call.metadata,
        // The library measures deadlines on the wall clock, which can be set: see the timer below.
        { deadline: Number.POSITIVE_INFINITY },
        (error, answer) => (error ? reject(error) : resolve(answer ?? Buffer.alloc(0))),
      );
      const giveUp = (error: OpsError) => {
        reject(error);
        running.cancel();
      };
      const onAbort = () => giveUp(interruption(signal));
      const onDeadline = () => {
        giveUp(tooLate(name));
        onSilence(began);
      };
      const timer = setTimeout(onDeadline, name.timeoutMs);
      end = () => {
        clearTimeout(timer);
        inFlight.delete(onAbort);
        signal?.removeEventListener("abort", onAbort);
      };
      inFlight.add(onAbort);
      // Any number of calls share the signal of a run: more than ten listeners are no leak here.
      if (signal !== undefined) setMaxListeners(0, signal);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  } catch (error) {
    // The library calls back with errors, and throws some.
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
): Uint8Array {
  try {
    return toBinary(desc, create(desc, request));
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
