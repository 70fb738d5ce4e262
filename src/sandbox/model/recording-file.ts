import type { DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import { type DescMessage, fromBinary } from "@bufbuild/protobuf";
import { OpsError, usageError } from "../../errors.js";

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
  /** Its server name, or its address if the cluster has no names. */
  readonly endpoint: string;
  readonly address: string;
  /** True if it answered any call. */
  readonly isUp: boolean;
}

/** One moment of a real cluster: its znodes and the answers of its processes. */
export interface Recording {
  readonly note: string;
  readonly rootPath: string;
  /** Sorted by path, so that parents come before their children. */
  readonly znodes: readonly RecordedZnode[];
  readonly calls: readonly RecordedCall[];
  /**
   * Rows on disks that the recording itself does not show, by `DB.TABLE/PID@ENDPOINT`,
   * `DB.TABLE@ENDPOINT`, `DB.TABLE/PID` or `DB.TABLE`. With PID and ENDPOINT also of replicas off the
   * record.
   */
  readonly rows: ReadonlyMap<string, number>;
}

/**
 * @throws OpsError `usage` if no nameserver answered while recording, so that the tables are unknown.
 */
export function assertNameserver(recording: Recording): void {
  const nameservers = recordedProcesses(recording, "openmldb.nameserver.NameServer");
  if (nameservers.some((process) => process.isUp)) return;
  const message = "not a recording of a cluster: it holds no answer of a nameserver";
  throw usageError(message);
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
 * @param addresses New `host:port` by recorded `host:port`, both of the same length, so that the length
 *   prefixes of protobuf strings stay valid.
 * @throws OpsError `usage` if the lengths differ.
 */
export function renameAddresses(
  recording: Recording,
  addresses: ReadonlyMap<string, string>,
): Recording {
  for (const [from, to] of addresses) {
    if (from.length !== to.length) {
      throw usageError(
        `the recorded address ${from} cannot be replaced by ${to}: the lengths differ`,
      );
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
 * The recorded answers of `method`, one entry per call: the server, the request, the answer. Calls
 * without an answer are left out.
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

function escapeRegExp(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
