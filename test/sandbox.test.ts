import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { PassThrough } from "node:stream";
import { create, type MessageShape } from "@bufbuild/protobuf";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createGrpcTransport } from "../src/cluster/grpc-transport.js";
import type { ZooKeeper } from "../src/cluster/zookeeper.js";
import { connectZooKeeper } from "../src/cluster/zookeeper-client.js";
import { TabletServer } from "../src/gen/openmldb/api_pb.js";
import { NameServer } from "../src/gen/openmldb/nameserver_pb.js";
import { runConsole } from "../src/sandbox/serve/console.js";
import { runConsoleLine } from "../src/sandbox/serve/console-commands.js";
import { WireProcess } from "../src/sandbox/serve/grpc-server.js";
import { type SandboxOptions, startSandbox } from "../src/sandbox/start.js";
import { type RealZookeeper, startRealZookeeper } from "./helpers/real-zookeeper.js";
import { BIN } from "./helpers/run-bin.js";
import { callSandbox, sandboxForTest } from "./helpers/sandbox.js";

/** A raw call with any metadata and bytes. @returns The status as grpc-js reports it. */
function rawCall(
  address: string,
  path: string,
  given: { readonly authorization?: string; readonly body?: Buffer } = {},
): Promise<{ code: number; details: string }> {
  const client = new Client(address, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
  });
  onTestFinished(() => client.close());
  const metadata = new Metadata();
  if (given.authorization !== undefined) metadata.set("authorization", given.authorization);
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      path,
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
      given.body ?? Buffer.alloc(0),
      metadata,
      { deadline: Date.now() + 30_000 },
      (error) => resolve({ code: error?.code ?? status.OK, details: error?.details ?? "" }),
    );
  });
}

const SHOW_TABLET = "/openmldb.nameserver.NameServer/ShowTablet";

describe("calls over gRPC", () => {
  test("are answered by the model: the leader answers, the standby answers 300", async () => {
    const sandbox = await sandboxForTest();
    const [leader = "", standby = ""] = sandbox.nameservers;
    const shown = await callSandbox(sandbox.addressOf(leader), NameServer.method.showTablet, {});
    expect(shown.tablets.map((tablet) => `${tablet.endpoint} ${tablet.state}`)).toEqual(
      sandbox.tablets.map((endpoint) => `${endpoint} kHealthy`),
    );
    const refused = await callSandbox(sandbox.addressOf(standby), NameServer.method.showTablet, {});
    expect(refused.code).toBe(300);
  });

  test.each([
    ["unknown method", `${SHOW_TABLET}s`, "", status.UNIMPLEMENTED],
    ["unknown service", "/openmldb.api.TabletServer/GetTableStatus", "", status.UNIMPLEMENTED],
    ["broken protobuf", SHOW_TABLET, "ffffff", status.INVALID_ARGUMENT],
    [
      "missing required field",
      "/openmldb.nameserver.NameServer/ConfSet",
      "0a00",
      status.INVALID_ARGUMENT,
    ],
  ])("%s: gets the status that brpc gives", async (_, path, hex, code) => {
    const sandbox = await sandboxForTest();
    const address = sandbox.addressOf(sandbox.nameservers[0] ?? "");
    const body = Buffer.from(hex, "hex");
    expect((await rawCall(address, path, { authorization: "sdefault", body })).code).toBe(code);
  });

  test("without authorization the connection is dropped; any value passes if auth is off", async () => {
    const sandbox = await sandboxForTest();
    const address = sandbox.addressOf(sandbox.nameservers[0] ?? "");
    expect(await rawCall(address, SHOW_TABLET)).toMatchObject({
      code: status.UNAVAILABLE,
      details: expect.stringContaining("Connection dropped"),
    });
    expect((await rawCall(address, SHOW_TABLET, { authorization: "" })).code).toBe(status.OK);
  });

  test("with auth on only the service token and the user's credentials pass", async () => {
    const sandbox = await sandboxForTest({ auth: { user: "root", password: "" } });
    const address = sandbox.addressOf(sandbox.nameservers[0] ?? "");
    const sha256OfNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const codes = async (authorization: string) =>
      (await rawCall(address, SHOW_TABLET, { authorization })).code;
    expect(await codes("sdefault")).toBe(status.OK);
    expect(await codes(`uroot:1${sha256OfNothing}`)).toBe(status.OK);
    expect(await codes("swrong")).toBe(status.UNAVAILABLE);
  });

  test("carry large messages both ways", async () => {
    const wire = await WireProcess.open(undefined);
    onTestFinished(() => wire.close());
    const { loadTable } = TabletServer.method;
    wire.serve({
      service: TabletServer,
      credentials: undefined,
      answer: async (_, request) => {
        const { tableMeta } = request as MessageShape<typeof loadTable.input>;
        return create(loadTable.output, { code: 0, msg: tableMeta?.name ?? "" });
      },
    });
    const name = "x".repeat(12_000_000);
    const answer = await callSandbox(wire.address, loadTable, { tableMeta: { name } });
    expect(answer.msg === name).toBe(true);
  });
});

