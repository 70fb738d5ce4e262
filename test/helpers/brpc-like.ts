import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import { constants, createServer } from "node:http2";
import type { AddressInfo, Socket } from "node:net";

/** The server's reaction to one request. */
export type Reply =
  /** Answers with this message, gRPC status OK. */
  | { readonly body: Uint8Array }
  /** Ends with this gRPC status; `details` goes out as it is. */
  | { readonly grpcStatus: number; readonly details: string }
  /** Never answers, like a stopped process. */
  | "silence"
  /** Breaks the connection: "reset" with a TCP reset, "drop" with an orderly end. */
  | "reset"
  | "drop";

/** One received request. */
export interface Seen {
  /** Such as `/openmldb.nameserver.NameServer/ShowTable`. */
  readonly path: string;
  readonly body: Buffer;
}

export interface BrpcLike {
  /** `127.0.0.1:port`. */
  readonly address: string;
  readonly port: number;
  /** Every request that was read and authorized, in order. */
  readonly seen: readonly Seen[];
  /** Streams reset because the answer did not fit the window. */
  resets(): number;
  /** Breaks all connections and stops listening, like SIGKILL. */
  kill(): Promise<void>;
}

/**
 * A gRPC server with brpc's behaviour (proto/README.md): an answer is sent only if its whole body fits the remaining window of
 * the connection and of the stream, otherwise the stream is reset with FLOW_CONTROL_ERROR; a connection whose first request lacks the right `authorization`
 * is dropped.
 *
 * @param options `port` 0 or absent: any. `authorization` undefined: any value passes, none does not.
 *   `batch`: replies are held back until so many requests have arrived.
 */
export async function startBrpcLike(
  handle: (seen: Seen) => Reply | Promise<Reply>,
  options: { port?: number; authorization?: string; batch?: number } = {},
): Promise<BrpcLike> {
  const sessions = new Set<ServerHttp2Session>();
  const sockets = new WeakMap<object, Socket>();
  const seen: Seen[] = [];
  const waiting: (() => void)[] = [];
  let resets = 0;
  let arrived = 0;
  // Bytes handed to a stream whose sending is not yet visible in the session's window.
  const unsent = new WeakMap<object, number>();

  function answer(stream: ServerHttp2Stream, message: Uint8Array): void {
    const { session } = stream;
    if (session === undefined || stream.destroyed) {
      return;
    }
    const frame = Buffer.alloc(5 + message.length);
    frame.writeUInt32BE(message.length, 1);
    frame.set(message, 5);
    const pending = unsent.get(session) ?? 0;
    const connectionWindow = (session.state.remoteWindowSize ?? 0) - pending;
    const streamWindow = session.remoteSettings.initialWindowSize ?? 65_535;
    if (frame.length > Math.min(connectionWindow, streamWindow)) {
      resets += 1;
      stream.close(constants.NGHTTP2_FLOW_CONTROL_ERROR);
      return;
    }
    unsent.set(session, pending + frame.length);
    stream.respond(
      { ":status": 200, "content-type": "application/grpc" },
      { waitForTrailers: true },
    );
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(frame, () => {
      unsent.set(session, (unsent.get(session) ?? 0) - frame.length);
    });
  }

  function act(stream: ServerHttp2Stream, reply: Reply): void {
    if (reply === "silence") {
      return;
    }
    if (reply === "reset" || reply === "drop") {
      if (reply === "reset" && stream.session !== undefined) {
        sockets.get(stream.session)?.resetAndDestroy();
      } else {
        stream.session?.destroy();
      }
      return;
    }
    if ("grpcStatus" in reply) {
      stream.respond(
        {
          ":status": 200,
          "content-type": "application/grpc",
          "grpc-status": String(reply.grpcStatus),
          "grpc-message": reply.details,
        },
        { endStream: true },
      );
      return;
    }
    answer(stream, reply.body);
  }

  const server = createServer();
  // A session hides its socket; the two events of one connection come in the same turn.
  let socketOfNext: Socket | undefined;
  server.prependListener("connection", (socket) => {
    socketOfNext = socket;
  });
  server.on("session", (session) => {
    sessions.add(session);
    if (socketOfNext !== undefined) {
      sockets.set(session, socketOfNext);
    }
    session.on("error", () => {});
    session.once("close", () => sessions.delete(session));
  });
  const authorized = new WeakSet<object>();
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    const { session } = stream;
    if (session === undefined) {
      return;
    }
    if (!authorized.has(session)) {
      const given = headers.authorization;
      if (
        given === undefined ||
        (options.authorization !== undefined && given !== options.authorization)
      ) {
        session.destroy();
        return;
      }
      authorized.add(session);
    }
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", async () => {
      const request: Seen = {
        path: String(headers[":path"]),
        body: Buffer.concat(chunks).subarray(5),
      };
      seen.push(request);
      const reply = await handle(request);
      arrived += 1;
      waiting.push(() => act(stream, reply));
      if (arrived >= (options.batch ?? 1)) {
        for (const release of waiting.splice(0)) {
          release();
        }
      }
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    port,
    seen,
    resets: () => resets,
    kill: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const session of sessions) {
          session.destroy();
        }
      }),
  };
}
