import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/**
 * The largest answer that is taken, unless told otherwise: 128 MiB. ShowTable of 240,000 replicas is
 * 27 MB.
 */
export const MAX_ANSWER_BYTES = 128 * 1024 * 1024;

/** Bytes of an answer for each element that it may have at most; see {@link ElementBudget}. */
const BYTES_PER_ELEMENT = 64;
/** Below this size an answer cannot unpack to much, whatever it holds. */
const SMALL_BYTES = 1024 * 1024;

/**
 * Counts what an answer is made of before it is decoded: nested messages, elements of lists, unknown
 * fields. Two bytes on the wire can be a message that takes 200 in memory, so that a ceiling for bytes
 * alone is no ceiling for memory.
 */
export interface ElementBudget {
  /** @throws Error if the answer may not have so many elements. */
  assertUpTo(count: number): void;
  /**
   * Counts what is in a message of the answer, and the message itself.
   *
   * @throws Error if the answer has more elements than it may, or the bytes are no message.
   */
  spendFor(desc: DescMessage, bytes: Uint8Array): void;
}

/**
 * The budget of one answer.
 *
 * @param bytes Size of the answer; a small one is not counted.
 * @param maxAnswerBytes The largest answer that is taken: it may have an element for every 64 bytes of that.
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

/** What a field takes, apart from what is nested in it. A packed list has an element for each byte at most. */
function costOf(field: DescField, length: number): number {
  if (field.message !== undefined) return shapeOf(field.message).cost;
  if (field.fieldKind !== "list") return 0;
  const isText = field.scalar === ScalarType.STRING || field.scalar === ScalarType.BYTES;
  return isText ? 1 : length;
}

interface Shape {
  readonly fields: ReadonlyMap<number, DescField>;
  /** One, and more for each list, which takes memory even if it is empty. */
  readonly cost: number;
}

const known = new WeakMap<DescMessage, Shape>();

function shapeOf(desc: DescMessage): Shape {
  const found = known.get(desc);
  if (found !== undefined) return found;
  const fields = new Map(desc.fields.map((field) => [field.number, field]));
  const lists = desc.fields.filter((field) => field.fieldKind === "list").length;
  const shape = { fields, cost: 1 + lists / 4 };
  known.set(desc, shape);
  return shape;
}
