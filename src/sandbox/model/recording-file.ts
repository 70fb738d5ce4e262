import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import { type DescMessage, fromBinary } from "@bufbuild/protobuf";
import { messageOf, OpsError } from "../../errors.js";

/** One znode of a recording. */
export interface RecordedZnode {
  /** Absolute path, below the recording's own root path or that path itself. */
  readonly path: string;
  readonly data: Buffer;
  readonly isEphemeral: boolean;
}

/** One call made while recording. */
export interface RecordedCall {
  /** `host:port` that was dialled. */
  readonly address: string;
  /** `/openmldb.nameserver.NameServer/ShowTable` and the like. */
  readonly path: string;
  readonly request: Buffer;
  /** Undefined if the process did not answer. */
  readonly response: Buffer | undefined;
}

/** A nameserver or tablet that was called while recording. */
export interface RecordedProcess {
  /** What the cluster calls it: its server name, or its address if the cluster has no names. */
  readonly endpoint: string;
  readonly address: string;
  /** Whether it answered any call. */
  readonly isUp: boolean;
}

/** One moment of a real cluster: its znodes and what its processes answered. */
export interface Recording {
  readonly note: string;
  readonly rootPath: string;
  /** Sorted by path, so that parents come before their children. */
  readonly znodes: readonly RecordedZnode[];
  readonly calls: readonly RecordedCall[];
  /**
   * Rows on disks where the recording itself cannot tell, by `DB.TABLE/PID@ENDPOINT`,
   * `DB.TABLE@ENDPOINT`, `DB.TABLE/PID` or `DB.TABLE`. With PID and ENDPOINT also of replicas that are on
   * no record. See {@link readRecording}.
   */
  readonly rows: ReadonlyMap<string, number>;
}

/** Beside a recording, this file may say how many rows its disks hold. */
const ROWS_FILE = "rows.json";

/**
 * Reads a recording from a file. If a file `rows.json` lies in the same folder, it is an object
 * whose keys are the names of recordings (without `.json`), and whose values say how many rows
 * disks hold where the recorded offsets are not the truth: numbers of rows by `DB.TABLE`, narrowed
 * down by `/PID`, `@ENDPOINT` or both. Without it the recorded offsets count.
 *
 * @throws OpsError `usage` if a file cannot be read or is not what it should be.
 */
export async function readRecording(path: string): Promise<Recording> {
  const rows = await readFile(join(dirname(path), ROWS_FILE), "utf8").catch(() => undefined);
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    throw new OpsError({
      code: "usage",
      message: `cannot read the recording: ${messageOf(error)}`,
      cause: error,
    });
  });
  return { ...parseRecording(text), rows: parseRows(rows, basename(path, ".json")) };
}

function parseRows(text: string | undefined, name: string): ReadonlyMap<string, number> {
  if (text === undefined) {
    return new Map();
  }
  try {
    const all: Fields<string> = objectOf(JSON.parse(text) as unknown, ROWS_FILE);
    const entries = Object.entries(objectOf(all[name] ?? {}, name));
    return new Map(
      entries.map(([key, value]) => {
        if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
          throw new TypeError(`${name}: ${key} is not a number of rows`);
        }
        return [key, value];
      }),
    );
  } catch (error) {
    throw new OpsError({
      code: "usage",
      message: `cannot read ${ROWS_FILE} beside the recording: ${messageOf(error)}`,
      cause: error,
    });
  }
}

/** An object of a file that is not checked yet. */
type Fields<K extends string> = Readonly<Partial<Record<K, unknown>>>;

/**
 * Reads a recording: JSON with `note`, `zk_root_path`, `znodes` (path -> `data_base64`,
 * `ephemeral`) and `rpc` (`endpoint`, `path`, `request_base64`, `response_base64`).
 *
 * @throws OpsError `usage` if `text` is anything else.
 */
export function parseRecording(text: string): Recording {
  try {
    const json = JSON.parse(text) as unknown;
    const file: Fields<"note" | "zk_root_path" | "znodes" | "rpc"> = objectOf(json, "the file");
    const znodes = Object.entries(objectOf(file.znodes, "znodes")).map(parseZnode);
    const rpc = file.rpc;
    if (!Array.isArray(rpc)) {
      throw new TypeError("rpc is not a list");
    }
    return {
      note: typeof file.note === "string" ? file.note : "",
      rootPath: stringOf(file.zk_root_path, "zk_root_path"),
      znodes: znodes.sort((a, b) => (a.path < b.path ? -1 : 1)),
      calls: rpc.map(parseCall),
      rows: new Map(),
    };
  } catch (error) {
    throw new OpsError({
      code: "usage",
      message: `not a recording of a cluster: ${messageOf(error)}`,
      cause: error,
    });
  }
}

