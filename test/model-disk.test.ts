import { expect, test } from "vitest";
import { StorageMode } from "../src/gen/openmldb/common_pb.js";
import { Disk, type ReplicaDir, SANDBOX_SCHEMA } from "../src/sandbox/model/disk.js";

function dir(entries: bigint, writer: number): ReplicaDir {
  const meta = {
    name: "t",
    db: "db",
    mode: "follower",
    term: 1n,
    storageMode: StorageMode.kMemory,
    segCount: 8,
    schema: SANDBOX_SCHEMA,
  } as const;
  const runs = [{ from: 1n, to: entries, term: 1n, writer }];
  return new Disk().install({ tid: 1, pid: 0, meta, runs });
}

test("a received snapshot replaces a longer one whose binlog is gone", () => {
  const leader = dir(9n, 1);
  leader.makeSnapshot(1n);
  const follower = dir(15n, 2);
  follower.makeSnapshot(1n);
  follower.dropBinlog();
  expect(follower.offset).toBe(15n);
  follower.receiveSnapshot(leader);
  expect(follower.offset).toBe(9n);
  expect(follower.runs).toEqual(leader.runs);
});

test("a received snapshot keeps the entries of the own binlog after it", () => {
  const leader = dir(9n, 1);
  leader.makeSnapshot(1n);
  const follower = dir(15n, 1);
  follower.receiveSnapshot(leader);
  expect(follower.runs).toEqual([{ from: 1n, to: 15n, term: 1n, writer: 1 }]);
});
