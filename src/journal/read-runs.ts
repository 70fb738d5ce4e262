import { hostname } from "node:os";
import { messageOf } from "../errors.js";
import { checkDocument } from "../util/document.js";
import { isProcessAlive } from "../util/process-identity.js";
import { type JournalText, readJournal } from "./journal-file.js";
import {
  type CallCounts,
  type ClusterName,
  type EndRecord,
  type IntentRecord,
  JOURNAL_LINE,
  type JournalRecord,
  type OutcomeRecord,
  type RunRecord,
} from "./record.js";

import { journalPath } from "./runs-folder.js";

/** Bytes of the largest journal that is read as a whole: enough for a run over a million replicas. */
const WHOLE_MAX = 400 * 2 ** 20;

/** The content of a journal. */
export interface ReadRun {
  /** From the name of the file. */
  readonly id: string;
  readonly path: string;
  /** Undefined if the first line is damaged. */
  readonly run: RunRecord | undefined;
  /** Undefined if the run has not ended. */
  readonly end: EndRecord | undefined;
  /** The valid records, in order. */
  readonly records: readonly JournalRecord[];
  /** Faults of the file, one line each. */
  readonly notes: readonly string[];
  /** True if the file is so large that only its two ends were read. */
  readonly isPart: boolean;
  /** Bytes. */
  readonly size: number;
}

/** A call that changes the cluster, with its outcome. */
export interface CallWithOutcome {
  readonly intent: IntentRecord;
  /** Undefined if the journal does not show whether the call had its effect. */
  readonly outcome: OutcomeRecord | undefined;
}

/**
 * Reads one journal. Never throws, because journals are needed after a crash: a cut-off last line, damaged lines
 * and read errors become notes.
 *
 * @param id One of `listRunIds`.
 * @param wholeMax Bytes; of a larger journal only the two ends are read.
 */
export async function readRun(
  stateDir: string,
  id: string,
  wholeMax = WHOLE_MAX,
): Promise<ReadRun> {
  const path = journalPath(stateDir, id);
  const notes: string[] = [];
  const { lines, rest, isPart, size } = await read(path, wholeMax, notes);
  if (rest !== "") notes.push("the last line is incomplete");
  const records: JournalRecord[] = [];
  let skipped = 0;
  for (const line of lines) {
    const checked = checkDocument(JOURNAL_LINE, line);
    if ("value" in checked) records.push(checked.value);
    else skipped += 1;
  }
  if (skipped > 0) {
    notes.push(`${skipped} damaged or unknown ${skipped === 1 ? "line is" : "lines are"} left out`);
  }
  const first = records.find((one) => one.kind === "run");
  const run = first?.id === id ? first : undefined;
  if (first !== run) notes.push("its first line belongs to another run");
  const end = records.findLast((one) => one.kind === "end");
  return {
    id,
    path,
    run,
    end,
    records,
    notes,
    isPart,
    size,
  };
}

async function read(path: string, wholeMax: number, notes: string[]): Promise<JournalText> {
  try {
    return await readJournal(path, wholeMax);
  } catch (error) {
    notes.push(`the journal cannot be read: ${messageOf(error)}`);
    return { lines: [], rest: "", isPart: false, size: 0 };
  }
}

/** The calls of a run, each with its outcome, in the order of the intents. */
export function callsOf({ records }: Pick<ReadRun, "records">): CallWithOutcome[] {
  const outcomes = new Map(
    records.flatMap((one): [string, OutcomeRecord][] =>
      one.kind === "outcome" ? [[one.call, one]] : [],
    ),
  );
  return records.flatMap((one) =>
    one.kind === "intent" ? [{ intent: one, outcome: outcomes.get(one.call) }] : [],
  );
}

/** Counts calls. */
export function countCalls(calls: readonly CallWithOutcome[]): CallCounts {
  const ended = calls.flatMap(({ outcome }) => (outcome === undefined ? [] : [outcome.isOk]));
  const done = ended.filter((isOk) => isOk).length;
  return { intents: calls.length, done, failed: ended.length - done };
}

/** True if the run has no end and its process is alive on this machine. */
export function isRunning(run: RunRecord, end: EndRecord | undefined): boolean {
  return end === undefined && run.host === hostname() && isProcessAlive(run.pid);
}

/** True if two records belong to the same run. The id alone is not enough, because it can be forged. */
export function isSameRun(a: RunRecord, b: RunRecord): boolean {
  return a.id === b.id && a.time === b.time && a.host === b.host && a.pid === b.pid;
}

/** True if two names mean the same cluster: the same root path and a common ZooKeeper server. */
export function isSameCluster(a: ClusterName, b: ClusterName): boolean {
  return (
    a.zkRootPath === b.zkRootPath && a.zkCluster.some((server) => b.zkCluster.includes(server))
  );
}
