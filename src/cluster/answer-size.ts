import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { memoized } from "../util/memoized.js";

/** Default of the largest accepted answer in bytes: 128 MiB. ShowTable of 240,000 replicas is 27 MB. */
export const MAX_ANSWER_BYTES = 128 * 1024 * 1024;

/** An answer may have one element for each of these bytes of the largest accepted size; see {@link ElementBudget}. */
const BYTES_PER_ELEMENT = 64;
/** Up to this size an answer is not counted, because it cannot take much memory. */
const SMALL_BYTES = 1024 * 1024;

/**
 * Counts the elements of an answer before it is decoded: nested messages, elements of lists, unknown fields. Two
 * bytes on the wire can become a message of 200 bytes in memory, so a limit of bytes alone does not limit memory.
 */
export interface ElementBudget {
  /** @throws Error if the answer may not have so many elements. */
  assertUpTo(count: number): void;
  /**
   * Counts a message of the answer with its content.
   *
   * @throws Error if the answer has too many elements, or if the bytes are not a message.
   */
  spendFor(desc: DescMessage, bytes: Uint8Array): void;
}

/**
 * The budget of one answer.
 *
 * @param bytes Size of the answer; a small one is not counted.
 * @param maxAnswerBytes The largest accepted answer; it determines the largest number of elements.
 */
export function elementBudget(bytes: number, maxAnswerBytes: number): ElementBudget {
  if (bytes <= SMALL_BYTES) return { assertUpTo: () => {}, spendFor: () => {} };
  const max = Math.max(SMALL_BYTES, maxAnswerBytes / BYTES_PER_ELEMENT);
  let spent = 0;
  const assertUpTo = (count: number): void => {
    if (count > max) throw new Error(`it has more than ${Math.round(max)} elements`);
  };
  const spend = (count: number): void => {
    spent += count;
    assertUpTo(spent);
  };
  const walk = (reader: BinaryReader, end: number, desc: DescMessage): void => {
    const { fields } = shapeOf(desc);
    while (reader.pos < end) {
      const [number, wireType] = reader.tag();
      const field = fields.get(number);
      if (wireType !== WireType.LengthDelimited || field === undefined) {
        if (field?.fieldKind !== "scalar" && field?.fieldKind !== "enum") spend(1);
        reader.skip(wireType, number);
        continue;
      }
      const length = reader.uint32();
      const next = reader.pos + length;
      spend(costOf(field, length));
      if (field.message !== undefined) walk(reader, Math.min(next, end), field.message);
      reader.pos = next;
    }
  };
  return {
    assertUpTo,
    spendFor(desc, message) {
      spend(shapeOf(desc).cost);
      walk(new BinaryReader(message), message.length, desc);
    },
  };
}

/** The elements of a field, without nested ones. A packed list has at most one element for each byte. */
function costOf(field: DescField, length: number): number {
  if (field.message !== undefined) return shapeOf(field.message).cost;
  if (field.fieldKind !== "list") return 0;
  const isText = field.scalar === ScalarType.STRING || field.scalar === ScalarType.BYTES;
  return isText ? 1 : length;
}

interface Shape {
  readonly fields: ReadonlyMap<number, DescField>;
  /** One, and a quarter for each list, which takes memory even if it is empty. */
  readonly cost: number;
}

const shapeOf = memoized((desc: DescMessage): Shape => {
  const fields = new Map(desc.fields.map((field) => [field.number, field]));
  const lists = desc.fields.filter((field) => field.fieldKind === "list").length;
  return { fields, cost: 1 + lists / 4 };
}, new WeakMap());
