import { describe, expect, it } from "vitest";
import { percentDecode } from "../src/cluster/grpc-status.js";
import { meanings, rejection } from "../src/cluster/response-codes.js";
import {
  isAddress,
  parseRootPath,
  readNameservers,
  readTopology,
  resolveEndpoint,
} from "../src/cluster/topology.js";
import type { ZooKeeper } from "../src/cluster/zookeeper.js";
import { OpsError } from "../src/errors.js";
import { oneLine } from "../src/util/text.js";
import { memoryZooKeeper } from "./helpers/memory-zookeeper.js";
import { readRecordings } from "./helpers/recorded.js";

const healthy = {
  "/openmldb/leader/lock_request0000000007": "ns-c:1",
  "/openmldb/leader/lock_request0000000003": "ns-a:1",
  "/openmldb/leader/lock_request0000000005": "ns-b:1",
  "/openmldb/nodes/tablet-b:2": "tablet-b:2",
  "/openmldb/nodes/tablet-a:2": "startup_tablet-a:2",
  "/openmldb/nodes/NLTABLET_near:3": "near:3",
  "/openmldb/table/table_index": "9",
};

async function failureOf(call: Promise<unknown>): Promise<OpsError> {
  const error = await call.then(
    () => new Error("it succeeded"),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(OpsError);
  return error as OpsError;
}

describe("readTopology", () => {
  it("treats the first name as the leader, the others as standbys, and leaves nearline tablets out", async () => {
    expect(await readTopology(memoryZooKeeper(healthy), "/openmldb")).toEqual({
      rootPath: "/openmldb",
      leader: "ns-a:1",
      standbys: ["ns-b:1", "ns-c:1"],
      tablets: ["tablet-a:2", "tablet-b:2"],
    });
  });

  it("counts a nameserver once that has registered twice", async () => {
    const zk = memoryZooKeeper({
      ...healthy,
      "/openmldb/leader/lock_request0000000008": "ns-a:1",
      "/openmldb/leader/lock_request0000000009": "ns-b:1",
    });
    const { leader, standbys } = await readNameservers(zk, "/openmldb");
    expect(leader).toBe("ns-a:1");
    expect(standbys).toEqual(["ns-b:1", "ns-c:1"]);
  });

  it("skips a znode that vanishes between the list and the read", async () => {
    const zk = memoryZooKeeper(healthy);
    const racing: ZooKeeper = {
      ...zk,
      getData: async (path) => (path.endsWith("3") ? undefined : zk.getData(path)),
    };
    expect(await readNameservers(racing, "/openmldb")).toMatchObject({
      leader: "ns-b:1",
      standbys: ["ns-c:1"],
    });
  });

  it("has no tablets if none was ever registered", async () => {
    const zk = memoryZooKeeper({ "/o/leader/lock_request0": "a:1" });
    expect((await readTopology(zk, "/o")).tablets).toEqual([]);
  });

  it.each([
    ["invalid UTF-8", Buffer.from([0x61, 0xff, 0xfe])],
    ["nothing", Buffer.alloc(0)],
    ["control characters", Buffer.from("a:1\u001b[2J")],
    ["a line feed", Buffer.from("a:1\n")],
    ["absurd length", Buffer.from("a".repeat(100_000))],
  ])("refuses a leader whose znode contains %s, naming the path", async (_what, data) => {
    const zk = memoryZooKeeper({ ...healthy, "/openmldb/leader/lock_request0000000001": data });
    const error = await failureOf(readTopology(zk, "/openmldb"));
    expect(error.code).toBe("bad-answer");
    expect(error.message).toContain("/openmldb/leader/lock_request0000000001");
    expect(error.message.length).toBeLessThan(200);
  });

  it("ignores a standby whose znode is invalid", async () => {
    const zk = memoryZooKeeper({
      ...healthy,
      "/openmldb/leader/lock_request0000000004": Buffer.from([0xff]),
    });
    expect((await readTopology(zk, "/openmldb")).standbys).toEqual(["ns-b:1", "ns-c:1"]);
  });

  it("lists paths that look like a cluster if the root path does not exist", async () => {
    const zk = memoryZooKeeper({
      ...healthy,
      "/prod/east/leader/lock_request0": "a:1",
      "/prod/east/nodes/b:1": "",
      "/prod/east/table/term": "1",
      "/prod/half/leader/x": "",
      "/deep/er/still/leader/x": "",
      "/deep/er/still/nodes/x": "",
      "/deep/er/still/table/x": "",
    });
    const error = await failureOf(readTopology(zk, "/openmld"));
    expect(error.code).toBe("no-cluster");
    expect(error.message).toBe(
      "no OpenMLDB cluster at /openmld; the paths that look like one: /openmldb, /prod/east",
    );
    expect(error.hint).toContain("--zk_root_path");
  });

  it("reports a path that exists but is no cluster", async () => {
    const zk = memoryZooKeeper({ "/kafka/brokers/ids/0": "x" });
    const error = await failureOf(readTopology(zk, "/kafka"));
    expect(error.code).toBe("no-cluster");
    expect(error.message).toBe(
      "no OpenMLDB cluster at /kafka (the path exists, but holds something else); no path looks like one",
    );
  });

  it("reads at most 200 znodes, and skips those without permission", async () => {
    const many = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`/a/n${i}`, ""]));
    const zk = memoryZooKeeper({ ...many, ...healthy, "/secret/x": "" });
    let reads = 0;
    const guarded: ZooKeeper = {
      ...zk,
      async getChildren(path) {
        reads += 1;
        if (path.startsWith("/secret")) {
          throw new OpsError({ code: "zookeeper-auth", message: "not authenticated" });
        }
        return zk.getChildren(path);
      },
    };
    const error = await failureOf(readTopology(guarded, "/none"));
    expect(error.message).toContain("look like one: /openmldb");
    expect(reads).toBeLessThanOrEqual(202);
  });

  it("distinguishes a cluster without a leader from a missing one", async () => {
    const error = await failureOf(
      readTopology(memoryZooKeeper({ "/openmldb/leader": "", "/openmldb/nodes": "" }), "/openmldb"),
    );
    expect(error).toMatchObject({ code: "no-leader", retryable: true });
    expect(error.message).toContain("no nameserver is registered as leader");
    expect(error.hint).toContain("start a nameserver");
  });

  it("reads the topology of every recording", async () => {
    const recordings = readRecordings();
    expect(recordings.length).toBeGreaterThan(10);
    for (const { name, zk_root_path, znodes } of recordings) {
      const nodes = Object.entries(znodes).map(([path, { data_base64 }]) => [
        path,
        Buffer.from(data_base64, "base64"),
      ]);
      const zk = memoryZooKeeper(Object.fromEntries(nodes) as Record<string, Buffer>);
      const { leader, standbys, tablets } = await readTopology(zk, zk_root_path);
      const isOneAway = /^(?:autofailover-1|lost-[12])-/.test(name);
      const tabletCount = isOneAway ? 2 : 3;
      expect(tablets.length, name).toBe(tabletCount);
      expect(standbys.length, name).toBe(/^(?:restart|failover|names)-/.test(name) ? 1 : 0);
      for (const endpoint of [leader, ...standbys, ...tablets]) {
        const address = await resolveEndpoint(zk, zk_root_path, endpoint);
        expect(address, name).toMatch(/^127\.0\.0\.1:1[345]\d{3}$/);
        expect(address === endpoint, name).toBe(!name.startsWith("names"));
      }
    }
  });
});