/** The processes of one kind that were called, sorted by address. */
export function recordedProcesses(
  recording: Recording,
  service: "openmldb.nameserver.NameServer" | "openmldb.api.TabletServer",
): readonly RecordedProcess[] {
  const calls = recording.calls.filter((call) => call.path.startsWith(`/${service}/`));
  const names = new Map(
    recording.znodes
      .filter((znode) => znode.path.startsWith(`${recording.rootPath}/map/names/`))
      .map((znode) => [znode.data.toString(), znode.path.slice(znode.path.lastIndexOf("/") + 1)]),
  );
  return [...new Set(calls.map((call) => call.address))].sort().map((address) => ({
    address,
    endpoint: names.get(address) ?? address,
    isUp: calls.some((call) => call.address === address && call.response !== undefined),
  }));
}

/**
 * Replaces addresses everywhere: in paths and data of znodes, in requests and answers.
 *
 * @param addresses New `host:port` by recorded `host:port`, both of the same length: then the
 *   lengths that protobuf writes before strings stay right, whatever message they stand in.
 * @throws OpsError `usage` if the lengths differ.
 */
export function renameAddresses(
  recording: Recording,
  addresses: ReadonlyMap<string, string>,
): Recording {
  for (const [from, to] of addresses) {
    if (from.length !== to.length) {
      throw new OpsError({
        code: "usage",
        message: `the recorded address ${from} cannot be replaced by ${to}: the lengths differ`,
      });
    }
  }
  if (addresses.size === 0) {
    return recording;
  }
  const pattern = new RegExp([...addresses.keys()].map(escapeRegExp).join("|"), "g");
  const rename = (text: string) => text.replaceAll(pattern, (old) => addresses.get(old) ?? old);
  // Latin-1 maps every byte to one character and back, so binary data survives.
  const renameBytes = (bytes: Buffer) => Buffer.from(rename(bytes.toString("latin1")), "latin1");
  return {
    ...recording,
    znodes: recording.znodes.map((znode) => ({
      ...znode,
      path: rename(znode.path),
      data: renameBytes(znode.data),
    })),
    calls: recording.calls.map((call) => ({
      ...call,
      address: rename(call.address),
      request: renameBytes(call.request),
      response: call.response && renameBytes(call.response),
    })),
    rows: new Map([...recording.rows].map(([key, rows]) => [rename(key), rows])),
  };
}

/**
 * What `method` was answered, one entry per call: the server, what was asked, the answer.
 * Calls without an answer are left out.
 */
export function recordedAnswers<I extends DescMessage, O extends DescMessage>(
  recording: Recording,
  method: DescMethodUnary<I, O>,
): readonly {
  readonly address: string;
  readonly request: MessageShape<I>;
  readonly answer: MessageShape<O>;
}[] {
  const path = `/${method.parent.typeName}/${method.name}`;
  return recording.calls.flatMap((call) =>
    call.path === path && call.response !== undefined
      ? [
          {
            address: call.address,
            request: decode(method.input, call.request),
            answer: decode(method.output, call.response),
          },
        ]
      : [],
  );
}

function decode<T extends DescMessage>(type: T, bytes: Uint8Array): MessageShape<T> {
  try {
    return fromBinary(type, bytes);
  } catch (error) {
    throw new OpsError({
      code: "usage",
      message: `not a recording of a cluster: a recorded ${type.typeName} cannot be read`,
      cause: error,
    });
  }
}

function parseZnode([path, value]: [string, unknown]): RecordedZnode {
  const znode: Fields<"data_base64" | "ephemeral"> = objectOf(value, path);
  return {
    path,
    data: Buffer.from(stringOf(znode.data_base64, `${path}: data_base64`), "base64"),
    isEphemeral: znode.ephemeral === true,
  };
}

function parseCall(value: unknown): RecordedCall {
  const call: Fields<"endpoint" | "path" | "request_base64" | "response_base64"> = objectOf(
    value,
    "a call",
  );
  const response = call.response_base64;
  return {
    address: stringOf(call.endpoint, "endpoint of a call"),
    path: stringOf(call.path, "path of a call"),
    request: Buffer.from(stringOf(call.request_base64, "request_base64 of a call"), "base64"),
    response: typeof response === "string" ? Buffer.from(response, "base64") : undefined,
  };
}

function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError(`${what} is not an object`);
  }
  return value as Record<string, unknown>;
}

function stringOf(value: unknown, what: string): string {
  if (typeof value !== "string") {
    throw new TypeError(`${what} is not a string`);
  }
  return value;
}

function escapeRegExp(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
