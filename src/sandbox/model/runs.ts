/**
 * A sequence of log entries written by one leader: the numbers `from` to `to`, both included. An entry
 * is identified by its number and its writer: two replicas that both act as leader can write different
 * entries under the same number and term. Lists of runs are ordered by number and do not overlap; they
 * can have gaps.
 */
export interface Run {
  readonly from: bigint;
  readonly to: bigint;
  /** Leadership term that the entries carry. */
  readonly term: bigint;
  /** The leader that wrote them; each time a replica becomes leader is a new writer. */
  readonly writer: number;
}

/** Number of the last entry; 0 if there is none. */
export function lastOffset(runs: readonly Run[]): bigint {
  return runs.at(-1)?.to ?? 0n;
}

/** How many entries there are. */
export function rowCount(runs: readonly Run[]): number {
  let rows = 0n;
  for (const run of runs) rows += run.to - run.from + 1n;
  return Number(rows);
}

/** Appends entries in place; they must be newer than the existing ones. */
export function append(runs: Run[], run: Run): void {
  const last = runs.at(-1);
  const continues =
    last !== undefined &&
    last.to + 1n === run.from &&
    last.writer === run.writer &&
    last.term === run.term;
  if (continues) {
    runs[runs.length - 1] = { ...last, to: run.to };
  } else {
    runs.push(run);
  }
}

/** The entries numbered above `after`, up to and including `upTo`. */
export function slice(runs: readonly Run[], after: bigint, upTo: bigint): Run[] {
  const part: Run[] = [];
  for (const run of runs) {
    const from = run.from > after ? run.from : after + 1n;
    const to = run.to < upTo ? run.to : upTo;
    if (from <= to) part.push({ ...run, from, to });
  }
  return part;
}

/** The entries numbered up to and including `last`. */
export function truncate(runs: readonly Run[], last: bigint): Run[] {
  return slice(runs, 0n, last);
}

/** The entries of `runs` that `other` lacks: entries with the same number and writer are equal. */
export function subtract(runs: readonly Run[], other: readonly Run[]): Run[] {
  let left: Run[] = [...runs];
  for (const hole of other) {
    left = left.flatMap((run) => without(run, hole));
  }
  return left;
}

function without(run: Run, hole: Run): Run[] {
  if (hole.writer !== run.writer || hole.to < run.from || hole.from > run.to) return [run];
  const parts: Run[] = [];
  if (run.from < hole.from) parts.push({ ...run, to: hole.from - 1n });
  if (run.to > hole.to) parts.push({ ...run, from: hole.to + 1n });
  return parts;
}

/**
 * The writer of entries whose leader is unknown, as in a recording: one per term. Negative, so that it
 * differs from all writers of the model.
 */
export function writerOfTerm(term: bigint): number {
  return -1 - Number(term);
}