describe("resolveEndpoint", () => {
  const zk = memoryZooKeeper({
    "/o/map/names/tablet-a": "10.0.0.1:9527",
    "/o/map/names/bad": "nonsense",
    "/o/map/names/lined": "10.0.0.1:9527\n",
    "/o/map/names/worse": Buffer.from([0xff, 0x00]),
    "/o/map/names/moved:1": "moved.example:2",
  });

  it.each([
    ["tablet-a", "10.0.0.1:9527"],
    ["10.0.0.9:1", "10.0.0.9:1"],
    ["[::1]:9527", "[::1]:9527"],
    ["moved:1", "moved.example:2"],
  ])("%s is at %s", async (endpoint, address) => {
    expect(await resolveEndpoint(zk, "/o", endpoint)).toBe(address);
  });

  it.each(["tablet-z", "", "..", "a/b", "a\u0000:1", "x:0", "x:65536", "a b:1"])(
    "%j is neither an address nor a known name",
    async (endpoint) => {
      const error = await failureOf(resolveEndpoint(zk, "/o", endpoint));
      expect(error).toMatchObject({ code: "unreachable", retryable: false, endpoint });
      expect(error.message).toContain("neither host:port nor a server name under /o/map/names");
    },
  );

  it.each([
    ["bad", '"nonsense"'],
    ["lined", '"10.0.0.1:9527\\n"'],
    ["worse", '"\ufffd\\u0000"'],
  ])("refuses the entry of %s, and shows it", async (endpoint, shown) => {
    const error = await failureOf(resolveEndpoint(zk, "/o", endpoint));
    expect(error.code).toBe("bad-answer");
    expect(error.message).toBe(
      `the znode /o/map/names/${endpoint} holds ${shown}, which is no address`,
    );
  });
});

