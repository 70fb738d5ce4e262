import type { core, ZodType } from "zod";

/** Returns true if a value is known to fit; false proves nothing. */
export type QuickCheck = (value: unknown) => boolean;

/** The definition of a schema, as far as it is interpreted here. */
type Def = core.$ZodTypes["_zod"]["def"];

const itemSchemas = new WeakMap<object, ZodType>();

/** Registers the schema of the items of a list whose own schema does not contain it. */
export function setItem(list: object, item: ZodType): void {
  itemSchemas.set(list, item);
}

/** The schema of the items of a list of {@link setItem}; undefined for any other schema. */
export function itemOf(list: object): ZodType | undefined {
  return itemSchemas.get(list);
}

/**
 * Makes a check from a schema that creates no objects and no messages: on long lists it takes a tenth
 * of the time. Anything it cannot interpret never fits, so that zod decides.
 */
export function quickCheck(schema: core.$ZodType | ZodType): QuickCheck {
  const def = schema._zod.def as Def;
  const checks = (def.checks ?? []).map(constraint);
  const item = itemOf(schema);
  const isType = item === undefined ? typeCheck(def) : listCheck(quickCheck(item));
  if (checks.length === 0) return isType;
  return (value) => isType(value) && checks.every((check) => check(value));
}

function typeCheck(def: Def): QuickCheck {
  switch (def.type) {
    case "string":
      return (value) => typeof value === "string";
    case "boolean":
      return (value) => typeof value === "boolean";
    case "unknown":
      return () => true;
    case "number":
      return "format" in def && def.format === "safeint" ? Number.isSafeInteger : never;
    case "literal":
      return oneOf(def.values);
    case "enum":
      return oneOf(Object.values(def.entries));
    case "nullable":
      return orElse(null, quickCheck(def.innerType));
    case "optional":
      return orElse(undefined, quickCheck(def.innerType));
    case "array":
      return listCheck(quickCheck(def.element));
    case "object":
      return objectCheck(def.shape);
    case "union":
      return "discriminator" in def
        ? kindCheck(def.options, String(def.discriminator))
        : anyOf(def.options.map(quickCheck));
    case "pipe":
      // A transform runs only after the value fitted, so the input's check decides.
      return def.out._zod.def.type === "transform" ? quickCheck(def.in) : never;
    default:
      return never;
  }
}

const never: QuickCheck = () => false;

function oneOf(values: readonly unknown[]): QuickCheck {
  const known = new Set(values);
  return (value) => known.has(value);
}

function orElse(other: null | undefined, check: QuickCheck): QuickCheck {
  return (value) => value === other || check(value);
}

function anyOf(checks: readonly QuickCheck[]): QuickCheck {
  return (value) => checks.some((check) => check(value));
}

function listCheck(item: QuickCheck): QuickCheck {
  return (value) => {
    if (!Array.isArray(value)) return false;
    for (const one of value) if (!item(one)) return false;
    return true;
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function objectCheck(shape: Readonly<Record<string, core.$ZodType>>): QuickCheck {
  const fields = Object.entries(shape).map(([name, of]) => ({ name, check: quickCheck(of) }));
  return (value) => {
    if (!isObject(value)) return false;
    for (const { name, check } of fields) if (!check(value[name])) return false;
    return true;
  };
}

/** One of several kinds of object, distinguished by one field. */
function kindCheck(options: readonly core.$ZodType[], field: string): QuickCheck {
  const kinds = new Map<unknown, QuickCheck>();
  for (const option of options) {
    const check = quickCheck(option);
    for (const kind of option._zod.propValues?.[field] ?? []) kinds.set(kind, check);
  }
  return (value) => isObject(value) && (kinds.get(value[field])?.(value) ?? false);
}

/** A further constraint on a value of the right type. */
function constraint(check: core.$ZodCheck): QuickCheck {
  const def = check._zod.def as core.$ZodChecks["_zod"]["def"];
  if (def.check === "greater_than" && def.inclusive)
    return (value) => typeof value === "number" && value >= Number(def.value);
  if (def.check === "min_length")
    return (value) => Array.isArray(value) && value.length >= def.minimum;
  if (def.check === "string_format" && "pattern" in def && def.pattern instanceof RegExp) {
    const { pattern } = def;
    return (value) => typeof value === "string" && pattern.test(value);
  }
  return never;
}
