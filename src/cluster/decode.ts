import type { DescField, DescMessage, Message, MessageShape } from "@bufbuild/protobuf";
import { create, mergeFromBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { mapInTurns } from "../util/yielding.js";
import { type ElementBudget, elementBudget, MAX_ANSWER_BYTES } from "./answer-size.js";
import { missingRequired } from "./required-fields.js";

/** An answer, or the first required field that it lacks. */
export type Decoded<O extends DescMessage> =
  | { readonly message: MessageShape<O> }
  | { readonly missing: string };

/** One element of a repeated field of an answer, not decoded yet. */
interface Element {
  readonly field: DescField & { readonly message: DescMessage };
  readonly bytes: Uint8Array;
}

/**
 * The elements of the last of many answers that are mostly the same, by their bytes. What has not
 * changed since is not decoded again: the message of then is given again, so it must not be changed.
 */
export interface Repeats {
  last: ReadonlyMap<string, Message>;
}

/** An answer up to this size is decoded in a few milliseconds. */
const SMALL_BYTES = 32 * 1024;

/** What was made of messages that may be given again; empty at first. */
const memos = new WeakMap<Message, { made?: unknown }>();

/** What is made of a message: made once for one that is given again, see {@link Repeats}. */
export function madeOnce<M extends Message, T>(message: M, make: (message: M) => T): T {
  const memo = memos.get(message);
  if (memo === undefined) return make(message);
  memo.made ??= make(message);
  // Each kind of message is made into one kind of value.
  return memo.made as T;
}

/**
 * Decodes an answer. One of tens of megabytes (ShowTable of 100,000s of replicas) is taken apart
 * into the elements of its repeated fields, which are decoded in turns, so that other work runs in
 * between.
 *
 * @param repeats Of earlier answers, and of this one afterwards; for messages with one repeated field.
 * @param maxAnswerBytes The largest answer that is taken, which bounds its elements too.
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
  const decoded =
    bytes.length <= SMALL_BYTES
      ? elements.map(decodeOne)
      : await mapInTurns(elements, decodeOne, 1);
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
  // An answer about one thing says nothing about the others, and must not push them out.
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
  // With a list of unknown fields in place from the start, the runtime (2.13) keeps an unknown value
  // of an enumeration there; else it drops the value if the message has other unknown fields too. A
  // storage mode that this version does not know would pass for memory.
  message.$unknown = [];
  mergeFromBinary(desc, message, bytes);
  if (message.$unknown.length === 0) delete message.$unknown;
  const missing = missingRequired(desc, message);
  return missing === undefined ? { message } : { missing };
}

/** The repeated message fields of a message, by number; made once for each type. */
type Lists = ReadonlyMap<number, Element["field"]>;

const knownLists = new WeakMap<DescMessage, Lists>();

function listsOf(desc: DescMessage): Lists {
  const known = knownLists.get(desc);
  if (known !== undefined) return known;
  const lists = new Map(
    desc.fields.flatMap((field) => (isList(field) ? [[field.number, field]] : [])),
  );
  knownLists.set(desc, lists);
  return lists;
}

/** Splits a message into the elements of its repeated message fields, and what is left of it. */
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
  // Where the current run of other fields begins.
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
