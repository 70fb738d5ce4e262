import { readdirSync, readFileSync } from "node:fs";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { CallOptions, Transport } from "../../src/cluster/transport.js";
import type { ZooKeeper } from "../../src/cluster/zookeeper.js";
import { OpsError } from "../../src/errors.js";

const FOLDER = new URL("../recordings/", import.meta.url);

interface RecordedCall {
  readonly endpoint: string;
  readonly path: string;
  readonly request_base64: string;
  readonly response_base64?: string;
  readonly error?: { readonly code: number; readonly details: string };
}

/** One moment of a real cluster: its znodes and the raw answers to every reading call. */
export interface Recording {
  readonly note: string;
  readonly zk_root_path: string;
  readonly znodes: Readonly<Record<string, { readonly data_base64: string }>>;
  readonly rpc: readonly RecordedCall[];
}

/** Names of all recordings, without the ending. */
export const RECORDINGS: readonly string[] = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".json") && name !== "rows.json")
  .map((name) => name.replace(/\.json$/, ""))
  .sort();

/** Reads a recording by its name. */
export function readRecording(name: string): Recording {
  return JSON.parse(readFileSync(new URL(`${name}.json`, FOLDER), "utf8"));
}

/**
 * Answers calls with the recorded answers of the real servers, byte for byte. A call that was not recorded fails the test: the
 * tool must make the calls of the recording.
 */
export function replayTransport(recording: Recording): Transport {
  const calls = new Map(
    recording.rpc.map((call) => [`${call.endpoint}${call.path}${call.request_base64}`, call]),
  );
  return {
    async unary<I extends DescMessage, O extends DescMessage>(
      address: string,
      method: DescMethodUnary<I, O>,
      request: MessageInitShape<I>,
      _options: CallOptions,
    ): Promise<MessageShape<O>> {
      const bytes = toBinary(method.input, create(method.input, request));
      const path = `/${method.parent.typeName}/${method.name}`;
      const key = `${address}${path}${Buffer.from(bytes).toString("base64")}`;
      const call = calls.get(key);
      if (call === undefined) throw new Error(`not recorded: ${key}`);
      if (call.response_base64 === undefined) {
        throw new OpsError({
          code: "unreachable",
          message: call.error?.details ?? "?",
          retryable: false,
        });
      }
      return fromBinary(method.output, Buffer.from(call.response_base64, "base64"));
    },
    connection: () => undefined,
    close() {},
  };
}

/** The recorded znodes, for reading only. */
export function replayZooKeeper(recording: Recording): ZooKeeper {
  const paths = Object.keys(recording.znodes);
  return {
    async getChildren(path) {
      const prefix = path === "/" ? "/" : `${path}/`;
      if (path !== "/" && recording.znodes[path] === undefined) return undefined;
      const names = paths
        .filter((one) => one.startsWith(prefix))
        .map((one) => one.slice(prefix.length).split("/")[0] as string);
      return [...new Set(names)];
    },
    async getData(path) {
      const node = recording.znodes[path];
      return node && Buffer.from(node.data_base64, "base64");
    },
    isEphemeral: async (path) => (recording.znodes[path] === undefined ? undefined : false),
    create: () => Promise.reject(new Error("a recording cannot be written")),
    setData: () => Promise.reject(new Error("a recording cannot be written")),
    remove: () => Promise.reject(new Error("a recording cannot be written")),
    removeIf: () => Promise.reject(new Error("a recording cannot be written")),
    isOwn: async () => false,
    removeOwn: () => Promise.reject(new Error("a recording cannot be written")),
    close: async () => {},
  };
}
