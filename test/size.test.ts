import { createHash } from "node:crypto";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { createCluster } from "../src/cluster/connect.js";
import { toReplicaReport, toTableClaim } from "../src/cluster/convert.js";
import { decodeInTurns, type Repeats } from "../src/cluster/decode.js";
import { realClock } from "../src/cluster/real-clock.js";
import type { Transport } from "../src/cluster/transport.js";
import { lined, print } from "../src/commands/write.js";
import { verifyPartitions } from "../src/diagnosis/verdict.js";
import { type ObservedPlan, observeAndPlan } from "../src/execution/observe-and-plan.js";
import {
  GetTableStatusResponseSchema,
  GetTermPairResponseSchema,
  type TableStatus,
} from "../src/gen/openmldb/api_pb.js";
import {
  ConfGetResponseSchema,
  PartitionMetaSchema,
  ShowOPStatusResponseSchema,
  ShowTableResponseSchema,
  ShowTabletResponseSchema,
  TableInfoSchema,
  TablePartitionSchema,
} from "../src/gen/openmldb/nameserver_pb.js";
import { inspectFacts } from "../src/inspect/inspection.js";
import { inspectionJson } from "../src/inspect/json-report.js";
import { inspectionText } from "../src/inspect/text-report.js";
import { doing } from "../src/model/advice.js";
import type { PartitionResult, RunReport } from "../src/model/report.js";
import { finish } from "../src/model/work.js";
import { planText } from "../src/planning/plan-text.js";
import { sizeOf } from "../src/planning/recovery-plan.js";
import { planDocument, savedPlan } from "../src/planning/saved-plan.js";
import { checkLeaderChange } from "../src/policy/check-leader-change.js";
import { reportJson, reportText } from "../src/report/recovery-report.js";
import { putZnode } from "../src/sandbox/table-store.js";
import { treeZooKeeper, ZnodeTree } from "../src/sandbox/znode-tree.js";
import { jsonPieces } from "../src/util/text.js";
import { inTurns, mapInTurns } from "../src/util/yielding.js";
import { allLines } from "./helpers/all-lines.js";
import { again, print as printCommand } from "./helpers/printing.js";

const TABLETS = ["a:1", "b:1", "c:1"];
const NAMESERVER = "n:1";

/** The answer of ShowTable with so many tables of 8 partitions of 3 replicas, flagged as before an outage. */
function showTable(tables: number): Uint8Array {
  const tableInfo = Array.from({ length: tables }, (_, index) => ({
    name: `t${index}`,
    db: "db1",
    tid: index + 1,
    tablePartition: Array.from({ length: 8 }, (__, pid) => ({
      pid,
      termOffset: [{ term: 1n, offset: 0n }],
      partitionMeta: TABLETS.map((endpoint, at) => ({
        endpoint,
        isLeader: at === pid % 3,
        offset: 18_446_744_073_709_551_615n - BigInt(index),
      })),
    })),
  }));
  const answer = create(ShowTableResponseSchema, { code: 0, msg: "ok", tableInfo });
  return toBinary(ShowTableResponseSchema, answer);
}

/** A transport that answers with bytes, so that answers are decoded as those of a socket. */
function bytesTransport(tables: number): Transport {
  const encoded = <D extends DescMessage>(
    desc: D,
    fields: Parameters<typeof create<D>>[1],
  ): Uint8Array => toBinary(desc, create(desc, fields));
  const tablets = TABLETS.map((endpoint) => ({ endpoint, state: "kHealthy", age: 1n }));
  const answers: Record<string, Uint8Array> = {
    ShowTable: showTable(tables),
    ShowTablet: encoded(ShowTabletResponseSchema, { code: 0, tablets }),
    ConfGet: encoded(ConfGetResponseSchema, { code: 0 }),
    ShowOPStatus: encoded(ShowOPStatusResponseSchema, { code: 0 }),
    GetTableStatus: encoded(GetTableStatusResponseSchema, { code: 0 }),
    GetTermPair: encoded(GetTermPairResponseSchema, { code: 0, term: 1n, offset: 1n }),
  };
  return {
    async unary<I extends DescMessage, O extends DescMessage>(
      _address: string,
      method: DescMethodUnary<I, O>,
    ): Promise<MessageShape<O>> {
      const bytes = answers[method.name];
      if (bytes === undefined) throw new Error(`${method.name} was not expected`);
      const decoded = await decodeInTurns(method.output, bytes);
      if ("missing" in decoded) throw new Error(decoded.missing);
      return decoded.message;
    },
    connection: () => undefined,
    close: () => undefined,
  };
}

