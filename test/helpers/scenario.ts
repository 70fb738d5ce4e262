import { create } from "@bufbuild/protobuf";
import type { Cluster } from "../../src/cluster/cluster.js";
import { diagnose } from "../../src/diagnosis/diagnose.js";
import { TableState } from "../../src/gen/openmldb/api_pb.js";
import { StorageMode } from "../../src/gen/openmldb/common_pb.js";
import { TableInfoSchema } from "../../src/gen/openmldb/nameserver_pb.js";
import type { PartitionId } from "../../src/model/cluster-state.js";
import { partitionName, viewPartitions } from "../../src/model/partition-view.js";
import type { Method } from "../../src/model/plan.js";
import { observe } from "../../src/observe/cluster.js";
import { NO_ATTEMPTS } from "../../src/planning/attempt-history.js";
import { plannerOf } from "../../src/planning/planner.js";
import { reportText } from "../../src/report/recovery-report.js";
import { SANDBOX_SCHEMA } from "../../src/sandbox/model/disk.js";
import {
  installAcknowledged,
  installDisk,
  installLoaded,
  installTable,
} from "../../src/sandbox/model/model-install.js";
import type { Run } from "../../src/sandbox/model/runs.js";
import { allLines } from "./all-lines.js";
import { LIMITS, startVirtualCluster, type VirtualCluster } from "./virtual-cluster.js";

/** One line of a scenario's table: a replica as nameserver, disk and tablet have it. */
interface Row {
  readonly db: string;
  readonly table: string;
  readonly pid: number;
  readonly storage: "memory" | "ssd" | "hdd";
  readonly history: readonly { readonly term: bigint; readonly offset: bigint }[];
  readonly endpoint: string;
  readonly isLeader: boolean;
  readonly isAlive: boolean;
  readonly known: bigint | undefined;
  /** Entries on disk; undefined: the disk was wiped. */
  readonly disk: bigint | undefined;
  readonly runs: readonly string[];
}

const STORAGE = { memory: StorageMode.kMemory, ssd: StorageMode.kSSD, hdd: StorageMode.kHDD };
const STATES: Readonly<Record<string, TableState>> = {
  normal: TableState.kTableNormal,
  paused: TableState.kSnapshotPaused,
};

/**
 * Plays a scenario: a table of replicas, then commands (lines that begin with `> `), each followed by
 * what it prints. A line `== METHOD` starts a new cluster with the same table and that method. See
 * test/scenarios/README.md for the notation.
 *
 * @returns The whole file as it should be, with the actual output of every command.
 */
export async function playScenario(text: string): Promise<string> {
  const lines = text.split("\n");
  const begin = lines.findIndex((line) => line.startsWith("> ") || line.startsWith("== "));
  const head = lines.slice(0, Math.max(0, begin));
  const played = [...head];
  let virtual = await clusterOf(head);
  let method: Method = "direct";
  for (const line of lines.slice(head.length)) {
    if (line.startsWith("== ")) {
      method = line.slice(3).trim() as Method;
      virtual = await clusterOf(head);
      played.push(line);
    } else if (line.startsWith("> ")) {
      played.push(line, ...(await runCommand(virtual, line.slice(2).trim(), method)), "");
    }
  }
  return `${played.join("\n").trimEnd()}\n`;
}

/** The cluster of a scenario before the first command observes it. */
export async function clusterOfScenario(text: string): Promise<VirtualCluster> {
  const lines = text.split("\n");
  const begin = lines.findIndex((line) => line.startsWith("> ") || line.startsWith("== "));
  const virtual = await clusterOf(lines.slice(0, Math.max(0, begin)));
  for (const line of lines.slice(begin)) {
    if (/^> (show|diagnose|plan|recover|rows)\b/.test(line)) break;
    if (line.startsWith("> ")) await runCommand(virtual, line.slice(2).trim(), "direct");
  }
  return virtual;
}

async function clusterOf(head: readonly string[]): Promise<VirtualCluster> {
  const settings = head.find((line) => line.startsWith("cluster")) ?? "cluster";
  const virtual = await startVirtualCluster({
    tablets: Number(/tablets=(\d+)/.exec(settings)?.[1] ?? 3),
    model: { autoFailover: settings.includes("auto_failover=on") },
  });
  install(
    virtual,
    head.map(parseRow).filter((row) => row !== undefined),
  );
  return virtual;
}

