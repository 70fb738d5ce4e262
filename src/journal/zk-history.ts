import type { ZooKeeper } from "../cluster/zookeeper.js";
import { checkDocument } from "../util/document.js";
import { isRunId } from "../util/process-identity.js";
import type { EndRecord, RunRecord } from "./record.js";
import { RUN_IN_SHORT } from "./record-schema.js";

/** How many runs the cluster remembers. */
const KEPT_MAX = 20;
/** How many are read: runs that end at the same time may leave more for a while. */
const READ_MAX = 200;

/** One run in short, as it is kept in the cluster's ZooKeeper for operators on other machines. */
export interface RunInShort {
  readonly run: RunRecord;
  /** Undefined while the run goes on, and for one that was killed. */
  readonly end: EndRecord | undefined;
}

/** Folder of the runs; OpenMLDB knows nothing of it and leaves it alone. */
function historyPath(rootPath: string): string {
  return `${rootPath}/ops_tool/history`;
}

/**
 * Writes a run in short to `<root>/ops_tool/history/<run id>`, or replaces it, and forgets all but
 * the newest 20 runs. What has no name of a run is left alone.
 *
 * @param line JSON of a {@link RunInShort}.
 * @throws What ZooKeeper throws.
 */
export async function writeRunInShort(
  zk: ZooKeeper,
  rootPath: string,
  id: string,
  line: string,
): Promise<void> {
  const folder = historyPath(rootPath);
  const path = `${folder}/${id}`;
  const data = Buffer.from(line.trimEnd());
  if (!(await zk.setData(path, data))) await zk.create(path, data, "persistent");
  // Another run may remove the same ones at the same time: false is as good as true.
  for (const old of (await newestIds(zk, folder)).slice(KEPT_MAX)) {
    await zk.remove(`${folder}/${old}`);
  }
}

/**
 * Reads the runs that the cluster remembers, newest first.
 *
 * @param note Told of each node that cannot be understood, one line.
 * @throws What ZooKeeper throws.
 */
export async function readRunsInShort(
  zk: ZooKeeper,
  rootPath: string,
  note: (text: string) => void,
): Promise<RunInShort[]> {
  const ids = await newestIds(zk, historyPath(rootPath));
  const runs: RunInShort[] = [];
  for (const id of ids.slice(0, READ_MAX)) {
    const run = await readRunInShort(zk, rootPath, { id, note });
    if (run !== undefined) runs.push(run);
  }
  return runs;
}

/**
 * Reads one run that the cluster remembers.
 *
 * @returns Undefined if there is none, or none that can be understood.
 * @throws What ZooKeeper throws.
 */
export async function readRunInShort(
  zk: ZooKeeper,
  rootPath: string,
  { id, note }: { readonly id: string; readonly note: (text: string) => void },
): Promise<RunInShort | undefined> {
  const path = `${historyPath(rootPath)}/${id}`;
  const data = await zk.getData(path);
  if (data === undefined) return undefined;
  const checked = checkDocument(RUN_IN_SHORT, data);
  const problem = "problem" in checked ? checked.problem : undefined;
  if ("value" in checked && checked.value.run.id === id) {
    return { run: checked.value.run, end: checked.value.end };
  }
  note(`ZooKeeper's ${path} is skipped: ${problem ?? "it is the record of another run"}`);
  return undefined;
}

/** Names of runs, newest first: they begin with the time. */
async function newestIds(zk: ZooKeeper, folder: string): Promise<string[]> {
  const names = (await zk.getChildren(folder)) ?? [];
  return names.filter(isRunId).sort().reverse();
}
