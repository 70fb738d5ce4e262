import type { DescField, DescMessage, Message, MessageShape } from "@bufbuild/protobuf";
import { create, mergeFromBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { memoized } from "../util/memoized.js";
import { mapInTurns } from "../util/yielding.js";
import { type ElementBudget, elementBudget, MAX_ANSWER_BYTES } from "./answer-size.js";
import { missingRequired } from "./required-fields.js";

/** A decoded message, or the name of the first required field that is missing. */
export type Decoded<O extends DescMessage> =
  | { readonly message: MessageShape<O> }
  | { readonly missing: string };

/** One element of a repeated field of an answer, not decoded yet. */
interface Element {
  readonly field: DescField & { readonly message: DescMessage };
  readonly bytes: Uint8Array;
}

/**
 * Cache of the elements of the last answer, by their bytes, for answers that are mostly the same. An unchanged
 * element is not decoded again: its message is returned again, so it must not be modified.
 */
export interface Repeats {
  last: ReadonlyMap<string, Message>;
}

/** Smallest number of elements that are decoded without yielding, of any size. */
const LEAST_ELEMENTS = 64;
/** Elements of an answer up to this size are decoded in a few milliseconds. */
const SMALL_BYTES = 32 * 1024;

/** Values made from cached messages, see {@link madeOnce}. */
const memos = new WeakMap<Message, { made?: unknown }>();

/** Converts a message; caches the result if the message is in a {@link Repeats}. */
export function madeOnce<M extends Message, T>(message: M, make: (message: M) => T): T {
  const memo = memos.get(message);
  if (memo === undefined) return make(message);
  memo.made ??= make(message);
  // Each type of message is converted by one function only.
  return memo.made as T;
}

/**
 * Decodes an answer. A large one (ShowTable of 100,000s of replicas has tens of megabytes) is split into the elements
 * of its repeated fields, and yields to the event loop between them.
 *
 * @param repeats The cache of earlier answers, which is updated; for messages with one repeated field.
 * @param maxAnswerBytes The largest accepted answer, which limits the number of elements too.
 * @throws Error of the runtime if the bytes are not that message; Error if it has too many elements.
 */
export async function decodeInTurns<O extends DescMessage>(
  desc: O,
  bytes: Uint8Array,
  repeats?: Repeats,
  maxAnswerBytes = MAX_ANSWER_BYTES,
): Promise<Decoded<O>> {
  const budget = elementBudget(bytes.length, maxAnswerBytes);
  const { elements, rest } = takeApart(desc, bytes, budget);
  budget.spendFor(desc, rest);
  const shell = decodeAtOnce(desc, rest);
  if ("missing" in shell || elements.length === 0) return shell;
  const decodeOne = decoderOf(repeats, elements.length, budget);
  // Small answers of many tablets can come at the same time, so they take turns too.
  const leastItems = bytes.length <= SMALL_BYTES ? LEAST_ELEMENTS : 1;
  const decoded =
    elements.length <= leastItems
      ? elements.map(decodeOne)
      : await mapInTurns(elements, decodeOne, leastItems);
  for (const one of decoded) {
    if ("missing" in one) return { missing: `${one.field.name}.${one.missing}` };
    const lists = shell.message as unknown as Record<string, Message[]>;
    lists[one.field.localName]?.push(one.message);
  }
  return shell;
}

type DecodedElement = Decoded<DescMessage> & Pick<Element, "field">;

function decoderOf(
  repeats: Repeats | undefined,
  count: number,
  budget: ElementBudget,
): (element: Element) => DecodedElement {
  // An answer about a single replica must not replace the cache of a full answer.
  if (repeats === undefined || count < 2) {
    return ({ field, bytes }) => {
      budget.spendFor(field.message, bytes);
      return { field, ...decodeAtOnce(field.message, bytes) };
    };
  }
  const before = repeats.last;
  const now = new Map<string, Message>();
  repeats.last = now;
  return ({ field, bytes }) => {
    const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
    const known = before.get(key);
    if (known === undefined) budget.spendFor(field.message, bytes);
    const decoded = known === undefined ? decodeAtOnce(field.message, bytes) : { message: known };
    if ("message" in decoded) {
      now.set(key, decoded.message);
      if (known === undefined) memos.set(decoded.message, {});
    }
    return { field, ...decoded };
  };
}

function decodeAtOnce<O extends DescMessage>(desc: O, bytes: Uint8Array): Decoded<O> {
  const message = create(desc);
  // The runtime (2.17) drops an unknown enumeration value if the message has other unknown fields too, unless
  // $unknown exists from the start. An unknown storage mode would then be taken for memory.
  message.$unknown = [];
  mergeFromBinary(desc, message, bytes);
  if (message.$unknown.length === 0) delete message.$unknown;
  const missing = missingRequired(desc, message);
  return missing === undefined ? { message } : { missing };
}

/** The repeated message fields of a message type, by number. */
const listsOf = memoized(
  (desc: DescMessage): ReadonlyMap<number, Element["field"]> =>
    new Map(desc.fields.flatMap((field) => (isList(field) ? [[field.number, field]] : []))),
  new WeakMap(),
);

/** Splits a message into the elements of its repeated message fields, and the bytes of all other fields. */
function takeApart(
  desc: DescMessage,
  bytes: Uint8Array,
  budget: ElementBudget,
): { readonly elements: Element[]; readonly rest: Uint8Array } {
  const fields = listsOf(desc);
  if (fields.size === 0) return { elements: [], rest: bytes };
  const reader = new BinaryReader(bytes);
  const elements: Element[] = [];
  const rest: Uint8Array[] = [];
  // Start of the current run of other fields.
  let from = 0;
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [number, wireType] = reader.tag();
    const field = wireType === WireType.LengthDelimited ? fields.get(number) : undefined;
    if (field === undefined) {
      reader.skip(wireType, number);
    } else {
      if (start > from) rest.push(bytes.subarray(from, start));
      elements.push({ field, bytes: reader.bytes() });
      budget.assertUpTo(elements.length);
      from = reader.pos;
    }
  }
  if (from < bytes.length) rest.push(bytes.subarray(from));
  return {
    elements,
    rest: rest.length === 1 && rest[0] !== undefined ? rest[0] : Buffer.concat(rest),
  };
}

function isList(field: DescField): field is DescField & { readonly message: DescMessage } {
  return field.fieldKind === "list" && field.listKind === "message";
}
