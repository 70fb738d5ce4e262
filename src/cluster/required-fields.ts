import type { DescField, DescMessage, Message } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";

/** What to look at in one message type; made once for each type. */
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

/** Whether the type holds a required field anywhere, so that types without any cost nothing. */
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
 * Whether a single field of a proto2 message was sent: then the message has it itself, while its default
 * lives on the prototype. The runtime's own `isFieldSet` (2.17) looks at nothing else, and costs an object a call.
 */
export function isSet(message: Message, field: DescField): boolean {
  return Object.hasOwn(message, field.localName);
}

/**
 * Finds a field that the proto2 definition requires and the message lacks, in depth. The runtime
 * accepts such messages on reading, and OpenMLDB never sends one.
 *
 * @returns The path of the first one, such as `table_info.table_partition.pid`; undefined if all are there.
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