/** Renders the plan and the health report of a cluster's state, as JSON and as text. */
async function renderAll({ state, views, plan }: ObservedPlan): Promise<number> {
  const size = finish(sizeOf(plan));
  const saved = finish(
    savedPlan(plan, { command: "recoverdata", words: [], rootPath: "/openmldb" }, () =>
      createHash("sha256"),
    ),
  );
  const none = { unhealthyBefore: new Set<string>(), failures: new Map(), notes: new Map() };
  const { partitions: unhealthy } = finish(
    verifyPartitions({ state, views, ...none, again, print: printCommand }),
  );
  const inspection = finish(
    inspectFacts({
      ...{
        state,
        views,
        unhealthy,
        zooKeeper: [],
        nameservers: [],
        watched: { forMs: 0, still: new Set<bigint>() },
        otherCounts: [],
        startups: new Set(),
        stored: new Map(),
        counters: { term: undefined, tableIndex: undefined, opIndex: undefined },
      },
      ...{ lock: undefined, marker: undefined, scope: { db: undefined, table: undefined } },
      ...{ maxLag: 0n, nowMs: 0, print: printCommand, checkLeaderChange },
    }),
  );
  const effort = { tookMs: 0, calls: 0 };
  let length = 0;
  const io = {
    signal: new AbortController().signal,
    stdout: {
      write(text: string) {
        length += text.length;
      },
    },
  };
  await print(io, lined(planText(saved, size)));
  await print(io, jsonPieces(planDocument(saved), 2));
  await print(
    io,
    lined(await inTurns(inspectionText(inspection, effort, { hasColor: false, columns: 80 }))),
  );
  await print(io, jsonPieces(inspectionJson(inspection, effort, 0), 2));
  return length;
}

/** Observes a cluster of so many tables, renders all of it, and returns the cost. */
async function observe(tables: number) {
  const tree = new ZnodeTree(Date.now);
  putZnode(tree, "/openmldb/leader/lock_request0000000000", NAMESERVER);
  for (const tablet of TABLETS) putZnode(tree, `/openmldb/nodes/${tablet}`, tablet);
  const cluster = await createCluster({
    zk: treeZooKeeper(tree),
    transport: bytesTransport(tables),
    clock: realClock,
    rootPath: "/openmldb",
    rpcTimeoutMs: 60_000,
  });
  let beats = 0;
  const timer = setInterval(() => {
    beats += 1;
  }, 5);
  const before = process.cpuUsage();
  const seen = await observeAndPlan(cluster, { signal: new AbortController().signal });
  const renderedLength = await renderAll(seen);
  const { user, system } = process.cpuUsage(before);
  clearInterval(timer);
  return {
    beats,
    renderedLength,
    cpuMs: (user + system) / 1_000,
    planned: seen.plan.partitions.length,
  };
}

describe("an observation of a large cluster", () => {
  it("lets other work run, and costs in proportion to its size", async () => {
    const small = await observe(60);
    const large = await observe(480);
    expect(small.planned).toBe(480);
    expect(large.planned).toBe(3_840);
    expect(large.renderedLength).toBeGreaterThan(5_000_000);
    // One heartbeat at least in a tenth of a second of work: blocked it would beat once or twice.
    expect(large.beats).toBeGreaterThan(large.cpuMs / 100);
    // 8 times the work; a step that compares all with all would make it 64 times as much.
    expect(large.cpuMs / small.cpuMs).toBeLessThan(24);
  });
});

