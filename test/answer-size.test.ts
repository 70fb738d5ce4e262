import { createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { expect, onTestFinished, test } from "vitest";
import { decodeInTurns } from "../src/cluster/decode.js";
import { ShowTableResponseSchema } from "../src/gen/openmldb/nameserver_pb.js";
import { runNode } from "./helpers/run-bin.js";

const MIB = 1024 * 1024;
/** The size limit of these calls: a quarter of the default, so that the test is fast. */
const MAX_BYTES = 32 * MIB;
/** The memory limit for the program with one hostile answer. */
const PEAK_MIB = 450;

const modules = ["cluster/grpc-transport.js", "gen/openmldb/api_pb.js"].map((path) =>
  JSON.stringify(new URL(`../dist/${path}`, import.meta.url).href),
);

/** Makes one call in a separate process. */
async function callAlone(
  address: string,
  timeoutMs = 60_000,
): Promise<{ error: string; peakMib: number }> {
  const script = `
    const { createGrpcTransport } = await import(${modules[0]});
    const { TabletServer } = await import(${modules[1]});
    const transport = createGrpcTransport({ authorization: "sdefault", maxAnswerBytes: ${MAX_BYTES} });
    const ended = await transport
      .unary(${JSON.stringify(address)}, TabletServer.method.getTableStatus, {}, { timeoutMs: ${timeoutMs} })
      .then(() => ({}), (error) => error);
    const peakMib = process.resourceUsage().maxRSS / 1024;
    console.log(JSON.stringify({ error: ended.code + ": " + ended.message, peakMib }));
    process.exit(0);`;
  const { stdout, stderr } = await runNode(["--input-type=module", "--eval", script]);
  expect(stderr).toBe("");
  return JSON.parse(stdout);
}

async function serve(answer: (stream: ServerHttp2Stream) => void): Promise<string> {
  const server = createServer();
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => {});
  });
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.resume();
    answer(stream);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function frame(body: Uint8Array, flag = 0, length = body.length): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, body]);
}

function respond(stream: ServerHttp2Stream, headers: Record<string, string> = {}): void {
  const head = { ":status": 200, "content-type": "application/grpc", ...headers };
  stream.respond(head, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
}

/** Writes until the peer closes the stream. */
function writeForEver(stream: ServerHttp2Stream): void {
  const chunk = Buffer.alloc(MIB);
  const more = () => {
    if (!stream.destroyed) stream.write(chunk, () => setImmediate(more));
  };
  more();
}

test("half a megabyte of gzip that unpacks to half a gigabyte stays within one size limit", async () => {
  const bomb = frame(gzipSync(Buffer.alloc(512 * MIB)), 1);
  const address = await serve((stream) => {
    respond(stream, { "grpc-encoding": "gzip" });
    stream.end(bomb);
  });
  const { error, peakMib } = await callAlone(address);
  expect(error).toBe(`bad-answer: GetTableStatus at ${address}: the answer is larger than 32 MiB`);
  expect(peakMib).toBeLessThan(PEAK_MIB);
});

test.each([
  ["announces a length of 4 GiB", 2 ** 32 - 1, /larger than 32 MiB/, undefined],
  // What comes without end comes until the deadline.
  ["is followed by others without end", 10, /^bad-answer|^deadline|^unreachable/, 3_000],
])("a message that %s stays within one size limit", async (_what, length, text, timeoutMs) => {
  const address = await serve((stream) => {
    respond(stream);
    stream.write(frame(Buffer.alloc(0), 0, length));
    writeForEver(stream);
  });
  const { error, peakMib } = await callAlone(address, timeoutMs);
  expect(error).toMatch(text);
  expect(peakMib).toBeLessThan(PEAK_MIB);
});

test("a message of 16 million empty elements is refused before they are created", async () => {
  // Field 1 of GetTableStatusResponse is the list of replicas.
  const code = Buffer.from([0x10, 0x00]);
  const body = frame(Buffer.concat([Buffer.alloc(MAX_BYTES - 1_024, "\n\u0000"), code]));
  const address = await serve((stream) => {
    respond(stream);
    stream.end(body);
  });
  const { error, peakMib } = await callAlone(address);
  expect(error).toMatch(/^bad-answer: .*more than \d+ elements/);
  expect(peakMib).toBeLessThan(PEAK_MIB);
});

test("elements are counted at every depth, and not in small answers", async () => {
  const nested = (count: number) => {
    const metas = Buffer.alloc(count * 2, Buffer.from([0x12, 0x00]));
    return Buffer.concat([
      Buffer.from([0x10, 0x00]),
      lengthDelimited(1, lengthDelimited(3, metas)),
    ]);
  };
  const tooMany = decodeInTurns(ShowTableResponseSchema, nested(3_000_000));
  await expect(tooMany).rejects.toThrow("more than 2097152 elements");
  expect(await decodeInTurns(ShowTableResponseSchema, nested(10_000))).toHaveProperty("missing");
});

function lengthDelimited(field: number, body: Buffer): Buffer {
  const head = [(field << 3) | 2];
  let length = body.length;
  while (length > 127) {
    head.push((length & 127) | 128);
    length >>>= 7;
  }
  return Buffer.concat([Buffer.from([...head, length]), body]);
}
