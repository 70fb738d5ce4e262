import type { DescField, DescMessage, Message } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";

/** The fields of one message type that have to be checked. */
interface Checks {
  readonly required: readonly DescField[];
  readonly nested: readonly { readonly field: DescField; readonly desc: DescMessage }[];
}

const known = new WeakMap<DescMessage, Checks>();

function checksOf(desc: DescMessage): Checks {
  const found = known.get(desc);
  if (found !== undefined) {
    return found;
  }
  const nested = desc.fields.flatMap((field) =>
    (field.fieldKind === "message" ||
      (field.fieldKind === "list" && field.listKind === "message")) &&
    hasRequired(field.message, new Set([desc]))
      ? [{ field, desc: field.message }]
      : [],
  );
  const checks = { required: desc.fields.filter(isRequired), nested };
  known.set(desc, checks);
  return checks;
}

function isRequired(field: DescField): boolean {
  return field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED;
}

/** True if the type has a required field at any depth; other types need no check. */
function hasRequired(desc: DescMessage, seen: Set<DescMessage>): boolean {
  if (seen.has(desc)) {
    return true;
  }
  seen.add(desc);
  return desc.fields.some(
    (field) =>
      isRequired(field) || (field.message !== undefined && hasRequired(field.message, seen)),
  );
}

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
  for (const field of required) {
    if (!isSet(message, field)) {
      return field.name;
    }
  }
  for (const { field, desc: inner } of nested) {
    const value = (message as unknown as Record<string, Message | readonly Message[] | undefined>)[
      field.localName
    ];
    if (value === undefined) {
      continue;
    }
    for (const item of Array.isArray(value) ? (value as readonly Message[]) : [value as Message]) {
      const missing = missingRequired(inner, item);
      if (missing !== undefined) {
        return `${field.name}.${missing}`;
      }
    }
  }
  return undefined;
}
