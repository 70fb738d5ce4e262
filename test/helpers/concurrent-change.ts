import { expect } from "vitest";
import type { RecoverOptions, RecoverResult } from "../../src/execution/recover.js";
import { OPType, TableState } from "../../src/gen/openmldb/api_pb.js";
import type { RunEvent, StepOutcome } from "../../src/model/outcome.js";
import type { Step, StepKind } from "../../src/model/step.js";
import type { LoadedReplica } from "../../src/sandbox/model/replica.js";
import { metaOf, partitionOf } from "../../src/sandbox/table-store.js";
import { startVirtualCluster, type VirtualCluster } from "./virtual-cluster.js";

/** db1.t0, one partition with replicas on a, b and c, with the changes that another operator can make. */
export interface ChangeableTable {
  readonly virtual: VirtualCluster;
  /**
   * Sets the flags of a replica in the nameserver's record: `leader` and `alive` as far as given.
   */
  flag(tablet: string, flags: { readonly leader?: boolean; readonly alive?: boolean }): void;
  /** The current flags, such as `leader,alive`. */
  flags(tablet: string): string;
  /** Adds a leadership to the history, which begins with the entry after the acknowledged rows. */
  beginTerm(term: bigint): void;
  /** Removes the replica on that tablet from the record. */
  forget(tablet: string): void;
  /** The replica in the tablet's memory; undefined if it is not loaded. */
  replica(tablet: string): LoadedReplica | undefined;
  /** Loads it at once in that role. */
  load(tablet: string, role: "leader" | "follower"): LoadedReplica;
  unload(tablet: string): void;
  /** Removes entries from the end of a log that is not loaded. */
  cut(tablet: string, entries: number): void;
  newestTerm(): bigint;
}

/** A step that has ended, with its outcome. */
export interface SeenStep {
  readonly step: Step;
  readonly outcome: StepOutcome;
}

/**
 * A cluster with 30 rows in each partition of db1.t0, partition 0 led by c, whose tablets have all
 * been restarted; nothing is loaded.
 */
export async function restartedTable(partitions = 1): Promise<ChangeableTable> {
  const virtual = await startVirtualCluster();
  virtual.model.createTable({ db: "db1", table: "t0", partitions, replicas: 3 });
  virtual.model.put(30);
  await virtual.pass(5_000);
  virtual.model.outage();
  await virtual.pass(30_000);
  const table = changeableTable(virtual);
  if (table.flags("c") !== "leader,alive") throw new Error("c does not lead");
  return table;
}

function changeableTable(virtual: VirtualCluster): ChangeableTable {
  const { model } = virtual;
  const table = () => {
    const found = model.tables.find("t0", "db1");
    if (found === undefined) throw new Error("there is no table");
    return found;
  };
  const part = () => {
    const found = partitionOf(table(), 0);
    if (found === undefined) throw new Error("there is no partition");
    return found;
  };
  const of = () => ({ tid: table().tid, pid: 0 });
  const replica = (tablet: string) => model.tablet(at(tablet)).replica(of().tid, 0);
  return {
    virtual,
    flag(tablet, { leader, alive }) {
      const meta = metaOf(part(), at(tablet));
      if (meta === undefined) throw new Error(`no replica at ${tablet}`);
      if (leader !== undefined) meta.isLeader = leader;
      if (alive !== undefined) meta.isAlive = alive;
      model.tables.save(table());
    },
    flags(tablet) {
      const meta = metaOf(part(), at(tablet));
      if (meta === undefined) return "none";
      return `${meta.isLeader ? "leader" : "follower"},${meta.isAlive ? "alive" : "dead"}`;
    },
    beginTerm(term) {
      const [first] = part().termOffset;
      if (first === undefined) throw new Error("there is no history");
      part().termOffset.push({ ...first, term, offset: 31n });
      model.tables.save(table());
    },
    forget(tablet) {
      const metas = part().partitionMeta;
      metas.splice(
        metas.findIndex((meta) => meta.endpoint === at(tablet)),
        1,
      );
      model.tables.save(table());
    },
    replica,
    load(tablet, role) {
      const { tid, pid } = of();
      const on = model.tablet(at(tablet));
      const old = on.disk.dir(table().storageMode, tid, pid);
      if (old === undefined) throw new Error(`${tablet} has no such replica`);
      const term = role === "leader" ? (part().termOffset.at(-1)?.term ?? 0n) : 0n;
      const dir = on.disk.writeMeta(tid, pid, { ...old.meta, mode: role, term });
      const { offset } = dir;
      return on.add({ tid, pid, dir, role, term, offset, state: TableState.kTableNormal }, []);
    },
    unload(tablet) {
      const loaded = replica(tablet);
      if (loaded !== undefined) model.tablet(at(tablet)).unload(loaded);
    },
    cut: (tablet, entries) =>
      model.cutBinlog(at(tablet), { db: "db1", table: "t0", pid: 0 }, entries),
    newestTerm: () => part().termOffset.at(-1)?.term ?? 0n,
  };
}

