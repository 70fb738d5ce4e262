import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { ACL, type Client, createClient, Id, Permission } from "node-zookeeper-client";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { connectZooKeeper, type ZooKeeperOptions } from "../src/cluster/zookeeper-client.js";
import { startZkServer } from "../src/sandbox/zk-server.js";
import { ZnodeTree } from "../src/sandbox/znode-tree.js";
import { startRealZookeeper } from "./helpers/real-zookeeper.js";
import { closedPort, startProxy, startTcp } from "./helpers/tcp.js";
import { startTurnClock } from "./helpers/turn-clock.js";

/** A server under test, embedded or real. */
interface Backend {
  readonly port: number;
  pause(): void;
  resume(): void;
  stop(): Promise<void>;
}

const BACKENDS: readonly [string, () => Promise<Backend>][] = [
  [
    "embedded server",
    async () => {
      const server = await startZkServer({ tree: new ZnodeTree(Date.now), minSessionMs: 1000 });
      return { ...server, stop: server.close };
    },
  ],
  ["real server", startRealZookeeper],
];

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function client(port: number, more: Partial<ZooKeeperOptions> = {}) {
  const hosts = `127.0.0.1:${port}`;
  const zk = await connectZooKeeper({ hosts, timeoutMs: 5000, sessionTimeoutMs: 4000, ...more });
  cleanups.push(() => zk.close());
  return zk;
}

async function proxyTo(port: number) {
  const proxy = await startProxy(port);
  cleanups.push(() => proxy.close());
  return proxy;
}

/** A client of the library itself, for functions that our wrapper lacks. */
async function rawClient(port: number, auth?: string): Promise<Client> {
  const raw = createClient(`127.0.0.1:${port}`, { sessionTimeout: 4000, spinDelay: 50 });
  if (auth) raw.addAuthInfo("digest", Buffer.from(auth));
  const connected = new Promise<void>((resolve) => raw.once("connected", resolve));
  raw.connect();
  await connected;
  cleanups.push(() => raw.close());
  return raw;
}

function createRaw(raw: Client, path: string, acl: ACL[]): Promise<string> {
  return new Promise((resolve, reject) => {
    raw.create(path, Buffer.from("x"), acl, (error, made) =>
      error ? reject(error) : resolve(made),
    );
  });
}

async function until(what: string, condition: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`never happened: ${what}`);
    await sleep(20);
  }
}

