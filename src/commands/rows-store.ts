import { createHash } from "node:crypto";
import { appendFileSync, closeSync, constants, mkdirSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { codeOf, messageOf } from "../errors.js";
import { isSameCluster } from "../journal/read-runs.js";
import type { ClusterName } from "../journal/record.js";
import { replicaKey } from "../model/cluster-state.js";
import type { NamedRow, PartitionRows, Sample } from "../model/rows.js";
import { checkDocument, type DocumentKind, digits, type Zod } from "../util/document.js";
import { replaceFile } from "../util/replace-file.js";
import { jsonText } from "../util/text.js";
import { readRegularFile } from "../util/user-file.js";

/** The scope of a deep verification. Results are reused only by a verification with the same scope. */
export interface RowsSelection {
  readonly cluster: ClusterName;
  readonly db: string | null;
  readonly table: string | null;
  readonly pids: readonly number[] | null;
  readonly sample: Sample | null;
  readonly showsKeys: boolean;
}

/** Results of compared partitions on disk, so that a stopped run can be continued. */
export interface RowsStore {
  /**
   * Reads the results of the last stopped run with the same scope.
   *
   * @returns Empty if there are none, or if they cannot be read; `note` is the reason then.
   */
  read(): {
    readonly partitions: readonly PartitionRows<NamedRow>[];
    readonly note: string | undefined;
  };
  /** Starts a new file with the results that are kept. */
  begin(kept: readonly PartitionRows<NamedRow>[]): void;
  /** Adds the result of a partition. */
  add(one: PartitionRows<NamedRow>): void;
  /** Deletes the file, after all partitions are compared. */
  end(): void;
}

const KIND = "openmldb-ops-rows";
const FORMAT_VERSION = 1;
const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
const LINE_BYTES_MAX = 2 ** 20;
const FILE_BYTES_MAX = 400 * 2 ** 20;

interface Head {
  readonly kind: string;
  readonly formatVersion: number;
  readonly cluster: ClusterName;
}

const HEAD: DocumentKind<Head> = {
  maxBytes: LINE_BYTES_MAX,
  maxDepth: 6,
  schema: (z) =>
    z.object({
      kind: z.literal(KIND),
      formatVersion: z.literal(FORMAT_VERSION),
      cluster: z.object({ zkCluster: z.array(z.string()), zkRootPath: z.string() }),
    }),
};

const PARTITION: DocumentKind<PartitionRows<NamedRow>> = {
  maxBytes: LINE_BYTES_MAX,
  maxDepth: 8,
  schema: partitionSchema,
};

function partitionSchema(z: Zod) {
  const text = z.string();
  const texts = z.array(text);
  const maybeText = text.optional().transform((value) => value);
  const count = z.number().int().nonnegative();
  const id = z.object({ db: text, table: text, tid: count, pid: count });
  const group = z.object({
    have: texts,
    lack: texts,
    isCopy: z.boolean(),
    rows: count,
    examples: z.array(z.object({ hash: text, key: maybeText, ts: digits(z) })),
  });
  return z.object({
    id,
    status: z.enum(["same", "different", "single"]),
    leader: maybeText,
    followers: texts,
    rows: count,
    expired: count,
    bytes: count,
    differences: z.array(
      z.object({
        index: maybeText,
        groups: z.array(group),
      }),
    ),
    notWalked: texts,
    reasons: texts,
    isSample: z.boolean(),
  });
}

/**
 * Creates the store of a deep verification: one file for each scope, below `rows` in the state folder.
 *
 * @param onFailed Receives, at most once, the reason why results cannot be written; later writes do nothing.
 */
export function rowsStore(
  stateDir: string,
  selection: RowsSelection,
  onFailed: (why: string) => void,
): RowsStore {
  const folder = join(stateDir, "rows");
  const { cluster, ...rest } = selection;
  const name = createHash("sha256")
    .update(jsonText([cluster.zkRootPath, rest]))
    .digest("hex");
  const path = join(folder, `${name.slice(0, 32)}.jsonl`);
  const head = jsonText({ kind: KIND, formatVersion: FORMAT_VERSION, ...selection });
  let isBroken = false;
  const write = (work: () => void) => {
    if (isBroken) return;
    try {
      work();
    } catch (error) {
      isBroken = true;
      onFailed(messageOf(error));
    }
  };
  return {
    read: () => readLines(path, cluster),
    begin: (kept) =>
      write(() => {
        const lines = [head, ...kept.map((one) => jsonText(one))];
        mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
        replaceFile(path, lines.map((line) => `${line}\n`).join(""), FILE_MODE);
      }),
    add: (one) => write(() => appendLine(path, jsonText(one))),
    end: () => write(() => rmSync(path, { force: true })),
  };
}

function appendLine(path: string, line: string): void {
  const { O_WRONLY, O_APPEND, O_NOFOLLOW } = constants;
  const file = openSync(path, O_WRONLY | O_APPEND | O_NOFOLLOW);
  try {
    appendFileSync(file, `${line}\n`);
  } finally {
    closeSync(file);
  }
}

function readLines(path: string, cluster: ClusterName): ReturnType<RowsStore["read"]> {
  const nothing = (note?: string) => ({ partitions: [], note });
  let text: string;
  try {
    text = readRegularFile(path, FILE_BYTES_MAX);
  } catch (error) {
    const isThere = codeOf(error) !== "ENOENT";
    return nothing(
      isThere ? `the results of the previous run cannot be read: ${messageOf(error)}` : undefined,
    );
  }
  const [first = "", ...lines] = text.split("\n");
  const head = checkDocument(HEAD, first);
  if ("problem" in head) {
    return nothing(`the results of the previous run cannot be read: ${head.problem}`);
  }
  if (!isSameCluster(head.value.cluster, cluster)) {
    return nothing("the previous run was about another cluster");
  }
  const partitions = new Map<string, PartitionRows<NamedRow>>();
  for (const line of lines) {
    // Skip a truncated or damaged line: that partition is compared again.
    const checked = line === "" ? { problem: "" } : checkDocument(PARTITION, line);
    if ("value" in checked) partitions.set(replicaKey(checked.value.id), checked.value);
  }
  return { partitions: [...partitions.values()], note: undefined };
}