/** The endpoint of a tablet named by its letter. */
export function at(tablet: string): string {
  return `${tablet}:9527`;
}

/**
 * Recovers, while another operator changes the cluster between the plan and a step: right before the preconditions of the first
 * step of that kind (at that tablet) are checked.
 *
 * @param change `act` changes the cluster; `after` reads the cluster when that step has ended.
 */
export async function recoverWithChange(
  { virtual }: ChangeableTable,
  change: {
    readonly before: StepKind;
    readonly tablet?: string;
    readonly act: () => void;
    readonly after?: () => void;
    readonly options?: Partial<RecoverOptions>;
  },
): Promise<{
  /** The outcome of the step before which the other operator acted. */
  readonly outcome: StepOutcome;
  readonly steps: readonly SeenStep[];
  readonly result: RecoverResult;
}> {
  const steps: SeenStep[] = [];
  let met: Step | undefined;
  let outcome: StepOutcome | undefined;
  const onEvent = (event: RunEvent) => {
    if (event.kind === "step-started" && met === undefined) {
      const { step } = event;
      const isIt =
        step.kind === change.before &&
        (change.tablet === undefined || step.endpoint === at(change.tablet));
      if (!isIt) return;
      met = step;
      change.act();
    }
    if (event.kind !== "step-ended") return;
    steps.push({ step: event.step, outcome: event.outcome });
    if (event.step !== met || outcome !== undefined) return;
    outcome = event.outcome;
    change.after?.();
  };
  const result = await virtual.recover({ ...change.options, onEvent });
  if (outcome === undefined) {
    const seen = steps.map(({ step }) => `${step.kind} ${step.endpoint}`).join(", ");
    throw new Error(`there was no such step: ${seen}`);
  }
  return { outcome, steps, result };
}

/** Checks that the cluster is healthy with all rows, and that the tool reports the partition as recovered. */
export function expectRecovered({ virtual }: ChangeableTable, result: RecoverResult): void {
  expect(virtual.model.healthy()).toEqual([]);
  expect(virtual.model.rows()).toMatchObject([{ acknowledged: 30, served: 30, lost: 0 }]);
  expect(result).toMatchObject({ report: { partitions: [{ status: "recovered" }] } });
}

/** Checks that RecoverTable was not requested, so that no data of a follower was moved away. */
export function expectNoRecoverTable({ virtual }: ChangeableTable): void {
  const types = virtual.model.leader?.ops.list().map((op) => op.info.opType) ?? [];
  expect(types).not.toContain(OPType.kRecoverTableOP);
}

/** Sets the state of a replica to normal after two seconds, as at the end of a load or a snapshot. */
export function setNormalSoon({ virtual, replica }: ChangeableTable, tablet: string): void {
  virtual.clock.setTimer(2_000, () => {
    const loaded = replica(tablet);
    if (loaded !== undefined) loaded.state = TableState.kTableNormal;
  });
}
