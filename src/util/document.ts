import { createRequire } from "node:module";
import type { ZodType } from "zod";

/** The library that schemas are made with. */
export type Zod = typeof import("zod");

/** A kind of document that is read from a file or a znode, written by any program. */
export interface DocumentKind<T> {
  /** A longer document is not parsed. */
  readonly maxBytes: number;
  /** How deep its lists and objects may be nested. */
  readonly maxDepth: number;
  /** What it holds. Called once, when the first document of this kind is read. */
  readonly schema: (z: Zod) => ZodType<T>;
}

/** A document that holds what it should, or one line that says what is wrong with it, and where. */
export type Checked<T> = { readonly value: T } | { readonly problem: string };

/** Paths and messages longer than this say nothing more to a person. */
const PROBLEM_CHARS_MAX = 300;

// Loaded when the first document is read: that takes 60 ms, and most commands read none. Not with
// import(): a document is read in the middle of other work, without a turn of the event loop.
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
  if (isDeeperThan(kind.maxDepth, text)) {
    return { problem: `it is nested deeper than ${kind.maxDepth} levels` };
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { problem: "it is not JSON" };
  }
  return checkValue(kind, value);
}

/** Checks data of any origin that is parsed already, and is not nested deeply. Never throws. */
export function checkValue<T>(kind: DocumentKind<T>, value: unknown): Checked<T> {
  const checked = schemaOf(kind).safeParse(value);
  if (checked.success) return { value: checked.data };
  const [first] = checked.error.issues;
  const path = first?.path ?? [];
  const what = (first?.message ?? "Invalid input").replace(/^Invalid input: /, "");
  return { problem: `${pathText(path)}: ${what}`.slice(0, PROBLEM_CHARS_MAX) };
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

/** Whether lists and objects of a JSON text are nested deeper; in one pass, whatever the text is. */
function isDeeperThan(maxDepth: number, text: string): boolean {
  let depth = 0;
  let isInString = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (isInString && char === "\\") at += 1;
    else if (char === '"') isInString = !isInString;
    else if (isInString) continue;
    else if (char === "[" || char === "{") depth += 1;
    else if (char === "]" || char === "}") depth -= 1;
    if (depth > maxDepth) return true;
  }
  return false;
}
