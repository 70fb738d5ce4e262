import type { RowsProgress } from "../model/progress.js";
import type { PartitionRows, Sample } from "../model/rows.js";
import type { RowTask } from "../policy/rows-to-compare.js";
import { type CompareOptions, compareRows } from "./compare-rows.js";

/** The options of {@link verifyRows}. */
export interface VerifyRowsOptions extends Omit<CompareOptions, "sampleRows" | "onRead"> {
  /** Limit of partitions that are compared concurrently; never two that share a tablet. */
  readonly concurrency: number;
  /** Undefined: all rows. */
  readonly sample: Sample | undefined;
  readonly onProgress: (progress: RowsProgress) => void;
  /** Receives each partition as soon as it is compared. */
  readonly onCompared: (one: PartitionRows) => void;
}

/**
 * Compares the rows of many partitions, a few concurrently. Each tablet is read for one partition at a time, one call
 * after another.
 *
 * @returns In the order of the tasks.
 * @throws The signal's reason on abort; comparisons in flight are abandoned.
 */
export async function verifyRows(
  tasks: readonly RowTask[],
  options: VerifyRowsOptions,
): Promise<readonly PartitionRows[]> {
  const results = new Map<RowTask, PartitionRows>();
  const waiting = [...tasks];
  const running = new Map<RowTask, Promise<void>>();
  const busy = new Set<string>();
  const count = createCount(tasks, options.sample);
  const report = () => options.onProgress(count.progress());
  const start = (task: RowTask) => {
    const tablets = tabletsOf(task);
    for (const endpoint of tablets) busy.add(endpoint);
    const work = async () => {
      const onRead = (rows: number) => {
        count.read(rows);
        report();
      };
      const sampled = sampleRows(options.sample, task);
      const one = await compareRows(task, { ...options, sampleRows: sampled, onRead });
      results.set(task, one);
      count.finished(task);
      options.onCompared(one);
      report();
    };
    running.set(
      task,
      work().finally(() => {
        running.delete(task);
        for (const endpoint of tablets) busy.delete(endpoint);
      }),
    );
  };
  while (waiting.length > 0 || running.size > 0) {
    while (running.size < options.concurrency) {
      const next = waiting.findIndex((task) => tabletsOf(task).every((one) => !busy.has(one)));
      const [task] = next < 0 ? [] : waiting.splice(next, 1);
      if (task === undefined) break;
      start(task);
    }
    await Promise.race(running.values()).catch(async (error: unknown) => {
      await Promise.allSettled(running.values());
      throw error;
    });
  }
  return tasks.flatMap((task) => results.get(task) ?? []);
}

function tabletsOf({ leader, followers }: RowTask): string[] {
  return leader === undefined ? [] : [leader, ...followers];
}

function sampleRows(sample: Sample | undefined, { leaderRows }: RowTask): number | undefined {
  if (sample === undefined) return undefined;
  return "rows" in sample
    ? sample.rows
    : Math.max(1, Math.ceil((leaderRows * sample.percent) / 100));
}

/**
 * Counts rows for the progress. The expected total comes from the tablets' own counts, which ignore
 * indexes and expired rows; the finished partitions show the factor by which the counts are wrong.
 */
function createCount(tasks: readonly RowTask[], sample: Sample | undefined) {
  const expectedOf = (task: RowTask): number => {
    if (task.leader === undefined || task.followers.length === 0) return 0;
    const part = sampleRows(sample, task);
    return part === undefined ? task.rows : Math.min(task.rows, part * (task.followers.length + 1));
  };
  let read = 0;
  let compared = 0;
  let expectedThrough = 0;
  let readThrough = 0;
  let rest = tasks.reduce((sum, task) => sum + expectedOf(task), 0);
  return {
    read(rows: number) {
      read += rows;
    },
    finished(task: RowTask) {
      compared += 1;
      rest -= expectedOf(task);
      expectedThrough += expectedOf(task);
      readThrough = read;
    },
    progress(): RowsProgress {
      const factor = expectedThrough > 0 ? readThrough / expectedThrough : 1;
      return {
        compared,
        of: tasks.length,
        rows: read,
        expectedRows: Math.max(read, Math.round(readThrough + rest * factor)),
      };
    },
  };
}
