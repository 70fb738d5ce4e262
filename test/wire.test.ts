import type { AddressInfo } from "node:net";
import { connect, createServer as createTcpServer } from "node:net";
import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import { authorizationFor } from "../src/cluster/authorization.js";
import { createGrpcTransport } from "../src/cluster/grpc-transport.js";
import { realClock } from "../src/cluster/real-clock.js";
import type { Transport } from "../src/cluster/transport.js";
import { OpsError } from "../src/errors.js";
import { GetTableFollowerResponseSchema, TabletServer } from "../src/gen/openmldb/api_pb.js";
import {
  NameServer,
  ShowTableResponseSchema,
  ShowTabletResponseSchema,
} from "../src/gen/openmldb/nameserver_pb.js";
import type { BrpcLike, Reply } from "./helpers/brpc-like.js";
import { startBrpcLike } from "./helpers/brpc-like.js";
import { startTcp } from "./helpers/tcp.js";
import { startTurnClock } from "./helpers/turn-clock.js";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) {
    await cleanup();
  }
});

async function serve(...args: Parameters<typeof startBrpcLike>): Promise<BrpcLike> {
  const server = await startBrpcLike(...args);
  cleanups.push(() => server.kill());
  return server;
}

function transportWith(authorization = "sdefault"): Transport {
  const transport = createGrpcTransport({ authorization });
  cleanups.push(() => transport.close());
  return transport;
}

function bytes<D extends DescMessage>(desc: D, fields: MessageInitShape<D>): Reply {
  return { body: toBinary(desc, create(desc, fields)) };
}

/** A ShowTablet answer of about that many bytes. */
function showTablet(size: number): Reply {
  return bytes(ShowTabletResponseSchema, { code: 0, msg: "x".repeat(size) });
}

/** The error that the promise must end with. */
async function failureOf(call: Promise<unknown>): Promise<OpsError> {
  const error = await call.then(
    () => new Error("the call succeeded"),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(OpsError);
  return error as OpsError;
}

const { showTablet: method } = NameServer.method;
/** For calls that are answered: the time is only to guard against a hang. */
const options = { timeoutMs: 60_000 };

/** The same call through grpc-js as it is by default. */
function plainCall(client: Client): Promise<Buffer> {
  const metadata = new Metadata();
  metadata.set("authorization", "sdefault");
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      `/${method.parent.typeName}/${method.name}`,
      (body: Buffer) => body,
      (body: Buffer) => body,
      Buffer.alloc(0),
      metadata,
      { deadline: Date.now() + 30_000 },
      (error, answer) => (error === null ? resolve(answer as Buffer) : reject(error)),
    );
  });
}

function plainClient(address: string): Client {
  const client = new Client(address, credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
    "grpc.use_local_subchannel_pool": 1,
  });
  cleanups.push(() => client.close());
  return client;
}

describe("flow control against a server that resets what does not fit the window", () => {
  it("takes 100 answers of 10 kB in flight, which a channel with the default window does not", async () => {
    const first = await serve(() => showTablet(10_000), { batch: 100 });
    const transport = transportWith();
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => transport.unary(first.address, method, {}, options)),
    );
    expect(answers.map(({ msg }) => msg.length)).toEqual(Array(100).fill(10_000));
    expect(first.resets()).toBe(0);

    const second = await serve(() => showTablet(10_000), { batch: 100 });
    const client = plainClient(second.address);
    const results = await Promise.allSettled(Array.from({ length: 100 }, () => plainCall(client)));
    const reasons = results.flatMap((result) =>
      result.status === "rejected" ? [result.reason] : [],
    );
    expect(reasons.length).toBe(second.resets());
    expect(reasons.length).toBeGreaterThan(50);
    expect(String(reasons[0])).toContain("Received RST_STREAM with code 3");
  });

  it("takes one answer of 10 MB beside 100 small ones, which a default channel does not", async () => {
    const body = showTablet(10_000_000);
    const server = await serve(({ body: request }) =>
      request.length > 0 ? body : showTablet(10_000),
    );
    const transport = transportWith();
    const [big, ...small] = await Promise.all([
      transport
        .unary(server.address, NameServer.method.showTable, { showAll: true }, options)
        .catch(String),
      ...Array.from({ length: 100 }, () => transport.unary(server.address, method, {}, options)),
    ]);
    // ShowTable is answered with the bytes of a ShowTablet answer: `code` is field 2 and `msg` field 3 in both.
    expect(big).toHaveProperty("msg.length", 10_000_000);
    expect(small.every(({ msg }) => msg.length === 10_000)).toBe(true);
    expect(server.resets()).toBe(0);

    const huge = await serve(() => body);
    await expect(plainCall(plainClient(huge.address))).rejects.toThrow("RST_STREAM with code 3");
  });

  it("continues after far more than the window has passed on one connection", async () => {
    const body = showTablet(30_000_000);
    const server = await serve(() => body);
    const transport = transportWith();
    for (let i = 0; i < 10; i += 1) {
      expect((await transport.unary(server.address, method, {}, options)).msg.length).toBe(
        30_000_000,
      );
    }
    expect(server.resets()).toBe(0);
  });
});

