import { expect, test } from "vitest";
import { treeZooKeeper, ZnodeTree } from "../src/sandbox/znode-tree.js";

const bytes = (text: string) => Buffer.from(text);

test("events come in the order of the changes, after each change", () => {
  const tree = new ZnodeTree();
  const seen: string[] = [];
  const stop = tree.onChange(({ type, path }) =>
    seen.push(`${type} ${path} ${tree.get(path) ? "there" : "gone"}`),
  );
  tree.create("/a", bytes("1"));
  tree.setData("/a", bytes("2"));
  tree.remove("/a");
  stop();
  tree.create("/a", bytes("3"));
  expect(seen).toEqual([
    "created /a there",
    "children / there",
    "changed /a there",
    "deleted /a gone",
    "children / there",
  ]);
});

test("stats equal ZooKeeper's", () => {
  let time = 1000;
  const tree = new ZnodeTree(() => time++);
  tree.create("/a", bytes("one"));
  tree.create("/a/b", bytes(""));
  tree.create("/a/c", bytes(""));
  tree.remove("/a/b");
  tree.setData("/a", bytes("four"));
  expect(tree.get("/a")?.stat).toEqual({
    czxid: 1n,
    mzxid: 5n,
    pzxid: 4n,
    ctime: 1001,
    mtime: 1004,
    version: 1,
    cversion: 3,
    ephemeralOwner: 0n,
    dataLength: 4,
    numChildren: 1,
  });
  expect(tree.zxid).toBe(5n);
});

test("a refused change changes nothing", () => {
  const tree = new ZnodeTree();
  tree.create("/a", bytes(""));
  tree.create("/a/own", bytes(""), { ephemeralOwner: tree.newSession() });
  const before = tree.zxid;
  const attempts: [string, () => unknown][] = [
    ["node-exists", () => tree.create("/a", bytes(""))],
    ["node-exists", () => tree.create("/", bytes(""))],
    ["no-node", () => tree.create("/x/y", bytes(""))],
    ["no-node", () => tree.setData("/x", bytes(""))],
    ["no-node", () => tree.remove("/x")],
    ["not-empty", () => tree.remove("/a")],
    ["bad-arguments", () => tree.remove("/")],
    ["bad-version", () => tree.setData("/a", bytes(""), 7)],
    ["bad-version", () => tree.remove("/a/own", 7)],
    ["no-children-for-ephemerals", () => tree.create("/a/own/x", bytes(""))],
    ...["a", "", "/a/", "//a", "/a/../b", "/a\0"].map((path): [string, () => unknown] => [
      "bad-arguments",
      () => tree.create(path, bytes("")),
    ]),
  ];
  for (const [reason, attempt] of attempts) {
    expect(attempt).toThrow(expect.objectContaining({ reason }));
  }
  expect(tree.zxid).toBe(before);
  expect(tree.paths()).toEqual(["/a", "/a/own"]);
});

test("closing a session removes exactly its own nodes", async () => {
  const tree = new ZnodeTree();
  const [one, two] = [treeZooKeeper(tree), treeZooKeeper(tree)];
  expect(await one.create("/deep/er/lock", bytes("1"), "ephemeral-sequential")).toBe(
    "/deep/er/lock0000000000",
  );
  expect(await two.create("/deep/er/lock", bytes("2"), "ephemeral-sequential")).toBe(
    "/deep/er/lock0000000001",
  );
  expect(await one.create("/kept", bytes("1"), "persistent")).toBe("/kept");
  expect(await two.create("/kept", bytes("2"), "persistent")).toBeUndefined();
  await one.close();
  expect(await two.getChildren("/deep/er")).toEqual(["lock0000000001"]);
  expect(await two.getData("/kept")).toEqual(bytes("1"));
});

test("the in-process client answers for absent paths as documented", async () => {
  const zk = treeZooKeeper(new ZnodeTree());
  expect(await zk.getData("/x")).toBeUndefined();
  expect(await zk.getChildren("/x")).toBeUndefined();
  expect(await zk.setData("/x", bytes("1"))).toBe(false);
  expect(await zk.remove("/x")).toBe(false);
  expect(await zk.create("/x", bytes("1"), "ephemeral")).toBe("/x");
  expect(await zk.setData("/x", bytes("2"))).toBe(true);
  expect(await zk.getData("/x")).toEqual(bytes("2"));
  expect(await zk.remove("/x")).toBe(true);
});
