import { messageOf, usageError } from "../errors.js";
import { partitionName } from "../model/partition-view.js";
import type { LeaderDecision } from "../planning/decisions.js";
import { checkDocument, digits, maybe, type Zod } from "../util/document.js";
import { clipped, jsonText, safe } from "../util/text.js";
import { readUserFile } from "../util/user-file.js";
import { writeNewFile } from "./write.js";

const KIND = "openmldb-ops decisions";
const FORMAT_VERSION = 1;
/** A decision takes about 500 bytes; this is enough for every partition of a cluster with 240,000 replicas. */
const FILE_BYTES_MAX = 48 * 2 ** 20;
/** Characters of a wrong choice that are shown. */
const CHOICE_MAX = 100;
/** More partitions than such a cluster has. It limits the time to read a file of very short lines. */
const DECISIONS_MAX = 240_000;

/** The schema of the first line of a file of decisions. */
export const DECISIONS_HEAD = {
  maxBytes: 4096,
  maxDepth: 2,
  schema: (z: Zod) =>
    z.object({
      kind: z.literal(KIND),
      formatVersion: z.literal(FORMAT_VERSION),
      rootPath: z.string(),
    }),
};

/** The schema of each other line: the open decision of a partition, and the choice. */
export const DECISIONS_LINE = {
  maxBytes: 2 ** 20,
  maxDepth: 6,
  schema: (z: Zod) => {
    const text = z.string();
    const count = z.int().min(0);
    const number = digits(z);
    const candidate = z.object({
      endpoint: text,
      offset: number,
      loss: z.object({ atLeast: number, atMost: maybe(number) }),
    });
    return z
      .object({
        partition: z.object({ db: text, table: text, tid: count, pid: count }),
        cause: text,
        why: text,
        candidates: z.array(candidate),
        choice: maybe(text),
      })
      .superRefine(({ choice, candidates }, { addIssue }) => {
        if (choice === undefined || candidates.some((one) => one.endpoint === choice)) return;
        const names = candidates.map((one) => one.endpoint).join(", ");
        const message = `${JSON.stringify(clipped(choice, CHOICE_MAX))} is not one of the candidates: ${names}`;
        addIssue({ code: "custom", path: ["choice"], message });
      })
      .transform(({ partition, ...rest }): LeaderDecision => ({ id: partition, ...rest }));
  },
};

/**
 * Writes open decisions as JSON lines to a new file: a head, then one line for each partition, with `choice` null.
 *
 * @throws OpsError `usage` if it cannot be written.
 */
export async function writeDecisions(
  path: string,
  rootPath: string,
  decisions: readonly LeaderDecision[],
): Promise<void> {
  try {
    await writeNewFile(path, lines(rootPath, decisions));
  } catch (error) {
    throw usageError(
      `cannot write the decisions to ${safe(path)}: ${messageOf(error)}; name a file that does not exist`,
    );
  }
}

function* lines(rootPath: string, decisions: readonly LeaderDecision[]): Generator<string> {
  yield `${jsonText({ kind: KIND, formatVersion: FORMAT_VERSION, rootPath })}\n`;
  for (const { id: partition, cause, why, candidates } of decisions) {
    const numbers = candidates.map(({ endpoint, offset, loss: { atLeast, atMost } }) => ({
      endpoint,
      offset: String(offset),
      loss: { atLeast: String(atLeast), atMost: atMost === undefined ? null : String(atMost) },
    }));
    yield `${jsonText({ partition, cause, why, candidates: numbers, choice: null })}\n`;
  }
}

/**
 * Reads a file of decisions.
 *
 * @param rootPath `zk_root_path` of the cluster; it must be the one in the file.
 * @throws OpsError `usage` with the line and the path of the invalid field.
 */
export function readDecisions(path: string, rootPath: string): LeaderDecision[] {
  const where = `--decisions=${safe(path)}`;
  const text = readUserFile(path, { where, maxBytes: FILE_BYTES_MAX });
  const [head = "", ...rest] = text.split("\n");
  const bad = (line: number, problem: string) =>
    usageError(
      `${where}: line ${line}: ${safe(problem)}`,
      "name a file that --decisions_out has written, with choices filled in",
    );
  const checked = checkDocument(DECISIONS_HEAD, head);
  if ("problem" in checked) throw bad(1, checked.problem);
  if (checked.value.rootPath !== rootPath) {
    throw bad(1, `it was made for the cluster at ${checked.value.rootPath}, not for ${rootPath}`);
  }
  if (rest.length > DECISIONS_MAX) throw bad(DECISIONS_MAX, "it has too many lines");
  const seen = new Set<string>();
  return rest.flatMap((line, index) => {
    if (line.trim() === "") return [];
    const one = checkDocument(DECISIONS_LINE, line);
    if ("problem" in one) throw bad(index + 2, one.problem);
    const name = partitionName(one.value.id);
    if (seen.has(name)) throw bad(index + 2, `${name} is decided in an earlier line already`);
    seen.add(name);
    return [one.value];
  });
}
