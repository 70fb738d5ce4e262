import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { type OpsError, usageError } from "../../errors.js";
import { checkDocument, type DocumentKind, listOf, type Zod } from "../../util/document.js";
import { safe } from "../../util/text.js";
import { readUserFile } from "../../util/user-file.js";
import type { RecordedCall, RecordedZnode, Recording } from "./recording-file.js";

/** An optional file in the folder of a recording with the numbers of rows on its disks. */
const ROWS_FILE = "rows.json";
const RECORDING_BYTES_MAX = 256 * 2 ** 20;
const ROWS_BYTES_MAX = 2 ** 20;
/** Recordings also contain decoded messages, for reading. */
const DEPTH_MAX = 32;
/** More than any disk holds, and safe to count with. */
const ROWS_MAX = 10 ** 12;

/** Numbers of rows by recording, then by replica; see {@link readRecording}. */
const ROWS: DocumentKind<ReadonlyMap<string, Recording["rows"]>> = {
  maxBytes: ROWS_BYTES_MAX,
  maxDepth: 2,
  schema: (z) => {
    const rows = z
      .record(z.string(), z.int().min(0).max(ROWS_MAX))
      .transform((all) => new Map(Object.entries(all)));
    return z.record(z.string(), rows).transform((all) => new Map(Object.entries(all)));
  },
};

/** The fields of a recording that this program reads. */
const RECORDING: DocumentKind<Recording> = {
  maxBytes: RECORDING_BYTES_MAX,
  maxDepth: DEPTH_MAX,
  schema: (z) => {
    const path = z
      .string()
      .regex(/^(\/(?!\.{1,2}(\/|$))[^/\0]+)+$/, "expected the path of a znode");
    return z
      .object({
        note: z.string().default(""),
        zk_root_path: path,
        znodes: z.record(path, znodeSchema(z)),
        rpc: listOf(z, callSchema(z)),
      })
      .superRefine(({ zk_root_path: root, znodes }, context) => {
        for (const one of Object.keys(znodes)) {
          if (one === root || one.startsWith(`${root}/`)) continue;
          const message = "it is not below zk_root_path";
          context.addIssue({ code: "custom", path: ["znodes", one], message });
          return;
        }
      })
      .transform(({ note, zk_root_path: rootPath, znodes, rpc: calls }): Recording => {
        const nodes = Object.entries(znodes).map(([at, node]) => ({ path: at, ...node }));
        nodes.sort((a, b) => (a.path < b.path ? -1 : 1));
        return { note, rootPath, znodes: nodes, calls, rows: new Map() };
      });
  },
};

/**
 * Reads a recording from a file. A file `rows.json` in the same folder is an object whose keys are the
 * names of recordings (without `.json`), and whose values are the numbers of rows on disks where the
 * recorded offsets are wrong: by `DB.TABLE`, narrowed down by `/PID`, `@ENDPOINT` or both. Without it
 * the recorded offsets count.
 *
 * @throws OpsError `usage` with the path of the invalid field.
 */
export function readRecording(path: string): Recording {
  const where = `the recording ${safe(path)}`;
  const recording = parseRecording(readUserFile(path, { where, maxBytes: RECORDING_BYTES_MAX }));
  const beside = join(dirname(path), ROWS_FILE);
  if (!existsSync(beside)) return recording;
  const options = { where: `${ROWS_FILE} beside the recording`, maxBytes: ROWS_BYTES_MAX };
  const checked = checkDocument(ROWS, readUserFile(beside, options));
  if ("problem" in checked) throw notRead(options.where, checked.problem);
  return { ...recording, rows: checked.value.get(basename(path, ".json")) ?? new Map() };
}

/**
 * Reads a recording: JSON with `note`, `zk_root_path`, `znodes` (path -> `data_base64`, `ephemeral`)
 * and `rpc` (`endpoint`, `path`, `request_base64`, `response_base64`).
 *
 * @throws OpsError `usage` with the path of the invalid field for any other text.
 */
export function parseRecording(text: string): Recording {
  const checked = checkDocument(RECORDING, text);
  if ("value" in checked) return checked.value;
  throw notRead("not a recording of a cluster", checked.problem);
}

function notRead(what: string, problem: string): OpsError {
  return usageError(`${what}: ${safe(problem)}`);
}

function bytesSchema(z: Zod) {
  return z.base64().transform((text) => Buffer.from(text, "base64"));
}

function znodeSchema(z: Zod) {
  return z.object({ data_base64: bytesSchema(z), ephemeral: z.boolean().default(false) }).transform(
    ({ data_base64: data, ephemeral: isEphemeral }): Omit<RecordedZnode, "path"> => ({
      data,
      isEphemeral,
    }),
  );
}

function callSchema(z: Zod) {
  return z
    .object({
      endpoint: z.string().regex(/^[^\s:]+:\d{1,5}$/, "expected host:port"),
      path: z.string(),
      request_base64: bytesSchema(z),
      response_base64: bytesSchema(z).optional(),
    })
    .transform(
      (call): RecordedCall => ({
        address: call.endpoint,
        path: call.path,
        request: call.request_base64,
        response: call.response_base64,
      }),
    );
}
