import type { ZooKeeper } from "../cluster/zookeeper.js";
import { checkDocument } from "../util/document.js";
import { isRunId } from "../util/process-identity.js";
import { type EndRecord, RUN_SUMMARY, type RunRecord } from "./record.js";

/** Number of summaries that are kept. */
const KEPT_MAX = 20;
/** Limit of summaries that are read: concurrent runs may leave more than {@link KEPT_MAX} for a while. */
const READ_MAX = 200;

/** Summary of one run, kept in the cluster's ZooKeeper for operators on other machines. */
export interface RunSummary {
  readonly run: RunRecord;
  /** Undefined while the run is in progress, and for one that was killed. */
  readonly end: EndRecord | undefined;
}

/** The znode below which the summaries are; OpenMLDB does not use it. */
function historyPath(rootPath: string): string {
  return `${rootPath}/ops_tool/history`;
}

/**
 * Writes the summary of a run to `<root>/ops_tool/history/<run id>`, and deletes all but the newest
 * {@link KEPT_MAX} summaries. Other znodes are left alone.
 *
 * @param line JSON of a {@link RunSummary}.
 * @throws OpsError of ZooKeeper.
 */
export async function writeRunSummary(
  zk: ZooKeeper,
  rootPath: string,
  id: string,
  line: string,
): Promise<void> {
  const folder = historyPath(rootPath);
  const path = `${folder}/${id}`;
  const data = Buffer.from(line.trimEnd());
  if (!(await zk.setData(path, data))) await zk.create(path, data, "persistent");
  // A concurrent run may delete the same znodes, so the result is ignored.
  for (const old of (await newestIds(zk, folder)).slice(KEPT_MAX)) {
    await zk.remove(`${folder}/${old}`);
  }
}

/**
 * Reads the summaries, newest first.
 *
 * @param note Receives one line for each znode that cannot be parsed.
 * @throws OpsError of ZooKeeper.
 */
export async function readRunSummaries(
  zk: ZooKeeper,
  rootPath: string,
  note: (text: string) => void,
): Promise<RunSummary[]> {
  const ids = await newestIds(zk, historyPath(rootPath));
  const runs: RunSummary[] = [];
  for (const id of ids.slice(0, READ_MAX)) {
    const run = await readRunSummary(zk, rootPath, { id, note });
    if (run !== undefined) runs.push(run);
  }
  return runs;
}

/**
 * Reads the summary of one run.
 *
 * @returns Undefined if there is none, or if it cannot be parsed.
 * @throws OpsError of ZooKeeper.
 */
export async function readRunSummary(
  zk: ZooKeeper,
  rootPath: string,
  { id, note }: { readonly id: string; readonly note: (text: string) => void },
): Promise<RunSummary | undefined> {
  const path = `${historyPath(rootPath)}/${id}`;
  const data = await zk.getData(path);
  if (data === undefined) return undefined;
  const checked = checkDocument(RUN_SUMMARY, data);
  const problem = "problem" in checked ? checked.problem : undefined;
  if ("value" in checked && checked.value.run.id === id) {
    return { run: checked.value.run, end: checked.value.end };
  }
  note(`ZooKeeper's ${path} is skipped: ${problem ?? "it is the record of another run"}`);
  return undefined;
}

/** Ids of runs, newest first; an id begins with the time. */
async function newestIds(zk: ZooKeeper, folder: string): Promise<string[]> {
  const names = (await zk.getChildren(folder)) ?? [];
  return names.filter(isRunId).sort().reverse();
}