describe("failures", () => {
  it("ends with deadline when the server is silent", async () => {
    const server = await serve(() => "silence");
    const start = startTurnClock();
    const error = await failureOf(
      transportWith().unary(server.address, method, {}, { timeoutMs: 200 }),
    );
    expect(error).toMatchObject({ code: "deadline", retryable: true, endpoint: server.address });
    expect(error.message).toBe(`ShowTablet at ${server.address}: no answer within 200 ms`);
    expect(start()).toBeLessThan(1500);
  });

  it("ends with unreachable, at once, when nothing listens", async () => {
    const server = await serve(() => showTablet(1));
    await server.kill();
    const start = startTurnClock();
    const error = await failureOf(transportWith().unary(server.address, method, {}, options));
    expect(error).toMatchObject({ code: "unreachable", retryable: true, hint: undefined });
    expect(error.message).toContain("connection refused");
    expect(start()).toBeLessThan(1500);
  });

  it("distinguishes a reset connection from a dropped one", async () => {
    const reset = await serve(() => "reset");
    const resetError = await failureOf(transportWith().unary(reset.address, method, {}, options));
    expect(resetError).toMatchObject({ code: "unreachable", retryable: true, hint: undefined });
    expect(resetError.message).toContain("the connection was reset");
    const drop = await serve(() => "drop");
    const dropError = await failureOf(transportWith().unary(drop.address, method, {}, options));
    expect(dropError).toMatchObject({ code: "unreachable", retryable: true });
    expect(dropError.message).toContain("dropped by the peer");
  });

  it("hints at user and password when the authorization is refused", async () => {
    const authorization = authorizationFor({ user: "root", password: "" });
    const server = await serve(() => showTablet(1), { authorization });
    const error = await failureOf(
      transportWith("sdefault").unary(server.address, method, {}, options),
    );
    expect(error).toMatchObject({ code: "unreachable", retryable: true });
    expect(error.hint).toContain("--user");
    expect(error.hint).toContain("--password_file");
    // A transport with other credentials never shares the connection of the first one.
    const answer = await transportWith(authorization).unary(server.address, method, {}, options);
    expect(answer.code).toBe(0);
  });

  it("ends with unreachable for a name that cannot be resolved", async () => {
    const call = transportWith().unary("no-such-name.invalid:1", method, {}, { timeoutMs: 2000 });
    // If no name service answers, the deadline passes first.
    expect((await failureOf(call)).message).toMatch(/cannot be resolved|no answer within 2000 ms/);
  });

  it("ends with unreachable or deadline against a server without HTTP/2", async () => {
    const tcp = createTcpServer((socket) => {
      socket.on("error", () => {});
      socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    await new Promise<void>((resolve) => tcp.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => tcp.close());
    const { port } = tcp.address() as AddressInfo;
    const error = await failureOf(
      transportWith().unary(`127.0.0.1:${port}`, method, {}, { timeoutMs: 1000 }),
    );
    expect(error.code).toMatch(/^(unreachable|deadline)$/);
    expect(error.message).not.toMatch(/[\n\r]/);
  });

  it("ends with bad-answer for invalid bytes", async () => {
    const server = await serve(() => ({ body: Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f]) }));
    const error = await failureOf(transportWith().unary(server.address, method, {}, options));
    expect(error).toMatchObject({ code: "bad-answer", retryable: false });
    expect(error.message).toContain("cannot be decoded");
  });

  it.each([
    ["code itself", "code", ""],
    ["a field two levels down", "table_info.table_partition.pid", "0a021a001000"],
    [
      "a field of the second replica",
      "table_info.table_partition.partition_meta.is_leader",
      "0a121a1008001207" + "0a016110011801" + "12030a0162" + "1000",
    ],
  ])("ends with bad-answer when the answer lacks %s", async (_what, path, hex) => {
    const server = await serve(() => ({ body: Buffer.from(hex, "hex") }));
    const call = transportWith().unary(server.address, NameServer.method.showTable, {}, options);
    const error = await failureOf(call);
    expect(error.code).toBe("bad-answer");
    expect(error.message).toContain(`lacks the required field ${path}`);
  });

  it.each([
    [12, "bad-answer", "does not know this method"],
    [3, "bad-answer", "INVALID_ARGUMENT"],
    [13, "bad-answer", "INTERNAL"],
    [8, "bad-answer", "RESOURCE_EXHAUSTED"],
    [14, "unreachable", "busy"],
    [1, "unreachable", "cancelled the call"],
  ])("maps gRPC status %i to %s", async (grpcStatus, code, text) => {
    const server = await serve(() => ({ grpcStatus, details: "busy" }));
    const error = await failureOf(transportWith().unary(server.address, method, {}, options));
    expect(error.code).toBe(code);
    expect(error.message).toContain(text);
  });

  it("shows details decoded, on one line and without control characters", async () => {
    const details = "at 127.0.0.1%3a9%2fx 100% %zz %0a%1b[31mred%1b[0m %E4%B8%AD %ff";
    const server = await serve(() => ({ grpcStatus: 3, details }));
    const error = await failureOf(transportWith().unary(server.address, method, {}, options));
    expect(error.message).toContain(
      String.raw`at 127.0.0.1:9/x 100% %zz \x1b[31mred\x1b[0m 中 %ff`,
    );
  });

  it("ends with interrupted when the signal is aborted, before and during the call", async () => {
    const server = await serve(() => "silence");
    const transport = transportWith();
    const controller = new AbortController();
    const calls = Array.from({ length: 30 }, () =>
      failureOf(
        transport.unary(
          server.address,
          method,
          {},
          { timeoutMs: 30_000, signal: controller.signal },
        ),
      ),
    );
    await expect.poll(() => server.seen.length).toBe(calls.length);
    const start = startTurnClock();
    controller.abort();
    for (const error of await Promise.all(calls)) {
      expect(error.code).toBe("interrupted");
    }
    expect(start()).toBeLessThan(1000);
    const late = await failureOf(
      transport.unary(server.address, method, {}, { timeoutMs: 5000, signal: controller.signal }),
    );
    expect(late.code).toBe("interrupted");
    const limit = new OpsError({ code: "time-limit", message: "too long" });
    const call = transport.unary(
      server.address,
      method,
      {},
      { timeoutMs: 5000, signal: AbortSignal.abort(limit) },
    );
    expect(await failureOf(call)).toBe(limit);
  });

  it("ends calls in flight when it is closed", async () => {
    const server = await serve(() => "silence");
    const transport = transportWith();
    const call = failureOf(transport.unary(server.address, method, {}, options));
    await expect.poll(() => server.seen.length).toBe(1);
    transport.close();
    expect((await call).code).toBe("interrupted");
    expect((await failureOf(transport.unary(server.address, method, {}, options))).code).toBe(
      "interrupted",
    );
  });
});