function parseRow(line: string): Row | undefined {
  const cells = line.trim().split(/\s+/);
  const name = /^(?:(\w+)\.)?(\w+):(\d+)$/.exec(cells[0] ?? "");
  if (name === null || cells.length !== 7) return undefined;
  const [, storage, history, endpoint, flags, offsets, runs] = cells as [
    string,
    Row["storage"],
    string,
    string,
    string,
    string,
    string,
  ];
  const [known, disk] = offsets.split("/") as [string, string];
  return {
    db: name[1] ?? "",
    table: name[2] ?? "",
    pid: Number(name[3]),
    storage,
    history: history.split(",").map((one) => {
      const [term, offset] = one.split("@") as [string, string];
      return { term: BigInt(term), offset: BigInt(offset) };
    }),
    endpoint: `${endpoint}:9527`,
    isLeader: flags.startsWith("leader"),
    isAlive: flags.endsWith("alive"),
    known: known === "-" ? undefined : BigInt(known),
    disk: disk === "-" ? undefined : BigInt(disk),
    runs: runs === "-" ? [] : runs.split(","),
  };
}

function install(virtual: VirtualCluster, rows: readonly Row[]): void {
  const tables = groupBy(rows, (row) => `${row.db}.${row.table}`);
  let tid = 6;
  for (const replicas of tables.values()) {
    tid += 1;
    installTableOf(virtual, tid, replicas);
    for (const group of groupBy(replicas, (row) => String(row.pid)).values()) {
      installReplicas(virtual, tid, group);
    }
  }
}

function installTableOf(virtual: VirtualCluster, tid: number, rows: readonly Row[]): void {
  const first = rows[0] as Row;
  const partitions = groupBy(rows, (row) => String(row.pid));
  const table = create(TableInfoSchema, {
    name: first.table,
    db: first.db,
    tid,
    partitionNum: partitions.size,
    replicaNum: rows.length / partitions.size,
    storageMode: STORAGE[first.storage],
    tablePartition: [...partitions.values()].map((replicas) => ({
      pid: (replicas[0] as Row).pid,
      termOffset: [...(replicas[0] as Row).history],
      partitionMeta: replicas.map((row) => ({
        endpoint: row.endpoint,
        isLeader: row.isLeader,
        isAlive: row.isAlive,
        ...(row.known === undefined ? {} : { offset: row.known }),
      })),
    })),
  });
  installTable(virtual.model, table, true);
}

function installReplicas(virtual: VirtualCluster, tid: number, rows: readonly Row[]): void {
  const { model } = virtual;
  const exLeader = rows.find((row) => row.isLeader && !row.isAlive && row.history.length > 1);
  const firstLeader = exLeader ?? rows.find((row) => row.isLeader);
  for (const row of rows) {
    if (row.disk === undefined) continue;
    const meta = {
      name: row.table,
      db: row.db,
      mode:
        row === firstLeader && !row.runs.includes("created-as-follower")
          ? ("leader" as const)
          : ("follower" as const),
      term: row.history[0]?.term ?? 0n,
      storageMode: STORAGE[row.storage],
      segCount: 8,
      schema: SANDBOX_SCHEMA,
    };
    installDisk(model, row.endpoint, {
      tid,
      pid: row.pid,
      meta,
      runs: entriesOf(row, row === exLeader),
      ...(row.runs.includes("trimmed") ? trimmedAt(row.disk, meta.term) : {}),
    });
  }
  const longest = [...rows].sort((a, b) => Number((b.disk ?? 0n) - (a.disk ?? 0n)))[0];
  if (longest !== undefined) {
    installAcknowledged(model, { tid, pid: longest.pid }, entriesOf(longest, longest === exLeader));
  }
  installRunning(virtual, tid, rows);
}

/** A snapshot of all entries up to an offset, and a binlog that begins after it. */
function trimmedAt(offset: bigint, term: bigint) {
  return { snapshot: { offset, term, name: `${offset}.sdb` }, binlogFrom: offset + 1n };
}