test("loads take the configured time, by default the model's", async () => {
  const loadBaseMs = async (options: SandboxOptions) =>
    (await sandboxForTest(options)).model.options.loadBaseMs;
  expect(await loadBaseMs({ loadMs: 1 })).toBe(1);
  expect(await loadBaseMs({})).toBe(20);
});

describe("a process seen by a client", () => {
  test("killed: the call in flight fails, later ones are refused; restarted: the same port answers", async () => {
    const sandbox = await sandboxForTest({ speed: 20 });
    const tablet = sandbox.tablets[0] ?? "";
    const address = sandbox.addressOf(tablet);
    const transport = createGrpcTransport({ authorization: "sdefault" });
    onTestFinished(() => transport.close());
    const call = () =>
      transport.unary(address, TabletServer.method.getTableStatus, {}, { timeoutMs: 30_000 });
    expect((await call()).code).toBe(0);
    sandbox.model.hang(tablet);
    const inFlight = call();
    await new Promise((resolve) => setTimeout(resolve, 50));
    sandbox.model.kill(tablet);
    await expect(inFlight).rejects.toMatchObject({
      code: "unreachable",
      message: expect.stringContaining("reset"),
    });
    await expect(
      callSandbox(address, TabletServer.method.getTableStatus, {}),
    ).rejects.toMatchObject({ code: "unreachable", message: expect.stringContaining("refused") });
    await sandbox.restart(tablet);
    const answer = await callSandbox(address, TabletServer.method.getTableStatus, {});
    expect(answer.allTableStatus).toEqual([]);
  });

  test("hung: connections are accepted and calls never answered, until it is resumed", async () => {
    const sandbox = await sandboxForTest();
    const tablet = sandbox.tablets[0] ?? "";
    const address = sandbox.addressOf(tablet);
    sandbox.model.hang(tablet);
    const socket = connect(Number(address.split(":")[1]), "127.0.0.1");
    await once(socket, "connect");
    socket.destroy();
    await expect(
      callSandbox(address, TabletServer.method.getTableStatus, {}, { timeoutMs: 200 }),
    ).rejects.toMatchObject({ code: "deadline" });
    const waiting = callSandbox(address, TabletServer.method.getTableStatus, {});
    setTimeout(() => sandbox.model.resume(tablet), 50);
    expect((await waiting).code).toBe(0);
  });

  test("an outage leaves everything registered and nothing loaded", async () => {
    const sandbox = await sandboxForTest({ speed: 20 });
    await sandbox.outage({ withNameservers: true });
    expect(sandbox.model.tree.children("/openmldb/nodes")).toEqual([...sandbox.tablets].sort());
    for (const tablet of sandbox.tablets) {
      const address = sandbox.addressOf(tablet);
      const answer = await callSandbox(address, TabletServer.method.getTableStatus, {});
      expect(answer.allTableStatus).toEqual([]);
    }
    expect(sandbox.model.rows().every((partition) => partition.lost === 0)).toBe(true);
  });
});

