import { setMaxListeners } from "node:events";
import type {
  DescMessage,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { create, toBinary } from "@bufbuild/protobuf";
import type { ChannelOptions, ClientUnaryCall, ServiceError } from "@grpc/grpc-js";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { messageOf, OpsError } from "../errors.js";
import { TabletServer } from "../gen/openmldb/api_pb.js";
import { decodeInTurns, type Repeats } from "./decode.js";
import { failure, interruption } from "./failure.js";
import { oneLine, percentDecode } from "./text.js";
import type { CallOptions, Transport } from "./transport.js";

/**
 * brpc resets a stream (RST_STREAM code 3) whose whole body does not fit what is left of the
 * connection's window, and grpc-js gives the window back only after half of it was used. The
 * largest window that HTTP/2 knows leaves 1 GiB at any time; it costs no memory by itself.
 */
const flowControlWindow = 2 ** 31 - 1;

const channelOptions: ChannelOptions = {
  "grpc-node.flow_control_window": flowControlWindow,
  "grpc.max_receive_message_length": -1,
  // A restarted peer must be reachable at once; the pause grows from 50 to 150 ms (+- 20 %).
  "grpc.initial_reconnect_backoff_ms": 50,
  "grpc.max_reconnect_backoff_ms": 150,
  "grpc.dns_min_time_between_resolutions_ms": 1000,
  // Who may repeat which call is decided by the clients, nowhere else.
  "grpc.enable_retries": 0,
  // brpc checks the authorization of the first call of a connection only: never share connections.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_http_proxy": 0,
  "grpc.service_config_disable_resolution": 1,
};

/** Asked again and again while loads run, with hundreds of replicas in each answer, mostly unchanged. */
const polled: DescMethodUnary = TabletServer.method.getTableStatus;

/** One call, for the texts of its errors. */
interface CallName {
  readonly address: string;
  readonly method: string;
  readonly timeoutMs: number;
}

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
 * @param options `authorization` is the metadata that every call carries; see `authorizationFor`.
 */
export function createGrpcTransport(options: { readonly authorization: string }): Transport {
  const clients = new Map<string, Client>();
  const inFlight = new Set<ClientUnaryCall>();
  const repeats = polledAnswers();
  const metadata = new Metadata();
  metadata.set("authorization", options.authorization);
  let isClosed = false;

  function clientOf(address: string): Client {
    let client = clients.get(address);
    if (client === undefined) {
      client = new Client(`dns:${address}`, credentials.createInsecure(), channelOptions);
      clients.set(address, client);
    }
    return client;
  }

  function send(
    name: CallName,
    path: string,
    body: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const call = clientOf(name.address).makeUnaryRequest(
        path,
        (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
        (bytes: Buffer) => bytes,
        body,
        metadata.clone(),
        { deadline: Date.now() + name.timeoutMs },
        (error, answer) => {
          inFlight.delete(call);
          signal?.removeEventListener("abort", cancel);
          if (error === null) {
            resolve(answer ?? Buffer.alloc(0));
          } else {
            reject(
              signal?.aborted === true || isClosed ? interruption(signal) : fromStatus(name, error),
            );
          }
        },
      );
      function cancel(): void {
        call.cancel();
      }
      inFlight.add(call);
      if (signal !== undefined) {
        // Any number of calls share the signal of a run: more than ten listeners are no leak here.
        setMaxListeners(0, signal);
      }
      signal?.addEventListener("abort", cancel, { once: true });
    });
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
      const name = { address, method: method.name, timeoutMs };
      const body = encode(name, method.input, request);
      const answer = await send(name, `/${method.parent.typeName}/${method.name}`, body, signal);
      return decode(name, method.output, answer, repeats.of(address, method));
    },
    close(): void {
      isClosed = true;
      for (const call of [...inFlight]) {
        call.cancel();
      }
      for (const client of clients.values()) {
        client.close();
      }
      clients.clear();
      repeats.clear();
    },
  };
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
  const decoded = await decodeInTurns(desc, answer, repeats).catch((error: unknown) => {
    throw new OpsError({
      code: "bad-answer",
      message: `${who}: the answer cannot be decoded: ${oneLine(messageOf(error))}`,
      endpoint: name.address,
      cause: error,
    });
  });
  if ("message" in decoded) return decoded.message;
  throw new OpsError({
    code: "bad-answer",
    message: `${who}: the answer lacks the required field ${decoded.missing}`,
    endpoint: name.address,
  });
}

const credentialsHint =
  "a wrong or missing user or password looks like this: check --user and --password_file";

/** One error for every gRPC status but OK. The texts of `details` are those of grpc-js 1.14. */
function fromStatus(name: CallName, error: ServiceError): OpsError {
  const who = `${name.method} at ${name.address}`;
  const details = oneLine(percentDecode(error.details));
  const parts = { endpoint: name.address, cause: error };
  switch (error.code) {
    case status.UNAVAILABLE:
      return unavailable(name, error, details);
    case status.CANCELLED:
      // Not by this side, which never gets here: the peer gave the call up.
      return failure("unclear", {
        ...parts,
        code: "unreachable",
        message: `${who}: the peer gave the call up`,
        retryable: true,
      });
    case status.DEADLINE_EXCEEDED:
      return failure("unclear", {
        ...parts,
        code: "deadline",
        message: `${who}: no answer within ${name.timeoutMs} ms`,
        retryable: true,
      });
    case status.UNIMPLEMENTED:
      return new OpsError({
        ...parts,
        code: "bad-answer",
        message: `${who}: the peer does not know this method (${details})`,
        hint: "it may be an older OpenMLDB, or no OpenMLDB nameserver or tablet at all",
      });
    case status.UNAUTHENTICATED:
    case status.PERMISSION_DENIED:
      return new OpsError({
        ...parts,
        code: "bad-answer",
        message: `${who}: ${details}`,
        hint: credentialsHint,
      });
    default:
      return new OpsError({
        ...parts,
        code: "bad-answer",
        message: `${who}: gRPC status ${error.code} ${status[error.code] ?? ""}: ${details}`,
      });
  }
}

function unavailable(name: CallName, error: ServiceError, details: string): OpsError {
  const isUnsent = /^(No connection established|Name resolution failed|Channel closed)/.test(
    details,
  );
  const isDropped = !isUnsent && details.startsWith("Connection dropped");
  return failure(isUnsent ? "unsent" : isDropped ? "dropped" : "unclear", {
    code: "unreachable",
    message: `${name.method} at ${name.address}: ${unavailableInWords(details)}`,
    ...(isDropped ? { hint: credentialsHint } : {}),
    retryable: true,
    endpoint: name.address,
    cause: error,
  });
}

function unavailableInWords(details: string): string {
  if (details.includes("ECONNREFUSED")) {
    return "connection refused, nothing listens there";
  }
  if (/ENOTFOUND|EAI_AGAIN|Name resolution failed/.test(details)) {
    return "the host name cannot be resolved";
  }
  if (details.includes("ECONNRESET")) {
    return "the connection was reset";
  }
  return details.startsWith("Connection dropped")
    ? "the connection was dropped by the peer"
    : details;
}