function installRunning(virtual: VirtualCluster, tid: number, rows: readonly Row[]): void {
  const running = rows.filter((row) => row.runs.length > 1);
  const linked = running.filter(
    (row) => row.runs[0] === "follower" && !row.runs.includes("unlinked"),
  );
  for (const row of running) {
    const isLeader = row.runs[0] === "leader";
    installLoaded(virtual.model, row.endpoint, {
      tid,
      pid: row.pid,
      storageMode: STORAGE[row.storage],
      role: isLeader ? "leader" : "follower",
      state: STATES[row.runs[1] ?? ""] ?? TableState.kTableNormal,
      term: row.history.at(-1)?.term ?? 0n,
      followers: new Map(isLeader ? linked.map((one) => [one.endpoint, one.disk ?? 0n]) : []),
    });
  }
}

/** Entries 1 to `disk`, each written by the leadership of its offset. An ex-leader has entries of the older terms only. */
function entriesOf(row: Row, isExLeader: boolean): Run[] {
  const history = isExLeader ? row.history.slice(0, -1) : row.history;
  const last = row.disk ?? 0n;
  return history.flatMap(({ term, offset }, index): Run[] => {
    const next = history[index + 1];
    const from = offset > 0n ? offset : 1n;
    const to = next === undefined || next.offset - 1n > last ? last : next.offset - 1n;
    return from > to ? [] : [{ from, to, term, writer: Number(term) }];
  });
}

async function runCommand(
  virtual: VirtualCluster,
  command: string,
  method: Method,
): Promise<string[]> {
  const [verb = "", ...words] = command
    .split(/\s+/)
    .map((word) => (/^[a-h]$/.test(word) ? `${word}:9527` : word));
  const { model } = virtual;
  switch (verb) {
    case "show":
      return show(virtual);
    case "diagnose":
      return diagnoseOrPlan(virtual, undefined);
    case "plan":
      return diagnoseOrPlan(virtual, method);
    case "recover":
      return recover(virtual, words, method);
    case "rows":
      return rows(virtual);
    case "kill":
      model.kill(words[0] ?? "");
      await virtual.pass(15_000);
      return [];
    case "restart":
      model.restart(words[0] ?? "");
      await virtual.pass(15_000);
      return [];
    case "hang":
      model.hang(words[0] ?? "");
      return [];
    case "outage":
      model.outage({ withNameservers: words[0] === "with-ns" });
      await virtual.pass(30_000);
      return [];
    case "outage-of":
      for (const name of words) model.kill(name);
      for (const name of words) model.restart(name);
      await virtual.pass(30_000);
      return [];
    case "put":
      model.put(Number(words[0]));
      await virtual.pass(5_000);
      return [];
    case "fail-load":
      model.failLoad(words[0] ?? "", Number(words[1] ?? 1));
      return [];
    case "fail-op":
      model.failOp(words[0] ?? "", Number(words[1] ?? 1));
      return [];
    case "begin-recover-table":
      await begin(virtual, (cluster, id) => cluster.recoverTable(id, words[1] ?? ""), words[0]);
      return [];
    case "begin-load":
      await begin(
        virtual,
        (cluster, id) =>
          cluster.loadTable(words[1] ?? "", {
            ...id,
            segCount: 8,
            storageMode: "memory",
            role: "leader",
            term: 1n,
            followers: [],
          }),
        words[0],
      );
      return [];
    case "stick-op":
      model.stickOp(words[0] ?? "", Number(words[1] ?? 1));
      return [];
    case "slow-load":
      model.slowLoad(words[0] ?? "", Number(words[1]));
      return [];
    default:
      throw new Error(`a scenario knows no command ${verb}`);
  }
}

/** Starts an operation of another operator, and does not wait for its end. */
async function begin(
  virtual: VirtualCluster,
  call: (cluster: Cluster, id: PartitionId) => Promise<void>,
  name: string | undefined,
): Promise<void> {
  const views = viewPartitions(await virtual.clock.run(observe(virtual.cluster), 60_000));
  const view = views.find((one) => partitionName(one.id) === name);
  if (view === undefined) throw new Error(`no partition ${name}`);
  await virtual.clock.run(call(virtual.cluster, view.id), 60_000);
}

