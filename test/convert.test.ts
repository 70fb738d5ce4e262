import type { DescField, DescMessage, Message } from "@bufbuild/protobuf";
import { create, fromBinary, isFieldSet, ScalarType, toBinary, toJson } from "@bufbuild/protobuf";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import {
  toFollowerList,
  toOp,
  toReplicaReport,
  toTableClaim,
  toTableClaims,
  toTabletClaim,
  toWireRole,
  toWireStorageMode,
} from "../src/cluster/convert.js";
import { missingRequired } from "../src/cluster/required-fields.js";
import {
  GetTableFollowerResponseSchema,
  OPInfoSchema,
  TableMode,
  TableState,
  TableStatusSchema,
  TabletServer,
} from "../src/gen/openmldb/api_pb.js";
import { StorageMode } from "../src/gen/openmldb/common_pb.js";
import {
  NameServer,
  OPStatusSchema,
  ShowTableResponseSchema,
  TableInfoSchema,
  TabletStatusSchema,
} from "../src/gen/openmldb/nameserver_pb.js";
import { readRecordings } from "./helpers/recorded.js";

const recordings = readRecordings();
const methods = new Map(
  [...NameServer.methods, ...TabletServer.methods].map((method) => [
    `/${method.parent.typeName}/${method.name}`,
    method,
  ]),
);

/** Message type inside a field; undefined for fields of plain values. */
function inside(field: DescField): DescMessage | undefined {
  return field.fieldKind === "message" || field.fieldKind === "list" ? field.message : undefined;
}

/** Whether the message or one inside it has fields that our definitions lack. */
function hasUnknown(desc: DescMessage, message: Message): boolean {
  return (
    (message.$unknown?.length ?? 0) > 0 ||
    desc.fields.some((field) => {
      const inner = inside(field);
      const value = (message as unknown as Record<string, Message | Message[] | undefined>)[
        field.localName
      ];
      return inner !== undefined && [value ?? []].flat().some((item) => hasUnknown(inner, item));
    })
  );
}

/** A recorded JSON message without the fields that our definitions lack. */
function pruned(
  desc: DescMessage,
  json: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  for (const field of desc.fields) {
    const value = json[field.name];
    const inner = inside(field);
    if (value === undefined || (Array.isArray(value) && value.length === 0)) {
      continue;
    }
    // The recording has decoded bytes that the tool passes on unread (columns, rows).
    if ("scalar" in field && field.scalar === ScalarType.BYTES) {
      continue;
    }
    const prune = (item: unknown) =>
      inner === undefined ? item : pruned(inner, item as Readonly<Record<string, unknown>>);
    kept[field.name] = Array.isArray(value) ? value.map(prune) : prune(value);
  }
  return kept;
}

/** Decodes and encodes again, and compares. True if our definitions describe the message fully. */
function roundTrip(desc: DescMessage, bytes: Buffer): "identical" | "unknownFieldsKept" {
  const message = fromBinary(desc, bytes);
  const again = Buffer.from(toBinary(desc, message));
  if (hasUnknown(desc, message)) {
    expect(again.length).toBe(bytes.length);
    expect(fromBinary(desc, again)).toEqual(message);
    return "unknownFieldsKept";
  }
  expect(again.equals(bytes)).toBe(true);
  return "identical";
}

type Counts = Record<string, { identical: number; unknownFieldsKept: number }>;

function count(counts: Counts, name: string, outcome: "identical" | "unknownFieldsKept"): void {
  counts[name] ??= { identical: 0, unknownFieldsKept: 0 };
  counts[name][outcome] += 1;
}

