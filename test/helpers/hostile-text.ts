import {
  type DescField,
  type DescMessage,
  fromBinary,
  isFieldSet,
  type Message,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import type { Transport } from "../../src/cluster/transport.js";
import type { ZooKeeper } from "../../src/cluster/zookeeper.js";
import { TableInfoSchema } from "../../src/gen/openmldb/nameserver_pb.js";

/**
 * Invisible characters that are no control characters: allowed in the name of a znode or a server.
 */
const INVISIBLE = "\u202e\u2066\u200b\u{e0041}\u00ad";
/** The hostile parts of names and messages: escapes, C1, bidi, zero-width, markup, quotes. */
export const HOSTILE = `\x1b[2J\x1b]0;t\x07\x9b1A\r\x08${INVISIBLE}\ufeff\u2028<img src=x>"'|\``;
/**
 * The hostile part of a server's name: ZooKeeper's client allows no control characters in names.
 */
const HOSTILE_NAME = INVISIBLE;

const RAW = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the colours of this tool are the subject.
const OWN_COLOR = /\x1b\[(?:0|2|31|32|33)m/g;

/** The first character of a text that must not reach a terminal, with its surroundings; undefined if there is none. */
export function rawIn(text: string): string | undefined {
  const plain = text.replaceAll(OWN_COLOR, "");
  const at = plain.search(RAW);
  return at < 0 ? undefined : JSON.stringify(plain.slice(Math.max(0, at - 80), at + 40));
}

/** A text of the cluster with a hostile part. Equal texts stay equal, so that names still match. */
export function hostile(text: string): string {
  if (text === "" || text.endsWith(INVISIBLE) || text.endsWith("`")) return text;
  return text + (/^(tablet|nameserver)-\d+$/.test(text) ? HOSTILE_NAME : HOSTILE);
}

/** Removes the part that {@link hostile} added. */
function withoutHostile(text: string): string {
  return text.replaceAll(HOSTILE, "").replaceAll(HOSTILE_NAME, "");
}

/** Rewrites a text, by the field that holds it, such as `openmldb.api.TableStatus.name`. */
export type Rewrite = (text: string, field: string) => string;

/**
 * Rewrites every text field of a message in place. A field that is not set counts as an empty text, and is set if the rewritten
 * text is not empty.
 */
function rewriteTexts(message: Message, desc: DescMessage, rewrite: Rewrite): void {
  const fields = message as unknown as Record<string, unknown>;
  for (const field of desc.fields) {
    const isSet = isFieldSet(message, field);
    const value = fields[field.localName];
    const all = Array.isArray(value) ? value : [value];
    const inner = field.message;
    if (inner !== undefined && isSet) {
      for (const one of all) rewriteTexts(one as Message, inner, rewrite);
    }
    if (!isText(field)) continue;
    const name = `${desc.typeName}.${field.localName}`;
    const made = all.map((one) => rewrite(String(one), name));
    if (Array.isArray(value)) fields[field.localName] = made;
    else if (isSet || made[0] !== "") fields[field.localName] = made[0];
  }
}

function isText(field: DescField): boolean {
  return "scalar" in field && field.scalar === ScalarType.STRING;
}

/** The names of all text fields of the answers, by their descriptors. */
export function textFields(answers: readonly DescMessage[]): string[] {
  const found = new Set<string>();
  const walk = (desc: DescMessage, above: readonly string[]): void => {
    if (above.includes(desc.typeName)) return;
    for (const field of desc.fields) {
      if (field.message !== undefined) walk(field.message, [...above, desc.typeName]);
      else if (isText(field)) found.add(`${desc.typeName}.${field.localName}`);
    }
  };
  for (const desc of answers) walk(desc, []);
  return [...found].sort();
}

/** OpenMLDB's "invalid parameter". */
const REFUSED = 307;

/**
 * A transport whose answers are rewritten, and whose requests are unchanged. An answer whose `msg` was
 * rewritten becomes a refusal, since the tool shows `msg` of refusals only.
 */
export function hostileTransport(inner: Transport, rewrite: Rewrite): Transport {
  return {
    connection: (address) => inner.connection(address),
    close: () => inner.close(),
    async unary(address, method, request, options) {
      const plain = plainRequest(request);
      const answer = await inner.unary(address, method, plain, options);
      let isRefusal = false;
      rewriteTexts(answer as Message, method.output, (text, field) => {
        const made = rewrite(text, field);
        isRefusal ||= made !== text && field.endsWith("Response.msg");
        return made;
      });
      if (isRefusal) Object.assign(answer, { code: REFUSED });
      return answer;
    },
  };
}

/** A copy of a request without the hostile parts in its lists, objects and texts. */
function plainRequest<T>(value: T): T {
  if (typeof value === "string") return withoutHostile(value) as T;
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(plainRequest) as T;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [key, plainRequest(one as unknown)]),
  ) as T;
}

/** A ZooKeeper whose names and data are those of a cluster with hostile names. */
export function hostileZooKeeper<Z extends ZooKeeper>(inner: Z, rewrite: Rewrite): Z {
  const renamed = (names: readonly string[] | undefined, path: string) =>
    /\/(nodes|map\/names)$/.test(path) ? names?.map(hostile) : names;
  const readAs = (data: Buffer | undefined, path: string): Buffer | undefined => {
    if (data === undefined) return undefined;
    if (/\/leader\/[^/]+$/.test(path)) return Buffer.from(hostile(data.toString()));
    if (!/\/table\/(db_)?table_data\/[^/]+$/.test(path)) return data;
    const info = fromBinary(TableInfoSchema, data);
    rewriteTexts(info, TableInfoSchema, rewrite);
    return Buffer.from(toBinary(TableInfoSchema, info));
  };
  return {
    ...inner,
    getChildren: async (path: string) =>
      renamed(await inner.getChildren(withoutHostile(path)), path),
    getData: async (path: string) => readAs(await inner.getData(withoutHostile(path)), path),
  };
}
