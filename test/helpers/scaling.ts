import type { Cluster } from "../../src/cluster/cluster.js";
import { runOperation } from "../../src/execution/run-operation.js";
import type { Endpoint } from "../../src/model/cluster-state.js";
import { isSystemDatabase } from "../../src/model/partition-view.js";
import type { OperationReport } from "../../src/model/report.js";
import type { Operation } from "../../src/operations/operation.js";
import type { StatLine, StatStore } from "../../src/operations/statfile.js";
import { createGuard } from "../../src/run/guard.js";
import type { SandboxModel } from "../../src/sandbox/model/model.js";
import { LIMITS, startVirtualCluster, type VirtualCluster } from "./virtual-cluster.js";

/** The limit of a run in virtual time, milliseconds. */
const HOURS = 3 * 3_600_000;

/** The first tablet, which the tests empty, fill or upgrade. */
export const A = "a:9527";

/** db1.t0 of so many partitions and replicas; tablets a, b, c; system tables. */
export interface Shape {
  readonly replicas: number;
  readonly partitions: number;
  readonly tablets?: number;
  /** All rows of the table together; 50,000 if left out. */
  readonly rows?: number;
  /** Whether tablet a joined after the tables were made, and is empty. */
  readonly isNew?: boolean;
  readonly autoFailover?: boolean;
  readonly seed?: number;
}

/** A healthy cluster with rows. */
export async function scaledCluster(shape: Shape): Promise<VirtualCluster> {
  const { replicas, partitions, rows = 50_000, isNew = false, seed = 1 } = shape;
  const virtual = await startVirtualCluster({
    seed,
    tablets: shape.tablets ?? 3,
    model: { autoFailover: shape.autoFailover ?? true },
  });
  const { model } = virtual;
  if (isNew) {
    model.kill("tablet1");
    await virtual.pass(15_000);
  }
  model.createSystemTables();
  model.createTable({ db: "db1", table: "t0", partitions, replicas });
  model.put(Math.ceil(rows / partitions), { db: "db1" });
  if (isNew) model.restart("tablet1");
  await virtual.pass(15_000);
  return virtual;
}

/** Replicas of user tables on each tablet, and those that lead, by the nameserver's record. */
export function spread({ model }: Pick<VirtualCluster, "model">): {
  readonly replicas: Record<Endpoint, number>;
  readonly leaders: Record<Endpoint, number>;
} {
  const replicas: Record<Endpoint, number> = {};
  const leaders: Record<Endpoint, number> = {};
  for (const endpoint of model.tablets.keys()) {
    replicas[endpoint] = 0;
    leaders[endpoint] = 0;
  }
  for (const table of model.tables.all().filter((one) => !isSystemDatabase(one.db))) {
    for (const meta of table.tablePartition.flatMap((part) => part.partitionMeta)) {
      replicas[meta.endpoint] = (replicas[meta.endpoint] ?? 0) + 1;
      if (meta.isLeader) leaders[meta.endpoint] = (leaders[meta.endpoint] ?? 0) + 1;
    }
  }
  return { replicas, leaders };
}

/** All replicas on a tablet, those of system tables too, as `db.table:pid`. */
export function replicasOn({ model }: Pick<VirtualCluster, "model">, endpoint: Endpoint): string[] {
  return model.tables
    .all()
    .flatMap((table) =>
      table.tablePartition
        .filter((part) => part.partitionMeta.some((meta) => meta.endpoint === endpoint))
        .map((part) => `${table.db}.${table.name}:${part.pid}`),
    );
}

/** The number of partitions, with those of system tables, that a tablet leads. */
export function ledBy({ model }: Pick<VirtualCluster, "model">, endpoint: Endpoint): number {
  const metas = model.tables
    .all()
    .flatMap((table) => table.tablePartition.flatMap((part) => part.partitionMeta));
  return metas.filter((meta) => meta.endpoint === endpoint && meta.isLeader).length;
}

/** The number of acknowledged rows that are not served now; 0 if none was lost. */
export function unserved(model: SandboxModel): number {
  const rows = model.rows({});
  return rows.reduce((sum, one) => sum + one.acknowledged - (one.served ?? 0), 0);
}

/** Rows acknowledged in db1. */
export function rowsOf(model: SandboxModel): number {
  return model.rows({ db: "db1" }).reduce((sum, one) => sum + one.acknowledged, 0);
}