describe("values", () => {
  it("transmits 2^64-1 unchanged", async () => {
    const max = 2n ** 64n - 1n;
    const server = await serve(() =>
      bytes(GetTableFollowerResponseSchema, {
        code: 0,
        offset: max,
        followerInfo: [{ endpoint: "a:1", offset: max - 1n }],
      }),
    );
    const { getTableFollower } = TabletServer.method;
    const answer = await transportWith().unary(
      server.address,
      getTableFollower,
      { tid: 1, pid: 0 },
      options,
    );
    expect(answer.offset).toBe(max);
    expect(answer.followerInfo[0]?.offset).toBe(max - 1n);
  });

  it("sends zeros that are set and leaves absent fields out", async () => {
    const server = await serve(() => bytes(ShowTableResponseSchema, { code: 0 }));
    const transport = transportWith();
    const { getTableStatus } = TabletServer.method;
    await transport.unary(server.address, getTableStatus, { tid: 7, pid: 0 }, options);
    const { path, body } = server.seen.at(-1)!;
    expect(path).toBe("/openmldb.api.TabletServer/GetTableStatus");
    expect(body.toString("hex")).toBe("08071000");
    expect(fromBinary(getTableStatus.input, body)).toMatchObject({ tid: 7, pid: 0 });
  });

  it("refuses a request whose value does not fit its field, without sending it", async () => {
    const server = await serve(() => showTablet(1));
    const request = { tableMeta: { tid: 2 ** 31, name: "t", pid: 0 } };
    const call = transportWith().unary(
      server.address,
      TabletServer.method.loadTable,
      request,
      options,
    );
    expect((await failureOf(call)).code).toBe("bad-answer");
    expect(server.seen).toEqual([]);
  });
});