describe.each(BACKENDS)("%s", (_name, start) => {
  let backend: Backend;
  let port = 0;
  let serial = 0;
  beforeAll(async () => {
    backend = await start();
    port = backend.port;
  });
  afterAll(() => backend?.stop());
  /** A path that no other test uses. */
  const fresh = () => `/test${serial++}`;

  test("absent and empty nodes are distinguished", async () => {
    const zk = await client(port);
    const path = fresh();
    expect(await zk.getData(path)).toBeUndefined();
    expect(await zk.getChildren(path)).toBeUndefined();
    expect(await zk.setData(path, Buffer.from("x"))).toBe(false);
    expect(await zk.remove(path)).toBe(false);
    expect(await zk.create(path, Buffer.alloc(0), "persistent")).toBe(path);
    expect(await zk.getData(path)).toEqual(Buffer.alloc(0));
    expect(await zk.getChildren(path)).toEqual([]);
  });

  test("create, read, write, list, remove", async () => {
    const zk = await client(port);
    const path = fresh();
    await zk.create(path, Buffer.from("one"), "persistent");
    expect(await zk.create(path, Buffer.from("other"), "persistent")).toBeUndefined();
    expect(String(await zk.getData(path))).toBe("one");
    expect(await zk.setData(path, Buffer.from("two"))).toBe(true);
    expect(String(await zk.getData(path))).toBe("two");
    await zk.create(`${path}/a`, Buffer.alloc(0), "persistent");
    await zk.create(`${path}/b`, Buffer.alloc(0), "persistent");
    expect([...((await zk.getChildren(path)) ?? [])].sort()).toEqual(["a", "b"]);
    await expect(zk.remove(path)).rejects.toMatchObject({ code: "zookeeper-failed" });
    expect(await zk.remove(`${path}/a`)).toBe(true);
    expect(await zk.getChildren(path)).toEqual(["b"]);
  });

  test("a deep create creates the parents, once and in parallel", async () => {
    const zk = await client(port);
    const path = fresh();
    const made = await Promise.all(
      ["x", "y", "z"].map((name) =>
        zk.create(`${path}/a/b/${name}`, Buffer.from(name), "persistent"),
      ),
    );
    expect(made).toEqual(["x", "y", "z"].map((name) => `${path}/a/b/${name}`));
    expect(await zk.getData(`${path}/a`)).toEqual(Buffer.alloc(0));
    expect(String(await zk.getData(`${path}/a/b/y`))).toBe("y");
  });

  test("sequential names grow with every child ever created", async () => {
    const zk = await client(port);
    const path = fresh();
    const lock = `${path}/lock_request`;
    expect(await zk.create(lock, Buffer.from("1"), "ephemeral-sequential")).toBe(
      `${lock}0000000000`,
    );
    expect(await zk.create(lock, Buffer.from("2"), "ephemeral-sequential")).toBe(
      `${lock}0000000001`,
    );
    await zk.create(`${path}/plain`, Buffer.alloc(0), "persistent");
    await zk.remove(`${lock}0000000001`);
    expect(await zk.create(lock, Buffer.from("3"), "ephemeral-sequential")).toBe(
      `${lock}0000000003`,
    );
  });

  test("large and binary data are read back unchanged", async () => {
    const zk = await client(port);
    const path = fresh();
    const data = randomBytes(500_000);
    await zk.create(path, data, "persistent");
    const [first, second] = await Promise.all([zk.getData(path), zk.getData(path)]);
    expect(first?.equals(data)).toBe(true);
    expect(second?.equals(data)).toBe(true);
    const reversed = Buffer.from(data).reverse();
    await zk.setData(path, reversed);
    expect((await zk.getData(path))?.equals(reversed)).toBe(true);
  });

  test("a thousand reads at once are all answered", async () => {
    const zk = await client(port);
    const path = fresh();
    await zk.create(path, Buffer.from("x"), "persistent");
    const answers = await Promise.all(Array.from({ length: 1000 }, () => zk.getData(path)));
    expect(answers.every((data) => String(data) === "x")).toBe(true);
  });

  test("close removes an ephemeral node at once", async () => {
    const [owner, other] = [await client(port), await client(port)];
    const path = fresh();
    await owner.create(path, Buffer.from("me"), "ephemeral");
    expect(String(await other.getData(path))).toBe("me");
    await expect(
      owner.create(`${path}/child`, Buffer.alloc(0), "persistent"),
    ).rejects.toMatchObject({ code: "zookeeper-failed" });
    await owner.close();
    expect(await other.getData(path)).toBeUndefined();
    await expect(owner.getData(path)).rejects.toMatchObject({
      code: "zookeeper-failed",
      retryable: false,
      message: expect.stringContaining("closed"),
    });
  });

  test("a node is removed only if it is as it was read", async () => {
    let gate: Promise<unknown> = Promise.resolve();
    const slow = await startTcp((inner) => {
      const outer = connect(port, "127.0.0.1");
      let sent: Promise<unknown> = Promise.resolve();
      inner.on("data", (chunk) => {
        sent = sent.then(() => gate).then(() => outer.write(chunk));
      });
      outer.on("error", () => inner.destroy()).pipe(inner);
      inner.on("close", () => outer.destroy());
    });
    cleanups.push(() => slow.close());
    const [zk, other] = [await client(slow.port), await client(port)];
    const path = fresh();
    const says = (text: string) => (data: Buffer) => String(data) === text;
    expect(await zk.removeIf(path, () => true)).toBe(false);
    await other.create(path, Buffer.from("mine"), "persistent");
    expect(await zk.removeIf(path, says("yours"))).toBe(false);
    const isStaleRemoved = await zk.removeIf(path, (data) => {
      gate = other.setData(path, Buffer.from("theirs"));
      return String(data) === "mine";
    });
    expect(await gate).toBe(true);
    expect([isStaleRemoved, String(await other.getData(path))]).toEqual([false, "theirs"]);
    expect(await zk.removeIf(path, says("theirs"))).toBe(true);
    expect(await other.getData(path)).toBeUndefined();
  });

  test("a session removes its own nodes, and none of another session or of none", async () => {
    const [owner, other] = [await client(port), await client(port)];
    const path = fresh();
    expect(await owner.removeOwn(path)).toBe(false);
    await owner.create(path, Buffer.from("me"), "ephemeral");
    // The same data, as in a lock node that was copied by hand.
    expect([await owner.isOwn(path), await other.isOwn(path)]).toEqual([true, false]);
    expect(await other.removeOwn(path)).toBe(false);
    expect(String(await owner.getData(path))).toBe("me");
    expect(await owner.removeOwn(path)).toBe(true);
    expect(await owner.getData(path)).toBeUndefined();
    await owner.create(path, Buffer.from("me"), "persistent");
    expect(await owner.removeOwn(path)).toBe(false);
    expect(String(await owner.getData(path))).toBe("me");
  });

  test("an ephemeral node is removed with its session; then the client opens a new one", async () => {
    const proxy = await proxyTo(port);
    const notes: string[] = [];
    const owner = await client(proxy.port, {
      sessionTimeoutMs: 1000,
      onNote: (text) => notes.push(text),
    });
    const other = await client(port);
    const path = fresh();
    await owner.create(path, Buffer.alloc(0), "ephemeral");
    proxy.cut(true);
    expect(await other.getData(path)).toBeDefined();
    await until("expiry", async () => (await other.getData(path)) === undefined);
    proxy.mend();
    // The read is repeated in a new session, in which the create after it succeeds.
    expect(await owner.getData(path)).toBeUndefined();
    expect(await owner.create(path, Buffer.alloc(0), "ephemeral")).toBe(path);
    expect(await other.getData(path)).toBeDefined();
    expect(notes).toEqual([expect.stringContaining("expired")]);
  });

  test("reads survive a cut connection, and the session keeps its nodes", async () => {
    const proxy = await proxyTo(port);
    const zk = await client(proxy.port);
    const path = fresh();
    await zk.create(path, Buffer.from("kept"), "ephemeral");
    const reads = Array.from({ length: 20 }, () => zk.getData(path));
    proxy.cut();
    expect((await Promise.all(reads)).map(String)).toEqual(reads.map(() => "kept"));
    expect(String(await zk.getData(path))).toBe("kept");
    expect(proxy.count()).toBe(2);
  });

  test("a stopped server: operations end in time, and work again when it continues", async () => {
    const path = fresh();
    const writer = await client(port);
    await writer.create(path, Buffer.from("x"), "persistent");
    const zk = await client(port, { operationTimeoutMs: 300 });
    backend.pause();
    try {
      let [error, tookMs]: [unknown, number] = [undefined, 0];
      // The signal stops the real server with a delay.
      await until("silence", async () => {
        const started = startTurnClock();
        error = await zk.getData(path).then(
          () => undefined,
          (thrown) => thrown,
        );
        tookMs = started();
        return error !== undefined;
      });
      expect(error).toMatchObject({
        code: "zookeeper-failed",
        retryable: true,
        message: expect.stringContaining("no answer in time"),
      });
      expect(tookMs).toBeLessThan(1000);
    } finally {
      backend.resume();
    }
    await until("an answer", async () => String(await zk.getData(path).catch(() => "")) === "x");
  });

  test("creator-only nodes are closed to other clients", async () => {
    const mine = await client(port, { authCert: "me:secret" });
    const anonymous = await client(port);
    const wrong = await client(port, { authScheme: "digest", authCert: "me:wrong" });
    const path = fresh();
    const acl = [new ACL(Permission.ALL, new Id("auth", ""))];
    await createRaw(await rawClient(port, "me:secret"), path, acl);
    await mine.create(`${path}/own`, Buffer.from("y"), "persistent");
    expect(String(await mine.getData(path))).toBe("x");
    for (const zk of [anonymous, wrong]) {
      for (const refused of [
        () => zk.getData(path),
        () => zk.getChildren(path),
        () => zk.setData(path, Buffer.from("z")),
        () => zk.create(`${path}/theirs`, Buffer.from("z"), "persistent"),
        () => zk.remove(`${path}/own`),
        () => zk.getData(`${path}/own`),
      ]) {
        await expect(refused()).rejects.toMatchObject({
          code: "zookeeper-auth",
          hint: expect.stringMatching(/--zk_cert.*--zk_auth_schema/),
          retryable: false,
        });
      }
    }
    expect(await mine.getChildren(path)).toEqual(["own"]);
  });

  test("an auth scheme unknown to the server is an error of the credentials", async () => {
    const zk = client(port, { authScheme: "nonsense", authCert: "me:secret" });
    await expect(zk.then((connected) => connected.getChildren("/"))).rejects.toMatchObject({
      code: "zookeeper-auth",
    });
  });

  test("a list of servers is usable when the first one is dead", async () => {
    const dead = await closedPort();
    const started = startTurnClock();
    const zk = await client(port, { hosts: `127.0.0.1:${dead},127.0.0.1:${port}` });
    expect(started()).toBeLessThan(1500);
    expect(await zk.getChildren("/")).toBeDefined();
  });

  test("invalid paths and too much data are refused before they are sent", async () => {
    const zk = await client(port);
    await expect(zk.getData("no-slash")).rejects.toMatchObject({ code: "usage" });
    await expect(zk.getData("/a/")).rejects.toMatchObject({ code: "usage" });
    const tooMuch = Buffer.alloc(1_100_000);
    await expect(zk.create(fresh(), tooMuch, "persistent")).rejects.toMatchObject({
      code: "usage",
    });
    expect(await zk.getChildren("/")).toBeDefined();
  });

  test("watches fire once, also for changes while the client was disconnected", async () => {
    const proxy = await proxyTo(port);
    const [raw, zk] = [await rawClient(proxy.port), await client(port)];
    const path = fresh();
    const seen: string[] = [];
    const watcher = (event: { name: string; path: string }) =>
      void seen.push(`${event.name} ${event.path.replace(path, "")}`);
    const asked = (ask: (done: () => void) => void) => new Promise<void>((resolve) => ask(resolve));
    await asked((done) => raw.exists(path, watcher, () => done()));
    await zk.create(path, Buffer.alloc(0), "persistent");
    await until("created", () => seen.length === 1);
    await asked((done) => raw.getData(path, watcher, () => done()));
    await asked((done) => raw.getChildren(path, watcher, () => done()));
    await zk.setData(path, Buffer.from("1"));
    await zk.setData(path, Buffer.from("2"));
    await zk.create(`${path}/child`, Buffer.alloc(0), "persistent");
    await zk.create(`${path}/child2`, Buffer.alloc(0), "persistent");
    await until("changed", () => seen.length === 3);
    await asked((done) => raw.getData(`${path}/child`, watcher, () => done()));
    proxy.cut(true);
    await zk.remove(`${path}/child`);
    proxy.mend();
    await until("deleted", () => seen.length === 4);
    expect(seen).toEqual([
      "NODE_CREATED ",
      "NODE_DATA_CHANGED ",
      "NODE_CHILDREN_CHANGED ",
      "NODE_DELETED /child",
    ]);
  });

  test("invalid input ends its own connection only", async () => {
    const zk = await client(port);
    for (const text of [
      "GET / HTTP/1.1\r\n\r\n",
      "\0\0\0\u0005hello",
      "\xff\xff\xff\xff",
      "\0\0\0\0",
    ]) {
      const socket = connect(port, "127.0.0.1", () => socket.write(text, "latin1"));
      cleanups.push(() => void socket.destroy());
      await new Promise<void>((resolve) => {
        socket.on("error", () => undefined);
        socket.on("close", () => resolve());
        socket.resume();
      });
    }
    expect(await zk.getChildren("/")).toBeDefined();
  });
});

test("embedded server: dropped connections, expired sessions, and the command ruok", async () => {
  const server = await startZkServer({ tree: new ZnodeTree() });
  cleanups.push(() => server.close());
  const zk = await client(server.port);
  await zk.create("/mine", Buffer.alloc(0), "ephemeral");
  server.dropConnections();
  expect(await zk.getData("/mine")).toBeDefined();
  server.expireSessions();
  expect(await zk.getData("/mine")).toBeUndefined();
  const word = await new Promise<string>((resolve) => {
    const socket = connect(server.port, "127.0.0.1", () => socket.write("ruok"));
    socket.on("data", (answer) => resolve(String(answer)));
  });
  expect(word).toBe("imok");
});