/** A cluster whose process is killed after so many further beginnings and ends of changes. */
export function killable(
  cluster: Cluster,
  boundaries: number,
): { readonly cluster: Cluster; readonly died: Promise<"died">; passed(): number } {
  let passed = 0;
  let isDead = false;
  let die: () => void = () => undefined;
  const died = new Promise<"died">((resolve) => {
    die = () => {
      isDead = true;
      resolve("died");
    };
  });
  const never = new Promise<never>(() => undefined);
  const boundary = async (): Promise<void> => {
    if (!isDead && passed >= boundaries) die();
    if (isDead) await never;
    passed += 1;
  };
  const guarded = new Proxy(cluster, {
    get(target, name, receiver) {
      const member: unknown = Reflect.get(target, name, receiver);
      if (typeof member !== "function" || name === "connection" || name === "admit") return member;
      return async (...args: unknown[]) => {
        if (isDead) await never;
        const call = () => (member as (...all: unknown[]) => unknown).apply(target, args);
        if (!CHANGES.has(String(name))) return call();
        await boundary();
        const result = await call();
        await boundary();
        return result;
      };
    },
  });
  return { cluster: guarded, died, passed: () => passed };
}

const CHANGES: ReadonlySet<string> = new Set([
  "confSet",
  "updateTableAlive",
  "recoverTable",
  "changeLeader",
  "migrate",
  "addReplicaNS",
  "delReplicaNS",
  "addReplica",
  "delReplica",
  "recoverSnapshot",
]);

/**
 * Runs an operation to its end in virtual time, without lock and journal; undefined if its process was
 * killed.
 */
export async function scale(
  virtual: VirtualCluster,
  operation: Operation,
  life?: ReturnType<typeof killable>,
): Promise<OperationReport | undefined> {
  const { clock, events } = virtual;
  const cluster = life?.cluster ?? virtual.cluster;
  const onEvent = (event: (typeof events)[number]) => void events.push(event);
  const work = runOperation(cluster, operation, {
    limits: LIMITS,
    signal: new AbortController().signal,
    onEvent,
    createGuard: (before) => Promise.resolve(createGuard({ cluster, before, onEvent })),
    review: () => Promise.resolve(false),
  });
  const ended = await clock.run(life === undefined ? work : Promise.race([work, life.died]), HOURS);
  return ended === "died" ? undefined : ended;
}

/** A statfile in memory, with a log of the writes to it. */
export function memoryStore(
  before?: readonly StatLine[],
): StatStore & { readonly lines: () => readonly StatLine[] | undefined } {
  let lines: readonly StatLine[] | undefined = before;
  return {
    path: ".stat",
    lines: () => lines,
    read: () => lines,
    append: (line) => {
      lines = [...(lines ?? []), line];
    },
    touch: () => {
      lines ??= [];
    },
    remove(matches) {
      const left = (lines ?? []).filter((line) => !matches(line));
      lines = left.length === 0 ? undefined : left;
    },
  };
}

/** Problems observed while something ran, polled every 100 ms of virtual time. */
export interface Watch {
  /** The moments at which a partition had no replica with all its acknowledged rows. */
  readonly gaps: string[];
  /** The most replicas of one partition that were marked not alive at the same time. */
  readonly mostDead: () => number;
  /** The longest time that one partition had no leader that takes writes, milliseconds. */
  readonly longestWithoutLeader: () => number;
  stop(): void;
}

const LOOK_MS = 100;

/** Starts to poll the cluster; see {@link Watch}. */
export function watch({ model, clock }: VirtualCluster): Watch {
  const gaps: string[] = [];
  const since = new Map<string, number>();
  let mostDead = 0;
  let longest = 0;
  let isOver = false;
  const look = () => {
    if (isOver) return;
    for (const one of model.rows({})) {
      const key = `${one.db}.${one.table}:${one.pid}`;
      const isWhole = one.replicas.some((r) => r.isLoaded && r.acknowledged === one.acknowledged);
      if (!isWhole) gaps.push(`${key} at ${clock.now()}`);
      if (one.leader === undefined) {
        const began = since.get(key) ?? clock.now();
        since.set(key, began);
        longest = Math.max(longest, clock.now() - began + LOOK_MS);
      } else since.delete(key);
    }
    for (const part of model.tables.all().flatMap((table) => table.tablePartition)) {
      const dead = part.partitionMeta.filter((meta) => !meta.isAlive).length;
      mostDead = Math.max(mostDead, dead);
    }
    clock.setTimer(LOOK_MS, look);
  };
  look();
  return {
    gaps,
    mostDead: () => mostDead,
    longestWithoutLeader: () => longest,
    stop: () => {
      isOver = true;
    },
  };
}