async function show(virtual: VirtualCluster): Promise<string[]> {
  const views = viewPartitions(await virtual.clock.run(observe(virtual.cluster), 60_000));
  return views.flatMap((view) =>
    view.replicas.map((one) => {
      const flags = `${one.claim.isLeader ? "leader" : "follower"},${one.claim.isAlive ? "alive" : "dead"}`;
      const runs =
        one.report === undefined
          ? one.tablet === "ok"
            ? "-"
            : one.tablet
          : `${one.report.role},${one.report.state} ${one.report.offset}`;
      return `${partitionName(view.id)}  ${short(one.endpoint)}  ${flags}  ${runs}`;
    }),
  );
}

/** Returns the problems of each partition or, with a method, the first plan for each. */
async function diagnoseOrPlan(
  virtual: VirtualCluster,
  method: Method | undefined,
): Promise<string[]> {
  const views = viewPartitions(await virtual.clock.run(observe(virtual.cluster), 60_000));
  const lines = views.flatMap((view) => {
    const name = partitionName(view.id);
    if (method === undefined) {
      return diagnose(view).map((one) => `${name}  ${short(one.endpoint ?? "*")}  ${one.code}`);
    }
    const lane = plannerOf(method, new Map())(view, NO_ATTEMPTS);
    if (lane.blocked !== undefined) return [`${name}  blocked: ${short(lane.blocked.text)}`];
    return lane.steps.map(
      (step) => `${name}  ${step.kind} ${short(step.endpoint ?? "")}  because ${step.why}`,
    );
  });
  return lines.length === 0 ? ["(nothing)"] : lines;
}

async function recover(
  virtual: VirtualCluster,
  words: readonly string[],
  usual: Method,
): Promise<string[]> {
  const seen = virtual.events.length;
  const began = virtual.clock.now();
  const method = words.includes("documented") ? "documented" : usual;
  const accept = new Map(
    words
      .filter((word) => word.startsWith("accept="))
      .map((word) => word.slice("accept=".length).split("@"))
      .map(([name = "", leader = ""]) => [name, `${leader}:9527`] as const),
  );
  const limits = { ...LIMITS, cancelStuck: words.includes("cancel-stuck") };
  const lost = new Set(
    words
      .filter((word) => word.startsWith("lost="))
      .map((word) => `${word.slice("lost=".length)}:9527`),
  );
  const result = await virtual.recover({ method, accept, lost, limits });
  const lines = virtual.events.slice(seen).flatMap((event) => {
    if (event.kind === "note") return [`- ${event.text}`];
    if (event.kind !== "step-ended") return [];
    const { outcome, step } = event;
    const detail = "detail" in outcome && outcome.detail !== "" ? `: ${outcome.detail}` : "";
    return [
      `${step.id === undefined ? "" : partitionName(step.id)}  ${step.kind} ${short(step.endpoint ?? "")}  ${outcome.result}${short(detail)}`,
    ];
  });
  if (words.includes("timed"))
    lines.push(`took ${Math.round((virtual.clock.now() - began) / 1000)} s`);
  if ("error" in result) return [...lines, `ended early: ${String(result.error)}`];
  const text = allLines(reportText(result.report)).map((line) =>
    short(line).replace(/; [\d.]+ m?s, \d+ calls/, ""),
  );
  return [...lines, ...text, `changes: ${result.report.changes}`];
}

function rows(virtual: VirtualCluster): string[] {
  return virtual.model.rows().map((one) => {
    const id = { ...one };
    const held = one.replicas
      .map((replica) => `${short(replica.endpoint)}=${replica.held}`)
      .join(" ");
    return `${partitionName(id)}  acknowledged ${one.acknowledged}, served ${one.served ?? "-"}, lost ${one.lost}; held ${held}`;
  });
}

/** Removes the ports of endpoints: the tablets of a scenario are letters. */
function short(text: string): string {
  return text.replaceAll(/\b([a-h]|n\d):\d{4}\b/g, "$1");
}

/** `Map.groupBy`, which Node 20 does not have. */
function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return groups;
}
