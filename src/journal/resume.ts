import { tableName } from "../model/partition-name.js";
import type { MutationTarget } from "../run/watch-mutations.js";
import { callsOf, isSameCluster, type ReadRun, readRun } from "./read-runs.js";
import type { ClusterName, EndRecord, IntentRecord, RunRecord } from "./record.js";
import { listRunIds } from "./runs-folder.js";

/** A run that ended before its work was done. */
export interface UnfinishedRun {
  readonly run: RunRecord;
  /** A word for how it ended; undefined if it did not even get to say. */
  readonly result: string | undefined;
  /** Its calls of which the journal does not know how they ended, oldest first. */
  readonly unknownCalls: readonly IntentRecord[];
}

/** A run that ended with one of these changed nothing: what was unfinished before it still is. */
const CHANGED_NOTHING: readonly string[] = ["usage", "refused", "locked", "plan-outdated"];
/** How many calls are named in one line. */
const NAMED_MAX = 5;

/**
 * Finds the run that a new one continues: the newest of that command on that cluster, if it did
 * not end well. Runs that were refused before any change are passed over.
 *
 * @param endElsewhere Where the end of a run is looked up that its journal does not have: the disk may
 *   have been full.
 * @returns Undefined if the newest one ended well, or if there is none.
 * @throws What the file system throws.
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

/** What is said of the run that is continued, one line. */
export function resumeText({ run, result, unknownCalls }: UnfinishedRun): string {
  const ended = result === undefined ? "it did not finish" : `it ended with "${result}"`;
  const begun = `run ${run.id} of ${run.user} on ${run.host}, begun ${run.time}: ${ended}`;
  return `continues ${begun}; ${unknownText(unknownCalls)}. Completed work is not repeated: the cluster shows what is left`;
}

function unknownText(calls: readonly IntentRecord[]): string {
  if (calls.length === 0) return "how each of its calls ended is known";
  const named = calls.slice(-NAMED_MAX).map((one) => `${one.method} ${targetText(one.target)}`);
  const rest = calls.length - named.length;
  return `how these calls ended is not known: ${named.join(", ")}${rest > 0 ? ` and ${rest} before them` : ""}`;
}

/** The target of a call for people, such as `db1.t1:0 on 127.0.0.1:9527`. */
export function targetText({ endpoint, db, table, tid, pid }: MutationTarget): string {
  const name = table === undefined ? tid : tableName({ db: db ?? "", table });
  const partition = name === undefined ? "" : `${name}${pid === undefined ? "" : `:${pid}`}`;
  return [partition, endpoint === undefined ? "" : `on ${endpoint}`].filter(Boolean).join(" ");
}