describe("the screen at the end", () => {
  const partitionAt = (pid: number, isServing: boolean): PartitionResult => ({
    id: { db: "db1", table: "t1", tid: 1, pid },
    status: "unhealthy",
    leader: undefined,
    isServing,
    problems: [{ code: "tablet-offline", endpoint: `t${pid}:1`, text: "tablet is offline" }],
    failure: undefined,
    notes: [`note ${pid}`],
    evidence: [],
    next: [doing(`start tablet t${pid}:1`, "server")],
  });
  const reportOf = (partitions: readonly PartitionResult[]): RunReport => ({
    command: "recoverdata",
    leader: NAMESERVER,
    absentTablets: partitions.map(({ id }) => ({
      endpoint: `t${id.pid}:1`,
      reason: "offline",
      absence: { kind: "unknown-to-nameserver" } as const,
    })),
    tablets: partitions.length,
    tables: 1,
    replicas: partitions.length,
    partitions,
    partitionCount: partitions.length,
    autoFailover: { before: false, after: false, notRestored: undefined, isLeftOff: false },
    changes: 0,
    calls: 0,
    tookMs: 0,
  });

  it("shows many in groups that fit a screen, worst first; all with --verbose, and in JSON", () => {
    const many = Array.from({ length: 1_000 }, (_, pid) => partitionAt(pid, pid < 990));
    const lines = allLines(reportText(reportOf(many)));
    expect(lines.length).toBeLessThanOrEqual(30);
    expect(lines).toContain("10 partitions NOT SERVING: tablet-offline");
    expect(lines).toContain("    db1.t1:990, db1.t1:991, db1.t1:992 and 7 more");
    expect(lines).toContain("990 partitions serving, not healthy: tablet-offline");
    expect(lines.at(-1)).toContain("1000 partitions NOT healthy, 10 of them not serving");
    const rests = [...reportText(reportOf(many))].filter((line) => line === undefined);
    expect(rests.length, "it may rest before each partition, twice").toBeGreaterThan(2_000);
    const all = allLines(reportText(reportOf(many), { isVerbose: true }));
    expect(all.filter((line) => / {2}(led|NOT)/.test(line))).toHaveLength(1_000);
    expect(JSON.parse([...reportJson(reportOf(many), 3)].join("")).partitions).toHaveLength(1_000);
  });

  it("shows a few one by one, in their own order", () => {
    const few = [partitionAt(0, true), partitionAt(1, false)];
    const named = allLines(reportText(reportOf(few))).filter((line) => / {2}(led|NOT)/.test(line));
    expect(named.map((line) => line.split(" ")[0])).toEqual(["db1.t1:0", "db1.t1:1"]);
  });
});

describe("an answer that is decoded in steps", () => {
  const bytes = showTable(200);

  it("equals the message of one-step decoding, unknown fields included", async () => {
    // Field 30 is not declared.
    const table = create(TableInfoSchema, { name: "odd", tid: 9 });
    const odd = Buffer.concat([
      toBinary(TableInfoSchema, table),
      Buffer.from([0xf2, 0x01, 0x02, 0x0a, 0x00]),
    ]);
    const all = Buffer.concat([bytes, Buffer.from([0x0a, odd.length]), odd]);
    const decoded = await decodeInTurns(ShowTableResponseSchema, all);
    expect(decoded).toEqual({ message: fromBinary(ShowTableResponseSchema, all) });
    expect("message" in decoded && decoded.message.tableInfo.at(-1)?.$unknown).toHaveLength(1);
  });

  it.each([
    ["before", [0x88, 0x01, 0x09, 0x5a, 0x02, 0x0a, 0x00]],
    ["behind", [0x5a, 0x02, 0x0a, 0x00, 0x88, 0x01, 0x09]],
  ])("keeps an unknown storage mode, %s other unknown fields", async (_, unknown) => {
    const table = toBinary(TableInfoSchema, create(TableInfoSchema, { name: "odd", tid: 9 }));
    const odd = Buffer.concat([table, Buffer.from(unknown)]);
    const answer = Buffer.concat([Buffer.from([0x0a, odd.length]), odd, Buffer.from([0x10, 0x00])]);
    const decoded = await decodeInTurns(ShowTableResponseSchema, answer);
    if ("missing" in decoded) throw new Error(decoded.missing);
    const [claim] = decoded.message.tableInfo.map(toTableClaim);
    expect(claim?.storageMode).toBe("unknown");
  });

  it("names a required field that one of its elements lacks", async () => {
    const meta = toBinary(
      PartitionMetaSchema,
      create(PartitionMetaSchema, { endpoint: "a:1", isLeader: true }),
    ).subarray(0, 5);
    const inside = Buffer.concat([Buffer.from([0x08, 0x01, 0x12, meta.length]), meta]);
    const element = Buffer.concat([Buffer.from([0x1a, inside.length]), inside]);
    const lacking = Buffer.concat([bytes, Buffer.from([0x0a, element.length]), element]);
    expect(await decodeInTurns(ShowTableResponseSchema, lacking)).toEqual({
      missing: "table_info.table_partition.partition_meta.is_leader",
    });
  });

  it("fails for truncated bytes, and for a missing code", async () => {
    await expect(decodeInTurns(ShowTableResponseSchema, bytes.subarray(0, -1))).rejects.toThrow();
    // The last six bytes are `code` and `msg`.
    expect(await decodeInTurns(ShowTableResponseSchema, bytes.subarray(0, -6))).toEqual({
      missing: "code",
    });
  });
});

