import type { ModelCore } from "./model-core.js";
import type { LoadedReplica } from "./replica.js";
import { append, lastOffset, type Run, slice } from "./runs.js";

/** One replica, by its tablet and its partition. */
export interface ReplicaPlace {
  /** Any name of the tablet. */
  readonly tablet: string;
  readonly db: string;
  readonly table: string;
  readonly pid: number;
}

/**
 * A loaded replica.
 *
 * @throws Error if there is no such table or the tablet has not loaded the replica.
 */
function loadedAt(model: ModelCore, { tablet, db, table, pid }: ReplicaPlace): LoadedReplica {
  const tid = model.tables.find(table, db)?.tid;
  const replica = tid === undefined ? undefined : model.tablet(tablet).replica(tid, pid);
  if (replica === undefined) throw new Error(`${tablet} has not loaded ${db}.${table}/${pid}`);
  return replica;
}

/**
 * Makes a loaded replica differ from the others without changing an offset: entry `number` is lost, is
 * another one than its leader wrote, or the first row is in memory twice.
 *
 * @throws Error if it is not loaded or has no such entry.
 */
export function plantRow(
  model: ModelCore,
  at: ReplicaPlace,
  number: bigint,
  how: "lost" | "other" | "doubled",
): void {
  const replica = loadedAt(model, at);
  const { dir } = replica;
  const [entry] = slice(dir.runs, number - 1n, number);
  if (entry === undefined) throw new Error(`${at.tablet} has no entry ${number}`);
  model.log(`${at.tablet} ${how} row ${number} of ${replica.tid}/${replica.pid}`);
  if (how === "doubled") {
    replica.extraRows += 1;
  } else {
    const runs: Run[] = slice(dir.runs, 0n, number - 1n);
    if (how === "other") append(runs, { ...entry, writer: model.nextWriter() });
    for (const run of slice(dir.runs, number, lastOffset(dir.runs))) append(runs, run);
    dir.runs = runs;
    replica.forgetAnswers();
  }
  model.tablet(at.tablet).touch(replica);
}

/**
 * Expires rows up to `number` on one loaded replica: its tablet collects them, others may do so later.
 * The log keeps them, and a restart restores them.
 *
 * @throws Error if it is not loaded.
 */
export function expireRows(model: ModelCore, at: ReplicaPlace, number: bigint): void {
  const replica = loadedAt(model, at);
  replica.expiredTo = number;
  model.tablet(at.tablet).touch(replica);
  model.log(`${at.tablet} rows of ${replica.tid}/${replica.pid} up to ${number} are expired`);
}
