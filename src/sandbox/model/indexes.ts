import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ColumnKeySchema, TTLStSchema } from "../../gen/openmldb/common_pb.js";
import { TTLType } from "../../gen/openmldb/type_pb.js";
import { SANDBOX_SCHEMA, type TableSchema } from "./disk.js";

/** The TTL with which an index is created. */
export interface IndexTtl {
  readonly type: "absolute" | "latest" | "absandlat" | "absorlat";
  readonly minutes?: number;
  readonly rows?: number;
}

/** An index of a table in the sandbox; each has its own key columns. */
export interface IndexSpec {
  readonly name: string;
  /** Undefined: rows never expire. */
  readonly ttl?: IndexTtl;
}

const TTL_TYPES = {
  absolute: TTLType.kAbsoluteTime,
  latest: TTLType.kLatestTime,
  absandlat: TTLType.kAbsAndLat,
  absorlat: TTLType.kAbsOrLat,
} as const;

/** The schema of a table with these indexes: columns as in {@link SANDBOX_SCHEMA}. */
export function schemaWith(indexes: readonly IndexSpec[]): TableSchema {
  const columnKey = indexes.map(({ name, ttl }, position) =>
    toBinary(
      ColumnKeySchema,
      create(ColumnKeySchema, {
        indexName: name,
        colName: position === 0 ? ["k"] : [`k${position}`],
        tsName: "ts",
        flag: 0,
        ...(ttl && {
          ttl: {
            ttlType: TTL_TYPES[ttl.type],
            absTtl: BigInt(ttl.minutes ?? 0),
            latTtl: BigInt(ttl.rows ?? 0),
          },
        }),
      }),
    ),
  );
  return { columnDesc: SANDBOX_SCHEMA.columnDesc, columnKey };
}

/** An index as a tablet has it. */
export interface StoredIndex {
  readonly name: string;
  /** Its position among the table's indexes. */
  readonly position: number;
  /** Undefined if rows never expire. */
  readonly ttl:
    | { readonly type: TTLType; readonly absMs: bigint; readonly rows: bigint }
    | undefined;
}

const MINUTE_MS = 60_000n;
const known = new WeakMap<TableSchema, readonly StoredIndex[]>();

/**
 * An index of a table.
 *
 * @param name Empty for the first one.
 * @returns Undefined if there is none of that name. A table without a schema has one, without a name.
 */
export function indexOf(schema: TableSchema | undefined, name: string): StoredIndex | undefined {
  if (schema === undefined || schema.columnKey.length === 0) {
    return name === "" ? { name: "", position: 0, ttl: undefined } : undefined;
  }
  const indexes = known.get(schema) ?? schema.columnKey.map(read);
  known.set(schema, indexes);
  return name === "" ? indexes[0] : indexes.find((one) => one.name === name);
}

function read(bytes: Uint8Array, position: number): StoredIndex {
  const { indexName, ttl } = fromBinary(ColumnKeySchema, bytes);
  const { ttlType, absTtl, latTtl } = ttl ?? create(TTLStSchema);
  return {
    name: indexName,
    position,
    ttl:
      absTtl === 0n && latTtl === 0n
        ? undefined
        : { type: ttlType, absMs: absTtl * MINUTE_MS, rows: latTtl },
  };
}

/**
 * True if a tablet treats a row as expired.
 *
 * @param rank The row's rank in its key, as the tablet counts it.
 * @see OpenMLDB 0.9: ExpiredChecker::IsExpired, MemTable::GetExpireTime
 */
export function isExpired(
  ttl: StoredIndex["ttl"],
  ts: bigint,
  rank: number,
  nowMs: number,
): boolean {
  if (ttl === undefined) return false;
  const { type, absMs, rows } = ttl;
  const isOld = absMs > 0n && ts <= BigInt(Math.trunc(nowMs)) - absMs;
  const isBehind = rows > 0n && rank > rows;
  switch (type) {
    case TTLType.kAbsoluteTime:
      return isOld;
    case TTLType.kLatestTime:
      return isBehind;
    case TTLType.kAbsAndLat:
      return isOld && isBehind;
    case TTLType.kAbsOrLat:
      return isOld || isBehind;
    default:
      return true;
  }
}
