import { constants, createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { deflateSync, gzipSync } from "node:zlib";
import type { Random } from "../../src/sandbox/model/random.js";

/** A gRPC server that can send arbitrary frames. */
export interface HostileServer {
  /** `127.0.0.1:port`. */
  readonly address: string;
  close(): void;
}

const STATUSES = [
  "",
  "NaN",
  "-1",
  "99999999999999999999",
  "0x10",
  "17",
  "1",
  "4",
  "8",
  "13",
  "14",
  "16",
];
const MESSAGES = ["", "%", "%ff%0a%1b", "x".repeat(8_000), "Connection dropped", "%E4%B8%AD"];
const ENCODINGS = [
  undefined,
  "identity",
  "gzip",
  "deflate",
  "snappy",
  "",
  "gzip,gzip",
  "constructor",
];
const HTTP_STATUSES = [200, 204, 301, 400, 401, 403, 404, 418, 429, 500, 503];

function pick<T>(random: Random, items: readonly T[]): T {
  return items[random.below(items.length)] as T;
}

/**
 * Starts a server that answers each call with `bodyOf` in frames that are broken with probability
 * `brokenRate`.
 *
 * @param bodyOf The message to send, by the path of the call.
 */
export async function startHostileServer(
  random: Random,
  brokenRate: number,
  bodyOf: (path: string) => Uint8Array,
): Promise<HostileServer> {
  const server = createServer();
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => {});
    session.on("close", () => sessions.delete(session));
  });
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    stream.resume();
    stream.on("end", () => {
      if (stream.destroyed) return;
      const message = Buffer.from(bodyOf(String(headers[":path"])));
      try {
        if (random.chance(brokenRate)) breakAnswer(stream, message, random);
        else answer(stream, { body: frame(message), trailers: { "grpc-status": "0" } });
      } catch {
        // The HTTP/2 library refuses some of these frames. The call then gets no answer.
        if (!stream.destroyed) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    close() {
      for (const session of sessions) session.destroy();
      server.close();
    },
  };
}

interface Answer {
  readonly body: Buffer;
  readonly headers?: Record<string, string | number>;
  /** Undefined: the stream ends without any. */
  readonly trailers: Record<string, string> | undefined;
}

function answer(stream: ServerHttp2Stream, { body, headers = {}, trailers }: Answer): void {
  const head = { ":status": 200, "content-type": "application/grpc", ...headers };
  stream.respond(head, { waitForTrailers: trailers !== undefined });
  stream.on("wantTrailers", () => {
    try {
      stream.sendTrailers(trailers ?? {});
    } catch {
      stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    }
  });
  stream.end(body);
}

function frame(message: Buffer, flag = 0, length = message.length): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(length % 2 ** 32, 1);
  return Buffer.concat([head, message]);
}

const OK = { "grpc-status": "0" };

function breakAnswer(stream: ServerHttp2Stream, message: Buffer, random: Random): void {
  const session = stream.session;
  switch (random.below(10)) {
    case 0: {
      const encoding = pick(random, ENCODINGS);
      const packed = pick(random, [message, gzipSync(message), deflateSync(message)]);
      const cut = random.chance(0.3) ? packed.subarray(0, random.below(packed.length + 1)) : packed;
      const headers = encoding === undefined ? {} : { "grpc-encoding": encoding };
      answer(stream, {
        body: frame(cut, pick(random, [1, 1, 2, 255])),
        headers,
        trailers: OK,
      });
      return;
    }
    case 1: {
      const length = pick(random, [0, 1, message.length + 1, message.length * 2, 2 ** 32 - 1]);
      answer(stream, { body: frame(message, 0, length), trailers: OK });
      return;
    }
    case 2: {
      const status = pick(random, STATUSES);
      const trailers = random.chance(0.5)
        ? { "grpc-status": status, "grpc-message": pick(random, MESSAGES) }
        : { "grpc-status": status };
      answer(stream, {
        body: random.chance(0.5) ? frame(message) : Buffer.alloc(0),
        trailers,
      });
      return;
    }
    case 3:
      answer(stream, { body: frame(message), trailers: pick(random, [undefined, {}]) });
      return;
    case 4: {
      const body = Buffer.concat([frame(message), frame(message), Buffer.alloc(random.below(9))]);
      answer(stream, { body, trailers: OK });
      return;
    }
    case 5: {
      const headers = { ":status": pick(random, HTTP_STATUSES), "content-type": "text/html" };
      answer(stream, {
        body: Buffer.from("<html>busy</html>"),
        headers,
        trailers: undefined,
      });
      return;
    }
    case 6:
      if (random.chance(0.5)) {
        stream.respond({ ":status": 200, "content-type": "application/grpc" });
        stream.write(frame(message).subarray(0, random.below(message.length + 5)));
      }
      setTimeout(() => stream.close(random.below(14)), 1);
      return;
    case 7:
      session?.goaway(random.below(14), 0, Buffer.from("too_many_pings"));
      if (random.chance(0.5)) answer(stream, { body: frame(message), trailers: OK });
      return;
    case 8:
      // Not during a read: Node 20 corrupts its memory if a server does that.
      setImmediate(() => session?.destroy());
      return;
    default: {
      const noise = Buffer.from(
        Uint8Array.from({ length: random.below(300) }, () => random.below(256)),
      );
      answer(stream, { body: random.chance(0.5) ? noise : frame(noise), trailers: OK });
      return;
    }
  }
}