describe("an answer that mostly equals the previous one", () => {
  const answer = (offsets: readonly bigint[]) =>
    toBinary(
      GetTableStatusResponseSchema,
      create(GetTableStatusResponseSchema, {
        code: 0,
        allTableStatus: offsets.map((offset, pid) => ({ tid: 1, pid, offset, name: "t1" })),
      }),
    );
  const decode = async (bytes: Uint8Array, repeats: Repeats) => {
    const decoded = await decodeInTurns(GetTableStatusResponseSchema, bytes, repeats);
    if ("missing" in decoded) throw new Error(decoded.missing);
    expect(decoded.message).toEqual(fromBinary(GetTableStatusResponseSchema, bytes));
    return decoded.message.allTableStatus;
  };

  it("equals the message without reuse, and reuses unchanged elements", async () => {
    const repeats: Repeats = { last: new Map() };
    const first = await decode(answer([1n, 2n, 3n]), repeats);
    // The first replica is missing, so the others are at another position.
    const second = await decode(answer([1n, 5n, 3n, 4n]), repeats);
    expect([0, 1, 2].map((pid) => second[pid] === first[pid])).toEqual([true, false, true]);
    expect(toReplicaReport(second[0] as TableStatus)).toBe(
      toReplicaReport(first[0] as TableStatus),
    );
    expect(toReplicaReport(second[1] as TableStatus).offset).toBe(5n);
  });

  it("keeps the last answer only, and ignores one about a single replica", async () => {
    const repeats: Repeats = { last: new Map() };
    const first = await decode(answer([1n, 2n]), repeats);
    await decode(answer([7n]), repeats);
    const again = await decode(answer([1n, 2n]), repeats);
    expect(again[1]).toBe(first[1]);
    await decode(answer([8n, 9n]), repeats);
    expect(repeats.last.size).toBe(2);
    const later = await decode(answer([1n, 2n]), repeats);
    expect(later[1]).not.toBe(first[1]);
  });

  it("names what an element lacks, and does not keep it", async () => {
    const repeats: Repeats = { last: new Map() };
    const meta = toBinary(
      PartitionMetaSchema,
      create(PartitionMetaSchema, { endpoint: "a:1", isLeader: true }),
    ).subarray(0, 5);
    const element = [0x12, meta.length, ...meta];
    const both = Buffer.from([0x08, 0x00, ...element, ...element]);
    expect(await decodeInTurns(TablePartitionSchema, both, repeats)).toEqual({
      missing: "partition_meta.is_leader",
    });
    expect(repeats.last.size).toBe(0);
  });
});

describe("mapInTurns", () => {
  it("keeps the order, and never yields within the least number of items", async () => {
    const items = Array.from({ length: 64 }, (_, index) => index);
    let isTurnOver = false;
    setImmediate(() => {
      isTurnOver = true;
    });
    const seen = await mapInTurns(items, (item) => {
      const until = performance.now() + 1;
      while (performance.now() < until);
      return item * 2;
    });
    expect(seen).toEqual(items.map((item) => item * 2));
    expect(isTurnOver).toBe(false);
  });

  it("yields when a turn has taken long", async () => {
    let beats = 0;
    const beat = () => {
      beats += 1;
      if (beats < 1_000) setImmediate(beat);
    };
    setImmediate(beat);
    const wait = () => {
      const until = performance.now() + 10;
      while (performance.now() < until);
    };
    await mapInTurns([1, 2, 3, 4, 5, 6], wait, 1);
    expect(beats).toBeGreaterThan(0);
  });
});
