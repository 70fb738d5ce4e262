import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { connectZooKeeper } from "../src/cluster/zookeeper-client.js";
import { hostPortText, parseZkHosts } from "../src/cluster/zookeeper-hosts.js";
import { OpsError } from "../src/errors.js";
import { startZkServer } from "../src/sandbox/zk-server.js";
import { ZnodeTree } from "../src/sandbox/znode-tree.js";
import { closedPort, startTcp } from "./helpers/tcp.js";
import { startTurnClock } from "./helpers/turn-clock.js";
import "./helpers/fixed-cases.js";

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A server that is no ZooKeeper. It counts its connections. */
async function peer(onConnection: (socket: Socket) => void) {
  let connections = 0;
  const server = await startTcp((socket) => {
    connections += 1;
    onConnection(socket);
  });
  cleanups.push(() => server.close());
  return { address: `127.0.0.1:${server.port}`, connections: () => connections };
}

/** Connects, which must fail, and gives the error and how long that took, by the clock and in turns. */
async function failure(hosts: string, timeoutMs: number, signal?: AbortSignal) {
  const started = Date.now();
  const turns = startTurnClock();
  const error = await connectZooKeeper({ hosts, timeoutMs, sessionTimeoutMs: 2000, signal }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(OpsError);
  return { error: error as OpsError, tookMs: Date.now() - started, turnsMs: turns() };
}

const closesAtOnce = (socket: Socket) => void socket.destroy();
const staysSilent = (socket: Socket) => void socket.resume();
const answers = (bytes: Buffer) => (socket: Socket) =>
  void socket.once("data", () => socket.write(bytes));
const HTTP = Buffer.from("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
/** The SETTINGS frame of HTTP/2, as a nameserver's or tablet's port sends it. */
const HTTP2 = Buffer.from("000012040000000000000300000064000400010000000500004000", "hex");

/** The answer to a connect request. */
function connectAnswer(sessionTimeoutMs: number): Buffer {
  const greeting = Buffer.alloc(41);
  greeting.writeInt32BE(37);
  greeting.writeInt32BE(sessionTimeoutMs, 8);
  greeting.writeInt32BE(16, 20);
  return greeting;
}

describe("the message if no ZooKeeper answers", () => {
  const CASES: readonly (readonly [string, (socket: Socket) => void, string])[] = [
    ["closes at once", closesAtOnce, "closed the connection"],
    ["stays silent", staysSilent, "accepts connections but is silent"],
    ["speaks HTTP", answers(HTTP), "answers, but is not ZooKeeper"],
    ["speaks HTTP/2", answers(HTTP2), "answers, but is not ZooKeeper"],
    ["sends an empty frame", answers(Buffer.alloc(4)), "answers, but is not ZooKeeper"],
    ["sends a negative length", answers(Buffer.alloc(8, 0xff)), "answers, but is not ZooKeeper"],
    ["grants a session of 1 ms", answers(connectAnswer(1)), "answers, but is not ZooKeeper"],
    [
      "sends a frame of the right length",
      answers(Buffer.alloc(40, "\0\0\0$", "latin1")),
      "answers, but is not ZooKeeper",
    ],
  ];

  test("describes what listens there, and no connection is opened afterwards", async () => {
    // Long enough for one answer on a busy machine. All cases wait at the same time.
    const timeoutMs = 3_000;
    await Promise.all(
      CASES.map(async ([what, onConnection, words]) => {
        const { address, connections } = await peer(onConnection);
        const { error, tookMs, turnsMs } = await failure(address, timeoutMs);
        expect(error.message, what).toBe(`no ZooKeeper answered within 3 s: ${address} ${words}`);
        expect(error, what).toMatchObject({ code: "zookeeper-unreachable", retryable: true });
        expect(error.hint, what).toContain("--zk_cluster");
        expect(tookMs, what).toBeGreaterThan(timeoutMs - 50);
        expect(turnsMs, what).toBeLessThan(timeoutMs + 1_000);
        const before = connections();
        expect(before, what).toBeGreaterThan(0);
        await sleep(350);
        expect(connections(), what).toBe(before);
      }),
    );
  });

  test("each server is listed with its own reason", async () => {
    const refusing = `127.0.0.1:${await closedPort()}`;
    const silent = await peer(staysSilent);
    const http = await peer(answers(HTTP));
    const { error, turnsMs } = await failure(
      `${refusing},no-such-name.invalid:2181,${silent.address},${http.address}`,
      3_000,
    );
    expect(error.message).toBe(
      `no ZooKeeper answered within 3 s: ${refusing} connection refused; ` +
        `no-such-name.invalid:2181 name does not resolve; ` +
        `${silent.address} accepts connections but is silent; ` +
        `${http.address} answers, but is not ZooKeeper`,
    );
    expect(turnsMs).toBeLessThan(4_000);
  });

  test("an abort ends the wait at once", async () => {
    const silent = await peer(staysSilent);
    const { error, turnsMs } = await failure(silent.address, 5000, AbortSignal.timeout(100));
    expect(error.code).toBe("interrupted");
    expect(turnsMs).toBeLessThan(1000);
  });

  test("a ZooKeeper that starts during the wait is found", async () => {
    const port = await closedPort();
    const connecting = connectZooKeeper({
      hosts: `127.0.0.1:${port}`,
      timeoutMs: 5000,
      sessionTimeoutMs: 2000,
    });
    await sleep(500);
    const server = await startZkServer({ tree: new ZnodeTree(), port });
    cleanups.push(() => server.close());
    const zk = await connecting;
    expect(await zk.getChildren("/")).toEqual([]);
    await zk.close();
  });
});

function frameOf(chunk: Uint8Array, framed: boolean): Uint8Array[] {
  const length = Buffer.alloc(4);
  length.writeInt32BE(chunk.length);
  return framed ? [length, chunk] : [chunk];
}

test("random bytes after a valid greeting neither crash nor hang the client", async () => {
  const greeting = connectAnswer(2000);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 80 }), { minLength: 1, maxLength: 3 }),
      fc.boolean(),
      async (chunks, framed) => {
        const garbage = Buffer.concat(chunks.flatMap((chunk) => frameOf(chunk, framed)));
        const { address } = await peer((socket) => {
          socket.once("data", () => {
            socket.once("data", () => socket.write(garbage));
            socket.write(greeting);
          });
        });
        const zk = await connectZooKeeper({
          hosts: address,
          timeoutMs: 2000,
          sessionTimeoutMs: 2000,
          operationTimeoutMs: 60,
        });
        await expect(zk.getData("/x")).rejects.toMatchObject({ code: "zookeeper-failed" });
        await zk
          .setData("/x", Buffer.alloc(0))
          .catch((error) => expect(error).toBeInstanceOf(OpsError));
        const turns = startTurnClock();
        await zk.close();
        expect(turns()).toBeLessThan(1500);
      },
    ),
    { numRuns: 12 },
  );
});