describe("a server that restarts", () => {
  it("is reached within 300 ms of its return, however long it was down", async () => {
    const first = await serve(() => showTablet(1));
    const transport = transportWith();
    await transport.unary(first.address, method, {}, options);
    await first.kill();
    const dead = Date.now();
    while (Date.now() - dead < 1200) {
      expect((await failureOf(transport.unary(first.address, method, {}, options))).code).toBe(
        "unreachable",
      );
      await realClock.sleep(20);
    }
    await serve(() => showTablet(2), { port: first.port });
    const back = startTurnClock();
    let answer: { msg: string } | undefined;
    while (answer === undefined && back() < 3000) {
      answer = await transport.unary(first.address, method, {}, options).catch(() => undefined);
      await realClock.sleep(10);
    }
    expect(answer?.msg).toBe("xx");
    expect(back()).toBeLessThan(300);
  });

  it("is reached with the first call after a restart between two calls", async () => {
    const first = await serve(() => showTablet(1));
    const transport = transportWith();
    await transport.unary(first.address, method, {}, options);
    await first.kill();
    await serve(() => showTablet(2), { port: first.port });
    await expect.poll(() => transport.connection(first.address)).toBeUndefined();
    expect((await transport.unary(first.address, method, {}, options)).msg).toBe("xx");
  });
});

it("a connection is the same until it breaks; the next one is another", async () => {
  const first = await serve(() => showTablet(1));
  const transport = transportWith();
  const call = () => transport.unary(first.address, method, {}, options);
  expect(transport.connection(first.address)).toBeUndefined();
  await call();
  const connection = transport.connection(first.address);
  expect(connection).toBeTypeOf("symbol");
  await call();
  expect(transport.connection(first.address)).toBe(connection);
  await first.kill();
  await serve(() => showTablet(2), { port: first.port });
  await expect.poll(() => transport.connection(first.address)).toBeUndefined();
  await call();
  expect(transport.connection(first.address)).toBeTypeOf("symbol");
  expect(transport.connection(first.address)).not.toBe(connection);
  transport.close();
  expect(transport.connection(first.address)).toBeUndefined();
});

describe("a connection without answers", () => {
  it("costs one deadline: the next call uses a new connection", async () => {
    const server = await serve(() => showTablet(1));
    let isSilent = false;
    const proxy = await startTcp((inner) => {
      const outer = connect(server.port, "127.0.0.1");
      outer.on("error", () => inner.destroy());
      inner.on("close", () => outer.destroy());
      const isOld = !isSilent;
      inner.on("data", (bytes) => (isOld && isSilent ? undefined : outer.write(bytes)));
      outer.on("data", (bytes) => (isOld && isSilent ? undefined : inner.write(bytes)));
    });
    cleanups.push(() => proxy.close());
    const transport = transportWith();
    const call = (how = options) =>
      transport.unary(`127.0.0.1:${proxy.port}`, method, {}, how).then(
        () => "answer",
        (error: OpsError) => error.code,
      );
    expect(await call()).toBe("answer");
    isSilent = true;
    const soon = { timeoutMs: 400 };
    expect(await Promise.all([call(soon), call(soon)])).toEqual(["deadline", "deadline"]);
    expect(await call()).toBe("answer");
  });
});

describe("authorizationFor", () => {
  it("returns the service token, or user and hashed password", () => {
    expect(authorizationFor({})).toBe("sdefault");
    expect(authorizationFor({ user: "root" })).toBe(
      "uroot:1e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    );
    expect(authorizationFor({ user: "ops", password: "abc" })).toBe(
      "uops:1ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    );
  });

  it.each([{ password: "x" }, { user: "a b" }, { user: "é" }, { user: "a:b" }])(
    "refuses %j without showing the password",
    (given) => {
      expect(() => authorizationFor(given)).toThrow(OpsError);
    },
  );
});