describe("parseRootPath", () => {
  it.each([
    ["/openmldb", "/openmldb"],
    ["/openmldb/", "/openmldb"],
    ["/a/b//", "/a/b"],
    ["/集群", "/集群"],
  ])("parses %j as %j", (text, path) => {
    expect(parseRootPath(text)).toBe(path);
  });

  it.each(["", "/", "//", "openmldb", "a/b", "/a//b", "/a/../b", "/.", "/a\nb"])(
    "refuses %j",
    (text) => {
      expect(() => parseRootPath(text)).toThrow(expect.objectContaining({ code: "usage" }));
      expect(() => parseRootPath(text)).toThrow(/^[^\n]*$/);
    },
  );
});

describe("texts from peers", () => {
  it("become one safe line of limited length", () => {
    expect(oneLine(" \u001b[31mred\r\n\tx\u0007y\u202e z\n")).toBe(
      String.raw`\x1b[31mred x\x07y\u202e z`,
    );
    expect(oneLine("a".repeat(10_000))).toBe(`${"a".repeat(500)}... (10000 characters)`);
    expect(oneLine("数据库")).toBe("数据库");
  });

  it("are decoded where they are percent-encoded", () => {
    expect(percentDecode("%3a%2F 5% %zz %e4%b8%ad %ff %")).toBe(":/ 5% %zz 中 %ff %");
  });

  it("can be addresses", () => {
    expect(["a:1", "[::1]:65535", "a.b-c:80"].every(isAddress)).toBe(true);
    expect(
      ["a", ":1", "a:", "a:b", "a:1:2", "a:123456", "http://a:1", "a:1 "].some(isAddress),
    ).toBe(false);
  });
});

describe("rejections", () => {
  it("contain the meaning of the code and the peer's message", () => {
    const error = rejection({
      endpoint: "a:1",
      method: "RecoverTable",
      code: 311,
      msg: "table is alive,\nneed not",
    });
    expect(error).toMatchObject({
      code: "rejected",
      responseCode: 311,
      endpoint: "a:1",
      retryable: false,
    });
    expect(error.message).toBe(
      "RecoverTable at a:1 was refused: the replica is marked alive (code 311: table is alive, need not)",
    );
  });

  it("contain a hint, and whether a retry can help", () => {
    expect(rejection({ endpoint: "a:1", method: "M", code: 301, msg: "" }).hint).toContain(
      "auto_failover",
    );
    expect(rejection({ endpoint: "a:1", method: "M", code: 300, msg: "" }).retryable).toBe(true);
  });

  it("work for unknown codes", () => {
    const error = rejection({ endpoint: "a:1", method: "M", code: 4711, msg: "" });
    expect(error.message).toBe("M at a:1 was refused (code 4711)");
    expect(error.retryable).toBe(false);
  });

  it.each([
    -1, 0, 100, 101, 102, 103, 104, 107, 110, 119, 129, 131, 134, 138, 300, 301, 302, 303, 304, 305,
    306, 307, 308, 309, 310, 311, 312, 318, 319, 320, 321, 1101,
  ])("have an entry for code %i", (code) => {
    expect(meanings.get(code)?.meaning).toMatch(/^[a-z].*[a-z)]$/);
  });
});
