import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  type Message,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { TabletServer } from "../../src/gen/openmldb/api_pb.js";
import { NameServer } from "../../src/gen/openmldb/nameserver_pb.js";
import type { Random } from "../../src/sandbox/model/random.js";

const TEXTS = [
  "",
  "a",
  "127.0.0.1:1",
  "db1",
  "t0",
  "true",
  "\u001b[31mred",
  "\u202eleft\u200b",
  "../..",
  "__proto__",
  "constructor",
  "$(x) 'y' \"z\"\n",
  "x".repeat(3_000),
  "\ud800",
];
const NUMBERS = [0, 1, 2, 7, 1_000, 2 ** 31 - 1];
const LONGS = [0n, 1n, 10n, 20n, 2n ** 31n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n];

function pick<T>(random: Random, items: readonly T[]): T {
  return items[random.below(items.length)] as T;
}

/** Every method that the tool calls, by its path on the wire. */
const METHODS = new Map(
  [NameServer, TabletServer].flatMap((service) =>
    Object.values(service.method).map((method) => [`/${service.typeName}/${method.name}`, method]),
  ),
);

/**
 * The encoded answer of a cluster with one table, some of whose fields are replaced.
 *
 * @param replaced Probability for each field to be replaced or left out.
 */
export function answerTo(
  path: string,
  endpoints: readonly string[],
  random: Random,
  replaced: number,
): Uint8Array {
  const method = METHODS.get(path);
  if (method === undefined) return new Uint8Array();
  const message = create(method.output, plausible(method.name, endpoints));
  return disturbedBytes(message, method.output, random, replaced);
}

/** An answer to the call at `path`, with fields replaced; see {@link answerTo}. */
export function disturbed(
  path: string,
  answer: Uint8Array,
  random: Random,
  replaced: number,
): Uint8Array {
  const method = METHODS.get(path);
  if (method === undefined) return answer;
  return disturbedBytes(fromBinary(method.output, answer), method.output, random, replaced);
}

function disturbedBytes(
  message: Message,
  desc: DescMessage,
  random: Random,
  replaced: number,
): Uint8Array {
  disturb(message, desc, random, replaced);
  try {
    return toBinary(desc, message);
  } catch {
    // A text that is no UTF-8, for example.
    return Uint8Array.from({ length: random.below(50) }, () => random.below(256));
  }
}

function plausible(name: string, endpoints: readonly string[]): Record<string, unknown> {
  const [leader = ""] = endpoints;
  const replicas = endpoints.map((endpoint) => ({
    endpoint,
    isLeader: endpoint === leader,
    isAlive: true,
    offset: 10n,
  }));
  const part = { pid: 0, partitionMeta: replicas, termOffset: [{ term: 1n, offset: 0n }] };
  const table = { name: "t0", db: "db1", tid: 7, partitionNum: 1, replicaNum: 3 };
  const op = {
    opId: 5n,
    opType: "kRecoverTableOP",
    name: "t0",
    pid: 0,
    status: "kDone",
    db: "db1",
  };
  const status = { tid: 7, pid: 0, offset: 10n, mode: 1, state: 1, name: "t0", recordCnt: 10n };
  const answers: Record<string, Record<string, unknown>> = {
    ShowTablet: {
      tablets: endpoints.map((endpoint) => ({ endpoint, state: "kHealthy", age: 1_000n })),
    },
    ShowTable: { tableInfo: [{ ...table, tablePartition: [part] }] },
    ShowDatabase: { db: ["db1"] },
    ConfGet: { conf: [{ key: "auto_failover", value: "true" }] },
    ShowOPStatus: { opStatus: [op] },
    GetTablePartition: { tablePartition: part },
    GetTableStatus: { allTableStatus: [status] },
    GetTableFollower: { offset: 10n, followerInfo: [{ endpoint: leader, offset: 10n }] },
    GetTermPair: { term: 1n, offset: 10n, hasTable: true, isLeader: false },
  };
  return { code: 0, ...answers[name] };
}

function disturb(message: Message, desc: DescMessage, random: Random, replaced: number): void {
  const fields = message as unknown as Record<string, unknown>;
  for (const field of desc.fields) {
    if (random.chance(replaced)) {
      if (random.chance(0.2)) delete fields[field.localName];
      else fields[field.localName] = randomValue(field, random, replaced, 0);
      continue;
    }
    const value = fields[field.localName];
    if (field.message === undefined || value === undefined) continue;
    for (const one of Array.isArray(value) ? (value as Message[]) : [value as Message]) {
      disturb(one, field.message, random, replaced);
    }
  }
}

function randomValue(field: DescField, random: Random, replaced: number, depth: number): unknown {
  const one = () => single(field, random, replaced, depth);
  if (field.fieldKind !== "list") return one();
  return Array.from({ length: pick(random, [0, 1, 2, 3, 50]) }, one);
}

function single(field: DescField, random: Random, replaced: number, depth: number): unknown {
  if (field.message !== undefined) {
    const message = create(field.message);
    if (depth > 3) return message;
    const fields = message as unknown as Record<string, unknown>;
    for (const inner of field.message.fields) {
      if (random.chance(0.7))
        fields[inner.localName] = randomValue(inner, random, replaced, depth + 1);
    }
    return message;
  }
  if (field.fieldKind === "enum" || (field.fieldKind === "list" && field.listKind === "enum")) {
    return pick(random, NUMBERS);
  }
  switch ("scalar" in field ? field.scalar : undefined) {
    case ScalarType.STRING:
      return pick(random, TEXTS);
    case ScalarType.BYTES:
      return Buffer.from(pick(random, TEXTS));
    case ScalarType.BOOL:
      return random.chance(0.5);
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return pick(random, LONGS);
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return pick(random, LONGS.slice(0, -2));
    default:
      return pick(random, NUMBERS);
  }
}