describe("the recorded answers of a real cluster", () => {
  it("decode to the recorded JSON, field by field", () => {
    let compared = 0;
    for (const { name, rpc } of recordings) {
      for (const { path, response, response_base64 } of rpc) {
        if (response === undefined || response_base64 === undefined) {
          continue;
        }
        const output = methods.get(path)!.output;
        const message = fromBinary(output, Buffer.from(response_base64, "base64"));
        expect(missingRequired(output, message), `${name} ${path}`).toBeUndefined();
        expect(isFieldSet(message, output.fields.find((field) => field.name === "code")!)).toBe(
          true,
        );
        const own = toJson(output, message, { useProtoFieldName: true });
        expect(pruned(output, own as Readonly<Record<string, unknown>>), `${name} ${path}`).toEqual(
          pruned(output, response),
        );
        compared += 1;
      }
    }
    expect(compared).toBe(1011);
  });

  it("encode again to the same bytes, requests too", () => {
    const answers: Counts = {};
    const requests: Counts = {};
    for (const { rpc } of recordings) {
      for (const call of rpc) {
        const method = methods.get(call.path)!;
        count(
          requests,
          method.name,
          roundTrip(method.input, Buffer.from(call.request_base64, "base64")),
        );
        if (call.response_base64 !== undefined) {
          count(
            answers,
            method.name,
            roundTrip(method.output, Buffer.from(call.response_base64, "base64")),
          );
        }
      }
    }
    expect(Object.values(requests).every(({ unknownFieldsKept }) => unknownFieldsKept === 0)).toBe(
      true,
    );
    // A method whose answers all have undeclared fields would not check our field numbers.
    expect(answers).toEqual({
      ConfGet: { identical: 27, unknownFieldsKept: 0 },
      GetManifest: { identical: 199, unknownFieldsKept: 0 },
      GetTableFollower: { identical: 199, unknownFieldsKept: 0 },
      GetTableSchema: { identical: 0, unknownFieldsKept: 6 },
      GetTableStatus: { identical: 24, unknownFieldsKept: 30 },
      GetTermPair: { identical: 400, unknownFieldsKept: 0 },
      ShowDatabase: { identical: 27, unknownFieldsKept: 0 },
      ShowOPStatus: { identical: 27, unknownFieldsKept: 0 },
      ShowTable: { identical: 8, unknownFieldsKept: 19 },
      ShowTablet: { identical: 27, unknownFieldsKept: 0 },
      Traverse: { identical: 18, unknownFieldsKept: 0 },
    });
  });

  it.each([
    ["TableInfo", TableInfoSchema, "table/db_table_data", { identical: 95, unknownFieldsKept: 55 }],
    // `data` of an op holds bytes, not text, although OpenMLDB declares it as a string.
    ["OPInfo", OPInfoSchema, "op/op_data", { identical: 5, unknownFieldsKept: 0 }],
  ] as const)("and so do the znodes that hold a %s", (name, desc, folder, wanted) => {
    const counts: Counts = {};
    for (const { znodes, zk_root_path } of recordings) {
      for (const [path, { data_base64 }] of Object.entries(znodes)) {
        if (path.startsWith(`${zk_root_path}/${folder}/`)) {
          const bytes = Buffer.from(data_base64, "base64");
          expect(missingRequired(desc, fromBinary<DescMessage>(desc, bytes))).toBeUndefined();
          count(counts, name, roundTrip(desc, bytes));
        }
      }
    }
    expect(counts).toEqual({ [name]: wanted });
  });
});

