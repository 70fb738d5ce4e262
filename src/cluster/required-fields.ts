import type { DescField, DescMessage, Message } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { memoized } from "../util/memoized.js";

/** The fields of one message type that have to be checked. */
interface Checks {
  readonly required: readonly DescField[];
  readonly nested: readonly { readonly field: DescField; readonly desc: DescMessage }[];
}

const checksOf = memoized((desc: DescMessage): Checks => {
  const required = desc.fields.filter(
    (field) => field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED,
  );
  const nested = desc.fields.flatMap((field) =>
    field.message === undefined ? [] : [{ field, desc: field.message }],
  );
  return { required, nested };
}, new WeakMap());

/**
 * True if a singular field of a proto2 message was sent: it is an own property then, while defaults are properties of
 * the prototype. The runtime's `isFieldSet` (2.17) does the same, but allocates an object for each call.
 */
export function isSet(message: Message, field: DescField): boolean {
  return Object.hasOwn(message, field.localName);
}

/**
 * Finds a required field (proto2) that the message or a nested one lacks. The runtime accepts such messages when it
 * reads them; OpenMLDB never sends one.
 *
 * @returns The path of the first one, such as `table_info.table_partition.pid`; undefined if none is missing.
 */
export function missingRequired(desc: DescMessage, message: Message): string | undefined {
  const { required, nested } = checksOf(desc);
  for (const field of required) if (!isSet(message, field)) return field.name;
  const values = message as unknown as Record<string, Message | Message[] | undefined>;
  for (const { field, desc: inner } of nested) {
    const value = values[field.localName];
    if (value === undefined) continue;
    for (const item of Array.isArray(value) ? value : [value]) {
      const missing = missingRequired(inner, item);
      if (missing !== undefined) return `${field.name}.${missing}`;
    }
  }
  return undefined;
}
