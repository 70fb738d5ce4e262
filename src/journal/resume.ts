import { tableName } from "../model/partition-name.js";
import type { MutationTarget } from "../run/watch-mutations.js";
import { callsOf, isSameCluster, type ReadRun, readRun } from "./read-runs.js";
import type { ClusterName, EndRecord, IntentRecord, RunRecord } from "./record.js";
import { listRunIds } from "./runs-folder.js";

/** A run that did not end with success. */
export interface UnfinishedRun {
  readonly run: RunRecord;
  /** Its result; undefined if it has no end record. */
  readonly result: string | undefined;
  /** Its calls without an outcome in the journal, oldest first. */
  readonly unknownCalls: readonly IntentRecord[];
}

/** Results of runs that changed nothing. They are skipped, because the run before them is still unfinished. */
const CHANGED_NOTHING: readonly string[] = ["usage", "refused", "locked", "plan-outdated"];
/** Number of calls that are named in one line. */
const NAMED_MAX = 5;

/**
 * Finds the run that a new one continues: the newest run of that command on that cluster, if it did not succeed.
 * Runs that were refused before any change are skipped.
 *
 * @param endElsewhere Looks up the end of a run in another place if its journal has none (the disk may have been
 *   full).
 * @returns Undefined if the newest one succeeded, or if there is none.
 * @throws The error of the file system.
 */
export async function findUnfinished(
  stateDir: string,
  { cluster, command }: { readonly cluster: ClusterName; readonly command: string },
  endElsewhere: (run: RunRecord) => Promise<EndRecord | undefined>,
): Promise<UnfinishedRun | undefined> {
  for (const id of await listRunIds(stateDir)) {
    const read = await readRun(stateDir, id);
    const { run } = read;
    if (run === undefined || run.command !== command) continue;
    if (!isSameCluster(run.cluster, cluster)) continue;
    const end = read.end ?? (await endElsewhere(run));
    if (end !== undefined && CHANGED_NOTHING.includes(end.result)) continue;
    return end?.result === "ok" ? undefined : unfinished(read, run, end);
  }
  return undefined;
}

function unfinished(read: ReadRun, run: RunRecord, end: EndRecord | undefined): UnfinishedRun {
  const unknownCalls = callsOf(read).flatMap(({ intent, outcome }) =>
    outcome === undefined ? [intent] : [],
  );
  return { run, result: end?.result, unknownCalls };
}

/** The note on the run that is continued, one line. */
export function resumeText({ run, result, unknownCalls }: UnfinishedRun): string {
  const ended = result === undefined ? "it did not finish" : `it ended with "${result}"`;
  const begun = `run ${run.id} of ${run.user} on ${run.host}, begun ${run.time}: ${ended}`;
  return `continues ${begun}; ${unknownText(unknownCalls)}. Completed work is not repeated: the cluster shows what is left`;
}

function unknownText(calls: readonly IntentRecord[]): string {
  if (calls.length === 0) return "the result of each of its calls is known";
  const named = calls.slice(-NAMED_MAX).map((one) => `${one.method} ${targetText(one.target)}`);
  const rest = calls.length - named.length;
  return `the result of these calls is not known: ${named.join(", ")}${rest > 0 ? ` and ${rest} before them` : ""}`;
}

/** The target of a call as text, such as `db1.t1:0 on 127.0.0.1:9527`. */
export function targetText({ endpoint, db, table, tid, pid }: MutationTarget): string {
  const name = table === undefined ? tid : tableName({ db: db ?? "", table });
  const partition = name === undefined ? "" : `${name}${pid === undefined ? "" : `:${pid}`}`;
  return [partition, endpoint === undefined ? "" : `on ${endpoint}`].filter(Boolean).join(" ");
}