describe("addresses", () => {
  test.each([
    ["zk1:2181", "zk1:2181"],
    ["zk1", "zk1:2181"],
    ["10.0.0.1:1,my_host.example.org:65535", "10.0.0.1:1 my_host.example.org:65535"],
    ["[::1]:2182,[fe80::1]", "[::1]:2182 [fe80::1]:2181"],
  ])("%s", (text, expected) => {
    expect(parseZkHosts(text).map(hostPortText).join(" ")).toBe(expected);
  });

  test.each([
    ["", "empty"],
    ["  ", "empty"],
    [",", "empty element"],
    ["zk1:2181,", "empty element"],
    ["zk1:2181,,zk2", "empty element"],
    ["zk1:2181, zk2:2181", "space"],
    ["zk1:", 'the port ""'],
    ["zk1:0", 'the port "0"'],
    ["zk1:65536", 'the port "65536"'],
    ["zk1:-1", 'the port "-1"'],
    ["zk1:2181x", 'the port "2181x"'],
    ["zk1:99999999999", "the port"],
    [":2181", "no usable host name"],
    ["zk!:2181", "no usable host name"],
    ["::1:2181", "not host:port"],
    ["[::1:2181", "not host:port"],
    ["[zk1]:2181", "not host:port"],
    ["[::1]2181", "not host:port"],
    ["http://zk1:2181", "scheme"],
    ["zk1:2181/openmldb", "path"],
  ])("refused: %j", async (text, words) => {
    const { error, turnsMs } = await failure(text, 5000);
    expect(error.code).toBe("usage");
    expect(error.message).toContain(words);
    expect(error.message).not.toContain("\n");
    expect(error.hint).toBeTruthy();
    expect(turnsMs).toBeLessThan(500);
  });
});
