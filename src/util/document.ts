import { createRequire } from "node:module";
import type { ZodType } from "zod";
import { quickCheck, setItem } from "./quick-check.js";

/** The library that schemas are made with. */
export type Zod = typeof import("zod");

/** A kind of document that is read from a file or a znode, written by any program. */
export interface DocumentKind<T> {
  /** A longer document is not parsed. */
  readonly maxBytes: number;
  /** Limit of the nesting of its lists and objects. */
  readonly maxDepth: number;
  /** The schema of its content; created when the first document of this kind is read. */
  readonly schema: (z: Zod) => ZodType<T>;
}

/** A valid document, or one line that says what is wrong with it, and where. */
export type Checked<T> = { readonly value: T } | { readonly problem: string };

/**
 * Least number of bytes of a document for each list and object in it: four million empty lists in 8 MB of text would
 * take seconds and a gigabyte to parse. No document of this tool comes near that.
 */
const BYTES_PER_PART = 8;
/** Below this size the number of parts is not limited further. */
const SMALL_CHARS = 1_000_000;
/**
 * Limit of objects in all items of a list: 1.5 times the number in a plan for 240,000 replicas.
 */
const OBJECTS_MAX = 4_500_000;
/** Longer paths and messages are cut. */
const PROBLEM_CHARS_MAX = 300;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

// Loaded when the first document is read: that takes 60 ms, and most commands read none. import() is
// not used since documents are read synchronously.
const load = createRequire(import.meta.url);
const schemas = new WeakMap<object, ZodType>();

/**
 * Reads a JSON document of any origin. Never throws.
 *
 * @param kind The same object for all documents of one kind.
 * @param data The document; bytes are read as UTF-8.
 */
export function checkDocument<T>(kind: DocumentKind<T>, data: string | Buffer): Checked<T> {
  const bytes = typeof data === "string" ? Buffer.byteLength(data) : data.length;
  if (bytes > kind.maxBytes) return { problem: `it is longer than ${kind.maxBytes} bytes` };
  const text = data.toString();
  const problem = shapeProblem(kind.maxDepth, text);
  if (problem !== undefined) return { problem };
  const value = parsed(text);
  return value === undefined ? { problem: "it is not JSON" } : checkValue(kind, value);
}

/**
 * Reads the items of a long list, each a JSON document of its own. All are checked before any is kept,
 * so that an invalid one is found quickly wherever it is. Never throws.
 *
 * @returns The items, or what is wrong with the first invalid one, such as `[3].id.tid: expected
 *   number`.
 */
export function checkItems<T>(kind: DocumentKind<T>, texts: readonly string[]): Checked<T[]> {
  const fits = quickCheck(schemaOf(kind));
  const check = (text: string, index: number): Checked<T> => {
    const value = text.length > kind.maxBytes ? undefined : parsed(text);
    return value === undefined
      ? { problem: `[${index}]: it is not JSON` }
      : checkValue(kind, value, [index]);
  };
  let objects = 0;
  for (const [index, text] of texts.entries()) {
    objects += countOf("{", text);
    if (objects > OBJECTS_MAX) return { problem: ": it is made of too many parts" };
    if (text.length <= kind.maxBytes && fits(parsed(text))) continue;
    const checked = check(text, index);
    if ("problem" in checked) return checked;
  }
  const items: T[] = [];
  for (const [index, text] of texts.entries()) {
    const checked = check(text, index);
    if ("problem" in checked) return checked;
    items.push(checked.value);
  }
  return { value: items };
}

function countOf(char: string, text: string): number {
  let count = 0;
  for (let at = text.indexOf(char); at >= 0; at = text.indexOf(char, at + 1)) count += 1;
  return count;
}

/** The data of a JSON text; undefined for anything else. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Checks parsed data of any origin that is not nested deeply. Never throws.
 *
 * @param at Its place in a larger document; prefixes the path in the problem.
 */