describe("the console", () => {
  test("puts, counts, cuts and lists faults", async () => {
    const sandbox = await sandboxForTest({ tables: 1, partitions: 2, rows: 10, speed: 20 });
    const say = (line: string) => runConsoleLine(sandbox, line);
    expect(await say("healthy")).toEqual({ healthy: true, complaints: [] });
    expect(await say("put 5")).toEqual({ accepted: 10, refused: [] });
    expect(await say("rows")).toMatchObject({ acknowledged: 30, served: 30, lost: 0 });
    await expect.poll(() => say("healthy")).toMatchObject({ healthy: true });
    expect(await say("kill tablet1")).toEqual({ ok: true });
    expect(await say("cut tablet1 db1.t0 0 3")).toEqual({ ok: true });
    const rows = sandbox.model.rows({ db: "db1", table: "t0", pid: 0 });
    const held = rows[0]?.replicas.find((replica) => replica.endpoint === sandbox.tablets[0])?.held;
    expect(held).toBe(12);
    expect(await say("wipe tablet1")).toEqual({ ok: true });
    expect(await say("restart tablet1")).toEqual({ ok: true });
    expect(await say("outage")).toEqual({ ok: true });
    expect(await say("healthy")).toMatchObject({ healthy: false });
    expect(await say("rows")).toMatchObject({ acknowledged: 30, served: 0, lost: 0 });
  });

  test("makes the next loads and ops fail", async () => {
    const sandbox = await sandboxForTest();
    for (const line of ["fail-op kDelReplica 2", "fail-load tablet2", "slow-load tablet3 500"]) {
      expect(await runConsoleLine(sandbox, line)).toEqual({ ok: true });
    }
    expect(sandbox.model.tablet("tablet3").loads.slowMs).toBe(500);
  });

  test.each([
    ["frobnicate", /unknown command "frobnicate"; "help" lists/],
    ["constructor", /unknown command "constructor"/],
    ["kill", /NAME is missing; usage: kill NAME/],
    ["kill tablet9", /no process tablet9/],
    ["wipe tablet1", /tablet1 is running; kill it first/],
    ["wipe nameserver1", /nameserver1/],
    ["put many", /"many", which is no number; usage: put N/],
    ["put 1 2", /too many words; usage: put N/],
    ["outage tomorrow", /"tomorrow" is not with-ns/],
    ["fail-op kNothing", /no task type kNothing/],
    ["cut tablet1 db1.nothing 0 1", /no such replica/],
  ])("%s is answered with an error", async (line, error) => {
    const sandbox = await sandboxForTest({ partitions: 1, rows: 0 });
    expect(await runConsoleLine(sandbox, line)).toEqual({ error: expect.stringMatching(error) });
  });

  test("answers line by line, in order, survives the end of its input, and ends on request", async () => {
    const sandbox = await sandboxForTest({ partitions: 1, rows: 0 });
    const answers: string[] = [];
    const stop = new AbortController();
    const input = new PassThrough();
    let hasEnded = false;
    const ended = runConsole(sandbox, input, (text) => answers.push(text), stop.signal).then(() => {
      hasEnded = true;
    });
    input.end("put 1\n\n  rows  \nnonsense\n");
    await expect.poll(() => answers.length).toBe(3);
    expect(answers.map((text) => Object.keys(JSON.parse(text))[0])).toEqual([
      "accepted",
      "acknowledged",
      "error",
    ]);
    expect(hasEnded).toBe(false);
    stop.abort();
    await ended;
  });

  test("ends at quit, after the earlier commands", async () => {
    const sandbox = await sandboxForTest({ partitions: 1, rows: 0 });
    const answers: string[] = [];
    const input = new PassThrough();
    input.write("put 1\nquit\n");
    await runConsole(sandbox, input, (text) => answers.push(text), new AbortController().signal);
    expect(answers).toHaveLength(1);
  });
});

