import { type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  type GetTableStatusResponse,
  GetTableStatusResponseSchema,
  TableMode,
  TableState,
  TabletServer,
} from "../src/gen/openmldb/api_pb.js";
import {
  NameServer,
  type ShowTableRequestSchema,
  type ShowTableResponse,
  ShowTableResponseSchema,
} from "../src/gen/openmldb/nameserver_pb.js";
import { dispatch } from "../src/sandbox/model/handlers.js";
import { NAMESERVER_HANDLERS } from "../src/sandbox/nameserver/nameserver-rpc.js";
import { copyTable, partitionOf } from "../src/sandbox/table-store.js";
import type { Tablet } from "../src/sandbox/tablet/tablet.js";
import { TABLET_HANDLERS } from "../src/sandbox/tablet/tablet-rpc.js";
import { type ModelCluster, modelCluster } from "./helpers/model-cluster.js";
import "./helpers/fixed-cases.js";

// Answers of GetTableStatus and ShowTable share the parts that have not changed since the last answer.
// After any change of a cluster, they must equal answers that are built from nothing, and an answer never
// changes afterwards.

const STEPS = 25;
const TABLETS = ["t:1", "t:2", "t:3"];

/** One event; the numbers choose its place. */
interface Step {
  readonly what: keyof typeof HAPPENINGS;
  readonly tablet: number;
  readonly table: number;
  readonly pid: number;
  readonly some: number;
}

interface Place {
  readonly cluster: ModelCluster;
  readonly tablet: Tablet;
  readonly endpoint: string;
  readonly id: { readonly tid: number; readonly pid: number };
  readonly some: number;
}

const HAPPENINGS = {
  put: ({ cluster, some }: Place) => cluster.model.put(some),
  restart: ({ cluster, endpoint }: Place) => cluster.model.restart(endpoint),
  kill: ({ cluster, endpoint }: Place) => cluster.model.kill(endpoint),
  load: ({ cluster, endpoint, id, some }: Place) => {
    const mode = some % 2 === 0 ? TableMode.kTableLeader : TableMode.kTableFollower;
    const { name, storageMode } = tableOf(cluster, id.tid);
    const tableMeta = { ...id, name, storageMode, mode, term: 9n, replicas: TABLETS };
    return cluster.at(endpoint, TabletServer.method.loadTable, { tableMeta });
  },
  slowLoad: ({ cluster, endpoint, some }: Place) => cluster.model.slowLoad(endpoint, some * 100),
  failLoad: ({ cluster, endpoint }: Place) => cluster.model.failLoad(endpoint, 1),
  changeRole: ({ cluster, endpoint, id, some }: Place) => {
    const mode = some % 2 === 0 ? TableMode.kTableLeader : TableMode.kTableFollower;
    const request = { ...id, mode, term: 12n, replicas: TABLETS };
    return cluster.at(endpoint, TabletServer.method.changeRole, request);
  },
  alive: ({ cluster, endpoint, id, some }: Place) => {
    const { name, db } = tableOf(cluster, id.tid);
    const request = { name, db, pid: id.pid, endpoint, isAlive: some % 2 === 0 };
    return cluster.ns(NameServer.method.updateTableAliveStatus, request);
  },
  recover: ({ cluster, endpoint, id }: Place) => {
    const { name, db } = tableOf(cluster, id.tid);
    return cluster.ns(NameServer.method.recoverTable, { name, db, pid: id.pid, endpoint });
  },
  changeLeader: ({ cluster, endpoint, id }: Place) => {
    const { name, db } = tableOf(cluster, id.tid);
    const request = { name, db, pid: id.pid, candidateLeader: endpoint };
    return cluster.ns(NameServer.method.changeLeader, request);
  },
  newTable: ({ cluster: { model } }: Place) => {
    const healthy = [...(model.leader?.tablets.values() ?? [])].filter((one) => one.isHealthy);
    const table = `n${model.tables.all().length}`;
    if (healthy.length > 0) model.createTable({ db: "db1", table, partitions: 2, replicas: 1 });
  },
  pass: ({ cluster, some }: Place) => cluster.pass(some * 100),
  measure: ({ cluster }: Place) => cluster.pass(600_000),
  // A change of the model without a call, as tests make it.
  direct: ({ cluster, tablet, endpoint, id, some }: Place) => {
    const replica = tablet.replica(id.tid, id.pid);
    if (replica !== undefined && some % 3 === 0) replica.state = TableState.kSnapshotPaused;
    if (replica !== undefined && some % 3 === 1) replica.offset += 1n;
    if (replica !== undefined && some % 3 === 2) replica.extraRows += 1;
    for (const meta of partitionOf(tableOf(cluster, id.tid), id.pid)?.partitionMeta ?? []) {
      if (meta.endpoint === endpoint) meta.isLeader = !meta.isLeader;
    }
  },
} satisfies Record<string, (place: Place) => unknown>;