export function checkValue<T>(
  kind: DocumentKind<T>,
  value: unknown,
  at: readonly PropertyKey[] = [],
): Checked<T> {
  const checked = schemaOf(kind).safeParse(value);
  if (checked.success) return { value: checked.data };
  const [first] = checked.error.issues;
  const path = [...at, ...(first?.path ?? [])];
  const what = (first?.message ?? "Invalid input").replace(/^Invalid input: /, "");
  return { problem: `${pathText(path)}: ${what}`.slice(0, PROBLEM_CHARS_MAX) };
}

/** A field that is null in a document if there is no value. */
export function maybe<T>(value: ZodType<T>) {
  return value.nullable().transform((found) => found ?? undefined);
}

/** A number of 64 bits, in decimal digits. */
export function digits(z: Zod) {
  return z
    .string()
    .regex(/^\d{1,20}$/, "expected decimal digits")
    .transform(BigInt);
}

/**
 * A list that may be long: the first invalid item ends its check and is the only one reported. All
 * items are checked quickly before any is parsed, so that an invalid one is found quickly wherever it
 * is.
 */
export function listOf<T>(z: Zod, item: ZodType<T>) {
  const list = z.array(z.unknown());
  setItem(list, item);
  const fits = quickCheck(item);
  return list.transform((items, context): T[] => {
    const found: T[] = [];
    const isRight = (one: unknown, index: number, isKept: boolean) => {
      const checked = item.safeParse(one);
      if (checked.success && isKept) found.push(checked.data);
      if (checked.success) return true;
      const [issue] = checked.error.issues;
      const path = [index, ...(issue?.path ?? [])];
      context.addIssue({ code: "custom", path, message: issue?.message ?? "Invalid input" });
      return false;
    };
    if (!items.every((one, index) => fits(one) || isRight(one, index, false))) return z.NEVER;
    if (!items.every((one, index) => isRight(one, index, true))) return z.NEVER;
    return found;
  });
}

function schemaOf<T>(kind: DocumentKind<T>): ZodType<T> {
  const known = schemas.get(kind);
  // Only this function fills the map.
  if (known !== undefined) return known as ZodType<T>;
  const schema = kind.schema(load("zod") as Zod);
  schemas.set(kind, schema);
  return schema;
}

/** Such as `partitions[3].id.tid`; `the document` for the whole of it. */
function pathText(path: readonly PropertyKey[]): string {
  const text = path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`))
    .join("");
  return text === "" ? "the document" : text.replace(/^\./, "");
}

/** Returns why a JSON text must not be parsed, in one pass over any text; undefined if it may be. */
function shapeProblem(maxDepth: number, text: string): string | undefined {
  const maxParts = Math.max(SMALL_CHARS, text.length) / BYTES_PER_PART;
  let parts = 0;
  let depth = 0;
  let isInString = false;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) isInString = !isInString;
    else if (isInString) {
      if (code === BACKSLASH) at += 1;
    } else if (code === OPEN_LIST || code === OPEN_OBJECT) {
      depth += 1;
      parts += 1;
      if (depth > maxDepth) return `it is nested deeper than ${maxDepth} levels`;
      if (parts > maxParts) return "it is made of too many empty or nearly empty parts";
    } else if (code === CLOSE_LIST || code === CLOSE_OBJECT) depth -= 1;
  }
  return undefined;
}

/**
 * A JSON text without the white space between its parts. A text that is not JSON is changed
 * arbitrarily.
 */
export function compactJson(text: string): string {
  const bytes = Buffer.from(text);
  let end = 0;
  let isInString = false;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    if (!isInString && (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09)) continue;
    bytes[end] = byte;
    end += 1;
    if (byte === QUOTE) isInString = !isInString;
    else if (byte === BACKSLASH && isInString && at + 1 < bytes.length) {
      at += 1;
      bytes[end] = bytes[at] ?? 0;
      end += 1;
    }
  }
  return bytes.toString("utf8", 0, end);
}
