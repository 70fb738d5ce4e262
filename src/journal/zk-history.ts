import type { ZooKeeper } from "../cluster/zookeeper.js";
import { messageOf } from "../errors.js";
import { asRecord, type EndRecord, type RunRecord } from "./record.js";

/** How many runs the cluster remembers. */
const KEPT_MAX = 20;

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
 * the newest 20 runs.
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
  const ids = [...((await zk.getChildren(folder)) ?? [])].sort();
  // Another run may remove the same ones at the same time: false is as good as true.
  for (const old of ids.slice(0, -KEPT_MAX)) await zk.remove(`${folder}/${old}`);
}

/**
 * Reads the runs that the cluster remembers, in no order.
 *
 * @param note Told of each node that cannot be understood, one line.
 * @throws What ZooKeeper throws.
 */
export async function readRunsInShort(
  zk: ZooKeeper,
  rootPath: string,
  note: (text: string) => void,
): Promise<RunInShort[]> {
  const folder = historyPath(rootPath);
  const runs: RunInShort[] = [];
  for (const id of (await zk.getChildren(folder)) ?? []) {
    const data = await zk.getData(`${folder}/${id}`);
    if (data === undefined) continue;
    try {
      runs.push(parseRunInShort(data.toString("utf8")));
    } catch (error) {
      note(`ZooKeeper's ${folder}/${id} is skipped: ${messageOf(error)}`);
    }
  }
  return runs;
}

function parseRunInShort(text: string): RunInShort {
  const { run, end } = JSON.parse(text) as { readonly run?: unknown; readonly end?: unknown };
  const runRecord = asRecord(run);
  const endRecord = end === undefined ? undefined : asRecord(end);
  if (runRecord?.kind !== "run") throw new Error("it does not say who began the run");
  if (end !== undefined && endRecord?.kind !== "end") throw new Error("its end is not whole");
  return { run: runRecord, end: endRecord?.kind === "end" ? endRecord : undefined };
}
