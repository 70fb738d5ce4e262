import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { messageOf, OpsError, usageError } from "../errors.js";
import { isSameCluster } from "../journal/read-runs.js";
import type { ClusterName } from "../journal/record.js";
import { type StatLine, type StatStore, statText } from "../operations/statfile.js";
import { checkValue, type DocumentKind } from "../util/document.js";
import { replaceFile, syncFolder } from "../util/replace-file.js";
import { safe } from "../util/text.js";
import { readRegularFile } from "../util/user-file.js";

/** Marks the line that names the cluster of the file; it is in the field that names a tablet in other lines. */
const CLUSTER_LINE = "#cluster";
const ID_MAX = 2 ** 32 - 1;

/** Limit in bytes, for many more lines than a cluster has partitions. */
const BYTES_MAX = 8 * 2 ** 20;

/** The schema of one line, split into fields. */
const STAT_LINE: DocumentKind<StatLine> = {
  maxBytes: BYTES_MAX,
  maxDepth: 0,
  schema: (z) => {
    const word = z.string().max(1_000);
    const id = z
      .string()
      .regex(/^\d{1,10}$/, "expected a number")
      .transform(Number)
      .pipe(z.number().max(ID_MAX));
    return z.object({
      endpoint: word.regex(/\S/, "expected a tablet"),
      db: word,
      table: word.min(1),
      tid: id,
      pid: id,
      added: word,
    });
  },
};

/**
 * A statfile on disk. Lines are appended and synced one by one. Removing lines replaces the file atomically, so it is
 * complete at any moment. The first line names the cluster; a file of another cluster is refused. A file that
 * openmldb_ops.py wrote names no cluster and is accepted.
 */
export function statStore(path: string, cluster: ClusterName): StatStore {
  const load = () => (existsSync(path) ? guarded(path, () => linesOf(path)) : undefined);
  const read = () => {
    const lines = load();
    if (lines !== undefined) assertSameCluster(path, lines, cluster);
    return lines?.filter((line) => line.endpoint !== CLUSTER_LINE);
  };
  const begin = () => (existsSync(path) ? "" : `${statText(clusterLine(cluster))}\n`);
  return {
    path,
    read,
    append: (line) => guarded(path, () => append(path, begin(), `${statText(line)}\n`)),
    touch: () => guarded(path, () => append(path, begin(), "")),
    remove(matches) {
      const lines = load() ?? [];
      const left = lines.filter((line) => line.endpoint === CLUSTER_LINE || !matches(line));
      const isEmpty = left.every((line) => line.endpoint === CLUSTER_LINE);
      if (left.length === lines.length && !isEmpty) return;
      guarded(path, () => {
        if (!isEmpty) {
          replaceFile(path, left.map((line) => `${statText(line)}\n`).join(""));
          return;
        }
        rmSync(path, { force: true });
        syncFolder(dirname(path));
      });
    },
  };
}

/**
 * Opens the statfile of a command and checks that it is writable and valid.
 *
 * @throws OpsError `usage` if it is not.
 */
export function checkedStatStore(path: string, cluster: ClusterName): StatStore {
  assertWritable(path);
  const store = statStore(path, cluster);
  store.read();
  return store;
}

/**
 * Checks that a statfile can be written, without creating it.
 *
 * @throws OpsError `usage` if it cannot.
 */
export function assertWritable(path: string): void {
  guarded(path, () => {
    if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) readStatfile(path);
    accessSync(existsSync(path) ? path : dirname(path), constants.W_OK);
  });
}

/** The line that names the cluster. It has the six fields of every line, so that openmldb_ops.py skips it. */
function clusterLine({ zkCluster, zkRootPath }: ClusterName): StatLine {
  return {
    endpoint: CLUSTER_LINE,
    db: zkCluster.join(" "),
    table: zkRootPath,
    tid: 0,
    pid: 0,
    added: "",
  };
}

function assertSameCluster(path: string, lines: readonly StatLine[], cluster: ClusterName): void {
  for (const { endpoint, db, table } of lines) {
    if (endpoint !== CLUSTER_LINE) continue;
    if (isSameCluster({ zkCluster: db.split(" "), zkRootPath: table }, cluster)) continue;
    const [theirs, ours] = [
      `${db} ${table}`,
      `${cluster.zkCluster.join(" ")} ${cluster.zkRootPath}`,
    ];
    throw usageError(
      `--statfile=${safe(path)} belongs to the cluster at ${safe(theirs)}, not to the one at ${safe(ours)}`,
      "name another file with --statfile, or connect as pre-upgrade did",
    );
  }
}

/** Reads the file. Refuses symbolic links, devices and files that are too large. */
function readStatfile(path: string): string {
  if (lstatSync(path).isSymbolicLink())
    throw new Error("it is a symbolic link: name the file itself");
  return readRegularFile(path, BYTES_MAX);
}

function linesOf(path: string): StatLine[] {
  return readStatfile(path)
    .split("\n")
    .flatMap((row, index) => {
      if (row.trim() === "") return [];
      const checked = checkValue(STAT_LINE, fieldsOf(row));
      if ("value" in checked) return [checked.value];
      throw usageError(
        `--statfile=${safe(path)}: line ${index + 1} is not of the form endpoint,db,name,tid,pid,added endpoint: ${safe(checked.problem)}`,
        "name the statfile that pre-upgrade wrote",
      );
    });
}

/** Splits a line. Only the table name can contain commas, so the two fields before and the three after it are fixed. */
function fieldsOf(row: string): Record<string, string> {
  const fields = row.split(",").map((field) => field.trim());
  const [endpoint = "", db = ""] = fields;
  const [tid = "", pid = "", added = ""] = fields.slice(-3);
  return { endpoint, db, table: fields.slice(2, -3).join(","), tid, pid, added };
}

/** @param first The first line of a new file; empty if the file exists. */
function append(path: string, first: string, text: string): void {
  const { O_RDWR, O_CREAT, O_APPEND, O_NOFOLLOW, O_NONBLOCK } = constants;
  const file = openSync(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK, 0o640);
  try {
    const stats = fstatSync(file);
    if (!stats.isFile()) throw new Error("it is not a regular file");
    const all = `${missingBreak(file, stats.size)}${first}${text}`;
    if (all !== "") writeSync(file, all);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  if (first !== "") syncFolder(dirname(path));
}

/** A line break if the file ends with a truncated line, which must not be joined with the next one. */
function missingBreak(file: number, size: number): string {
  const last = Buffer.alloc(1);
  return size > 0 && readSync(file, last, 0, 1, size - 1) === 1 && last[0] !== 10 ? "\n" : "";
}

function guarded<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof OpsError) throw error;
    throw usageError(
      `--statfile=${safe(path)}: ${messageOf(error)}`,
      "name a file in a folder that exists and may be written",
    );
  }
}
