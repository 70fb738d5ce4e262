import { readdir, readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { messageOf } from "../errors.js";
import {
  type CallCounts,
  type ClusterName,
  type EndRecord,
  type IntentRecord,
  type JournalRecord,
  type OutcomeRecord,
  parseRecord,
  type RunRecord,
} from "./record.js";
import { isProcessAlive } from "./who.js";

/** What the name of a journal ends with; before it stands the id of the run. */
const SUFFIX = ".jsonl";

/** Where the journal of a run is. */
export function journalPath(stateDir: string, id: string): string {
  return join(runsFolder(stateDir), `${id}${SUFFIX}`);
}

function runsFolder(stateDir: string): string {
  return join(stateDir, "runs");
}

/** A journal as it was found. */
export interface ReadRun {
  /** From the name of the file. */
  readonly id: string;
  readonly path: string;
  /** Undefined if the first line is damaged. */
  readonly run: RunRecord | undefined;
  /** Undefined if the run has not come to its end. */
  readonly end: EndRecord | undefined;
  /** All lines that can be read, in order. */
  readonly records: readonly JournalRecord[];
  /** What is wrong with the file, one line each. */
  readonly notes: readonly string[];
}

/** A call that changes the cluster, and how it ended. */
export interface CallStory {
  readonly intent: IntentRecord;
  /** Undefined: whether the call had its effect is not known from the journal. */
  readonly outcome: OutcomeRecord | undefined;
}

/**
 * Ids of the runs that have a journal, newest first; empty if there is no such folder.
 *
 * @throws What the file system throws, except that there is no folder.
 */
export async function listRunIds(stateDir: string): Promise<string[]> {
  try {
    const names = await readdir(runsFolder(stateDir));
    return names
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => name.slice(0, -SUFFIX.length))
      .sort()
      .reverse();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/**
 * Reads one journal. A last line that was cut off and lines that are damaged are left out and
 * noted: a crash is just when a journal is wanted.
 *
 * @param id One of {@link listRunIds}.
 */
export async function readRun(stateDir: string, id: string): Promise<ReadRun> {
  const path = journalPath(stateDir, id);
  const notes: string[] = [];
  let text = "";
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    notes.push(`the journal cannot be read: ${messageOf(error)}`);
  }
  const lines = text.split("\n");
  const rest = lines.pop() ?? "";
  if (rest !== "") notes.push("the last line is half written: the run was cut off there");
  const records: JournalRecord[] = [];
  let skipped = 0;
  for (const line of lines) {
    const record = parseRecord(line);
    if (record === undefined) skipped += 1;
    else records.push(record);
  }
  if (skipped > 0) {
    notes.push(`${skipped} damaged or unknown ${skipped === 1 ? "line is" : "lines are"} left out`);
  }
  const run = records.find((one) => one.kind === "run");
  const end = records.findLast((one) => one.kind === "end");
  return { id, path, run, end, records, notes };
}

/** The calls of a run, each with its outcome, in the order of the intents. */
export function callsOf({ records }: Pick<ReadRun, "records">): CallStory[] {
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
export function countCalls(calls: readonly CallStory[]): CallCounts {
  const ended = calls.flatMap(({ outcome }) => (outcome === undefined ? [] : [outcome.isOk]));
  const done = ended.filter((isOk) => isOk).length;
  return { intents: calls.length, done, failed: ended.length - done };
}

/** Whether the run goes on in this moment, as far as this machine can see. */
export function isRunning(run: RunRecord, end: EndRecord | undefined): boolean {
  return end === undefined && run.host === hostname() && isProcessAlive(run.pid);
}

/** Whether two names mean one cluster: the same root path, and a ZooKeeper server in common. */
export function isSameCluster(a: ClusterName, b: ClusterName): boolean {
  return (
    a.zkRootPath === b.zkRootPath && a.zkCluster.some((server) => b.zkCluster.includes(server))
  );
}