describe("conversion of the recorded answers", () => {
  /** The first recorded answer of a method in one recording, both forms. */
  function recorded(name: string, method: string, endpoint?: string) {
    const call = recordings
      .find((recording) => recording.name === name)
      ?.rpc.find(
        (item) =>
          item.path.endsWith(`/${method}`) &&
          (endpoint === undefined || item.endpoint === endpoint),
      );
    return Buffer.from(call?.response_base64 ?? "", "base64");
  }

  it("gives tables whose absent offsets are undefined", async () => {
    const answer = fromBinary(
      ShowTableResponseSchema,
      recorded("failover-2-everything-restarted", "ShowTable"),
    );
    const tables = await toTableClaims(answer.tableInfo);
    const t0 = tables.find(({ db, table }) => db === "db1" && table === "t0");
    expect(t0).toMatchObject({ storageMode: "memory", segCount: 8 });
    expect(t0?.partitions[0]?.terms.length).toBe(2);
    const offsets = tables.flatMap(({ partitions }) =>
      partitions.flatMap(({ replicas }) => replicas.map(({ offset }) => typeof offset)),
    );
    expect(new Set(offsets)).toEqual(new Set(["bigint", "undefined"]));
    expect(tables.find(({ table }) => table === "disk0")?.storageMode).toBe("hdd");
    expect(tables.find(({ table }) => table === "USER")).toMatchObject({
      db: "__INTERNAL_DB",
      storageMode: "memory",
    });
  });

  it("converts all tables of a recording to the model", async () => {
    for (const { rpc, name } of recordings) {
      const call = rpc.find(
        ({ path, response }) => path.endsWith("/ShowTable") && response?.["code"] === 0,
      );
      const bytes = Buffer.from(call?.response_base64 ?? "", "base64");
      const tables = await toTableClaims(fromBinary(ShowTableResponseSchema, bytes).tableInfo);
      const json = call?.response?.["table_info"] as {
        name: string;
        table_partition: {
          partition_meta: { endpoint: string; is_alive?: boolean; offset?: string }[];
        }[];
      }[];
      const replicas = tables.map(({ table, partitions }) => ({
        table,
        metas: partitions.flatMap((partition) =>
          partition.replicas.map(({ endpoint, isAlive, offset }) => [
            endpoint,
            isAlive,
            offset?.toString(),
          ]),
        ),
      }));
      expect(replicas, name).toEqual(
        json.map((info) => ({
          table: info.name,
          metas: info.table_partition.flatMap((partition) =>
            partition.partition_meta.map((meta) => [
              meta.endpoint,
              meta.is_alive ?? true,
              meta.offset,
            ]),
          ),
        })),
      );
    }
  });
});