test("nothing listens after a stop, not even a starting process", async () => {
  const sandbox = await sandboxForTest({ speed: 200 });
  const address = sandbox.addressOf(sandbox.tablets[0] ?? "");
  sandbox.model.restart("tablet1");
  await sandbox.stop();
  await expect.poll(() => sandbox.model.process("tablet1").isUp).toBe(true);
  await sandbox.settled();
  await expect(callSandbox(address, TabletServer.method.getTableStatus, {})).rejects.toMatchObject({
    code: "unreachable",
  });
});

test("the port of the embedded ZooKeeper can be chosen, and a port in use is reported", async () => {
  const sandbox = await sandboxForTest();
  const port = Number(sandbox.zkCluster.split(":")[1]);
  await expect(startSandbox({ port })).rejects.toMatchObject({
    code: "usage",
    message: expect.stringContaining(`EADDRINUSE`),
  });
});

test.each([["SIGINT"], ["SIGTERM"]] as const)(
  "the command outlives the end of its input, and %s ends it with exit code 0",
  async (signal) => {
    const child = spawn(process.execPath, [BIN, "sandbox", "--output=json", "--rows=1"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    const [line] = (await once(child.stdout.setEncoding("utf8"), "data")) as [string];
    const ready = JSON.parse(line) as Record<string, unknown>;
    expect(ready).toEqual({
      zk_cluster: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      zk_root_path: "/openmldb",
      nameservers: [expect.any(String), expect.any(String)],
      tablets: [expect.any(String), expect.any(String), expect.any(String)],
    });
    expect(child.exitCode).toBeNull();
    child.kill(signal);
    expect(await once(child, "exit")).toEqual([0, null]);
  },
);

describe("with a real ZooKeeper", () => {
  let server: RealZookeeper;
  let client: ZooKeeper;

  beforeAll(async () => {
    server = await startRealZookeeper();
    client = await connectZooKeeper({
      hosts: server.hosts,
      timeoutMs: 10_000,
      sessionTimeoutMs: 6_000,
    });
  });

  afterAll(async () => {
    await client?.close();
    await server?.stop();
  });

  test("all znodes are mirrored, changes follow, and a stop removes them but nothing else", async () => {
    const sandbox = await sandboxForTest({
      zkCluster: [server.hosts],
      zkRootPath: "/mirrored",
      partitions: 1,
      rows: 1,
    });
    const { tree } = sandbox.model;
    const inTree = tree.paths().filter((path) => path.startsWith("/mirrored"));
    const inServer = await Promise.all(inTree.map((path) => client.getData(path)));
    expect(inServer).toEqual(inTree.map((path) => tree.get(path)?.data));
    await client.create("/mirrored/elsewhere", Buffer.from("mine"), "persistent");
    await callSandbox(sandbox.addressOf(sandbox.nameservers[0] ?? ""), NameServer.method.confSet, {
      conf: { key: "auto_failover", value: "false" },
    });
    await sandbox.settled();
    expect((await client.getData("/mirrored/config/auto_failover"))?.toString()).toBe("false");
    expect((await client.getData("/mirrored/elsewhere"))?.toString()).toBe("mine");
    await sandbox.stop();
    expect(await client.getChildren("/mirrored")).toEqual(["elsewhere"]);
  });

  test("a non-empty root path is refused", async () => {
    await client.create("/taken/by", Buffer.from("another program"), "persistent");
    await expect(
      startSandbox({ zkCluster: [server.hosts], zkRootPath: "/taken" }),
    ).rejects.toMatchObject({
      code: "refused",
      message: "ZooKeeper already holds something under /taken",
    });
  });
});