function tableOf({ model }: ModelCluster, tid: number) {
  const table = model.leader?.tables.get(tid);
  if (table === undefined) throw new Error(`no table ${tid}`);
  return table;
}

async function take(cluster: ModelCluster, step: Step): Promise<void> {
  const { model } = cluster;
  const tables = model.tables.all();
  const { tid } = tables[step.table % tables.length]!;
  const endpoint = TABLETS[step.tablet]!;
  const tablet = model.tablet(endpoint);
  const place = { cluster, tablet, endpoint, id: { tid, pid: step.pid }, some: step.some };
  // A killed tablet refuses calls, and other calls may be refused too.
  await Promise.resolve(HAPPENINGS[step.what](place)).catch(() => undefined);
}

function statusOf(tablet: Tablet, request: { tid?: number; pid?: number } = {}) {
  const method = TabletServer.method.getTableStatus;
  return dispatch(TABLET_HANDLERS, tablet, method, request) as GetTableStatusResponse;
}

function tablesOf(
  { model }: ModelCluster,
  request: MessageInitShape<typeof ShowTableRequestSchema>,
) {
  const method = NameServer.method.showTable;
  return dispatch(NAMESERVER_HANDLERS, model.leader!, method, request) as ShowTableResponse;
}

/** Compares the current answers with newly built ones. @returns Each answer as bytes now, and a function that encodes it again. */
function look(cluster: ModelCluster): (readonly [Uint8Array, () => Uint8Array])[] {
  const { model } = cluster;
  const seen: (() => Uint8Array)[] = [];
  for (const tablet of model.tablets.values()) {
    const answer = statusOf(tablet);
    const statuses = answer.allTableStatus;
    const inOrder = [...tablet.loaded()].sort((a, b) => a.tid - b.tid || a.pid - b.pid);
    const ids = inOrder.map(({ tid, pid }) => ({ tid, pid }));
    expect(statuses.map(({ tid, pid }) => ({ tid, pid }))).toEqual(ids);
    for (const { tid, pid } of ids) {
      expect(statusOf(tablet, { tid, pid }).allTableStatus).toEqual(
        statuses.filter((one) => one.tid === tid && one.pid === pid),
      );
      expect(statusOf(tablet, { tid }).allTableStatus).toEqual(
        statuses.filter((one) => one.tid === tid),
      );
    }
    for (const replica of inOrder) replica.status = undefined;
    expect(statusOf(tablet).allTableStatus).toEqual(statuses);
    seen.push(() => toBinary(GetTableStatusResponseSchema, answer));
  }
  const all = tablesOf(cluster, { showAll: true });
  expect(all.tableInfo).toEqual(model.tables.all().map(copyTable));
  for (const table of model.tables.all()) {
    const { name, db } = table;
    expect(tablesOf(cluster, { name, db }).tableInfo).toEqual([copyTable(table)]);
  }
  expect(tablesOf(cluster, { name: "t0", db: "other" }).tableInfo).toEqual([]);
  seen.push(() => toBinary(ShowTableResponseSchema, all));
  return seen.map((bytes) => [bytes(), bytes] as const);
}

const anything = fc.record({
  what: fc.constantFrom(...(Object.keys(HAPPENINGS) as (keyof typeof HAPPENINGS)[])),
  tablet: fc.nat(2),
  table: fc.nat(20),
  pid: fc.nat(1),
  some: fc.nat(30),
});

test("answers that share parts equal new answers, and do not change afterwards", async () => {
  const walk = fc.array(anything, { minLength: STEPS, maxLength: STEPS });
  await fc.assert(
    fc.asyncProperty(walk, async (steps) => {
      const cluster = modelCluster({ options: { loadRowMs: 90 } });
      cluster.model.createTable({
        db: "db1",
        table: "d0",
        partitions: 2,
        replicas: 2,
        storageMode: "hdd",
      });
      const seen: (readonly [Uint8Array, () => Uint8Array])[] = [];
      for (const step of steps) {
        await take(cluster, step);
        seen.push(...look(cluster));
      }
      for (const [bytes, bytesNow] of seen) expect(bytesNow()).toEqual(bytes);
    }),
    { numRuns: 20 },
  );
});

test("unchanged data is answered with the same frozen object", () => {
  const cluster = modelCluster();
  const status = () => statusOf(cluster.model.tablet("t:1")).allTableStatus[0]!;
  const table = () => tablesOf(cluster, { showAll: true }).tableInfo[0]!;
  expect(status()).toBe(status());
  expect(table()).toBe(table());
  expect(() => Object.assign(status(), { offset: 5n })).toThrow(TypeError);
  expect(() => table().tablePartition[0]!.partitionMeta.pop()).toThrow(TypeError);
});