describe("conversion", () => {
  it("fills in the defaults of absent fields", () => {
    const info = create(TableInfoSchema, {
      name: "表 t",
      tid: 7,
      tablePartition: [{ pid: 0, partitionMeta: [{ endpoint: "a:1", isLeader: true }] }],
    });
    // Defaults are on the prototype only if the message was decoded from the wire.
    expect(toTableClaim(fromBinary(TableInfoSchema, toBinary(TableInfoSchema, info)))).toEqual({
      db: "",
      table: "表 t",
      tid: 7,
      segCount: 8,
      storageMode: "memory",
      replicaCount: 0,
      compressType: "kNoCompress",
      partitions: [
        {
          pid: 0,
          replicas: [
            {
              endpoint: "a:1",
              isLeader: true,
              isAlive: true,
              offset: undefined,
              recordCount: undefined,
              memoryBytes: undefined,
              diskBytes: 0n,
            },
          ],
          terms: [],
        },
      ],
    });
  });

  it("distinguishes offset 0 from an absent one", () => {
    const info = create(TableInfoSchema, {
      name: "t",
      tablePartition: [
        {
          pid: 0,
          partitionMeta: [{ endpoint: "a:1", isLeader: false, isAlive: false, offset: 0n }],
        },
      ],
    });
    const [replica] = toTableClaim(info).partitions[0]?.replicas ?? [];
    expect(replica).toMatchObject({ isLeader: false, isAlive: false, offset: 0n });
  });

  it.each([
    [Buffer.from([0x88, 0x01, 0]), "unknown"],
    [Buffer.from([0x88, 0x01, 1]), "memory"],
    [Buffer.from([0x88, 0x01, 2]), "ssd"],
    [Buffer.from([0x88, 0x01, 3]), "hdd"],
    [Buffer.from([0x88, 0x01, 9]), "unknown"],
    [Buffer.from([]), "memory"],
  ])("maps storage mode %j to %s", (bytes, mode) => {
    expect(toTableClaim(fromBinary(TableInfoSchema, bytes)).storageMode).toBe(mode);
  });

  it.each([
    [[0x28, 0], "undefined"],
    [[0x28, 1], "normal"],
    [[0x28, 2], "loading"],
    [[0x28, 3], "making-snapshot"],
    [[0x28, 4], "snapshot-paused"],
    [[0x28, 9], "other"],
    [[], "other"],
  ])("maps table state %j to %s", (bytes, state) => {
    expect(toReplicaReport(fromBinary(TableStatusSchema, Buffer.from(bytes))).state).toBe(state);
  });

  it.each([
    [[0x20, 1], "leader"],
    [[0x20, 2], "follower"],
    [[0x20, 3], undefined],
    [[], undefined],
  ])("maps table mode %j to %s", (bytes, role) => {
    expect(toReplicaReport(fromBinary(TableStatusSchema, Buffer.from(bytes))).role).toBe(role);
  });

  it("keeps the numbers of a report, 64 bits wide", () => {
    const max = 2n ** 64n - 1n;
    const status = create(TableStatusSchema, {
      tid: 3,
      pid: 2,
      mode: TableMode.kTableLeader,
      state: TableState.kTableNormal,
      offset: max,
      recordCnt: max - 1n,
      recordByteSize: max - 2n,
      recordIdxByteSize: max - 3n,
      diskused: max - 4n,
    });
    const report = {
      tid: 3,
      pid: 2,
      role: "leader",
      state: "normal",
      offset: max,
      recordCount: max - 1n,
      memoryBytes: max - 2n,
      indexBytes: max - 3n,
      diskBytes: max - 4n,
    };
    expect(toReplicaReport(status)).toEqual(report);
  });

  it.each([
    ["kHealthy", true],
    ["kTabletHealthy", true],
    ["kOffline", false],
    ["kTabletOffline", false],
    ["", false],
  ])("treats a tablet in state %j as healthy: %s", (state, isHealthy) => {
    const status = create(TabletStatusSchema, { endpoint: "a:1", state, age: 5n });
    expect(toTabletClaim(status)).toEqual({
      endpoint: "a:1",
      isHealthy,
      state,
      ageMs: 5n,
      realEndpoint: "",
    });
  });

  it.each([
    ["kInited", "inited"],
    ["kDoing", "doing"],
    ["kDone", "done"],
    ["kFailed", "failed"],
    ["kCanceled", "canceled"],
    ["kNew", "other"],
    ["constructor", "other"],
  ])("maps op status %s to %s", (status, wanted) => {
    const op = create(OPStatusSchema, {
      opId: 2n ** 63n,
      opType: "kRecoverTableOP",
      status,
      startTime: 5n,
      endTime: 0n,
      taskType: "-",
      name: "t",
      pid: 1,
    });
    expect(toOp(op)).toEqual({
      id: 2n ** 63n,
      type: "kRecoverTableOP",
      status: wanted,
      db: "",
      table: "t",
      pid: 1,
      task: "-",
      startTime: 5n,
      endTime: 0n,
    });
  });

  it("treats an answer without followers and offset as an empty list at 0", () => {
    const empty = create(GetTableFollowerResponseSchema, { code: 134, msg: "no follower" });
    expect(toFollowerList(empty)).toEqual({ offset: 0n, followers: new Map() });
  });

  it("names roles and storage modes as requests carry them", () => {
    expect([toWireRole("leader"), toWireRole("follower")]).toEqual([
      TableMode.kTableLeader,
      TableMode.kTableFollower,
    ]);
    expect((["memory", "ssd", "hdd", "unknown"] as const).map(toWireStorageMode)).toEqual([
      StorageMode.kMemory,
      StorageMode.kSSD,
      StorageMode.kHDD,
      StorageMode.kUnknown,
    ]);
  });

  it("lets other work run while it converts 240,000 replicas", async () => {
    const endpoints = ["a:1", "b:1", "c:1"];
    const infos = Array.from({ length: 1000 }, (_, tid) =>
      create(TableInfoSchema, {
        name: `t${tid}`,
        tid,
        tablePartition: Array.from({ length: 80 }, (_unused, pid) => ({
          pid,
          partitionMeta: endpoints.map((endpoint) => ({
            endpoint,
            isLeader: endpoint === "a:1",
            offset: 5n,
          })),
        })),
      }),
    );
    // Each reading of the clock advances it by a millisecond: turns do not depend on the machine.
    let now = 0;
    onTestFinished(() => void vi.restoreAllMocks());
    vi.spyOn(performance, "now").mockImplementation(() => ++now);
    let turns = 0;
    let ticker = setImmediate(function tick() {
      turns += 1;
      ticker = setImmediate(tick);
    });
    const tables = await toTableClaims(infos);
    clearImmediate(ticker);
    expect(tables.map(({ partitions }) => partitions.length)).toEqual(Array(1000).fill(80));
    // Without yields there would be no other turn.
    expect(turns).toBeGreaterThanOrEqual(30);
  });
});
