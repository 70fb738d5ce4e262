// Replicas of one partition with any number of rows, created in advance in one buffer. Traverse answers with a part of it, so
// that only the work of the tool is measured. One row of the last replica differs.
import { comparePositions, segmentOf } from "../dist/model/row-order.js";

const SEGMENTS = 8;
const HEAD = 16;
const ROW_BYTES = 64;
/** Rows of one key, and how many of them share a timestamp in memory tables. */
const ROWS_PER_KEY = 10;
const ROWS_PER_TS = 2;

/**
 * @param {{ rows: number, storageMode: "memory" | "hdd", indexes: object[], nowMs: number }} of
 * @returns The calls that the tool makes: getTableSchema, getTableStatus, traverse.
 */
export function generatedStore({ rows, storageMode, indexes, nowMs }) {
  const segCount = storageMode === "memory" ? SEGMENTS : 1;
  const stores = new Map(
    indexes.map(({ name }, at) => [name, sorted(rows, `${name}-${at}-`, segCount, nowMs)]),
  );
  const differs = rows - 1 - Math.floor(rows / 3);
  return {
    getTableSchema: async () => ({ table: "t", db: "db", columns: [], segCount, indexes }),
    getTableStatus: async (_endpoint, { tid, pid }) => [
      {
        tid,
        pid,
        role: "leader",
        state: "normal",
        offset: BigInt(rows),
        recordCount: BigInt(rows),
      },
    ],
    async traverse(endpoint, request) {
      // Other work runs first, as before every answer from a socket.
      await new Promise((resolve) => setImmediate(resolve));
      const store = stores.get(request.index);
      const { page, count, end } = pageOf(store, request, segCount);
      const pairs = endpoint === "last" ? withOtherRow(store, page, differs) : page.bytes;
      const stoppedAt = count < request.limit ? undefined : positionAt(store, end - 1);
      return { pairs, count, stoppedAt };
    },
  };
}

function sorted(rows, prefix, segCount, nowMs) {
  const perTs = segCount > 1 ? ROWS_PER_TS : 1;
  const order = Array.from({ length: Math.ceil(rows / ROWS_PER_KEY) }, (_, key) => {
    const pk = Buffer.from(`${prefix}${String(key).padStart(9, "0")}`);
    return { pk, segment: segmentOf(pk, segCount) };
  });
  order.sort((a, b) => comparePositions({ ...a, ts: 0n }, { ...b, ts: 0n }));
  const size = HEAD + order[0].pk.length + ROW_BYTES;
  const bytes = Buffer.alloc(rows * size);
  let at = 0;
  for (const { pk } of order) {
    for (let of = ROWS_PER_KEY - 1; of >= 0 && at < bytes.length; of -= 1) {
      bytes.writeUInt32LE(size - 8, at);
      bytes.writeUInt32LE(pk.length, at + 4);
      bytes.writeBigUInt64LE(BigInt(nowMs - ROWS_PER_KEY + Math.floor(of / perTs)), at + 8);
      pk.copy(bytes, at + HEAD);
      bytes.write(`row ${of} of `, at + HEAD + pk.length);
      pk.copy(bytes, at + size - pk.length);
      at += size;
    }
  }
  return { bytes, size, keyLength: order[0].pk.length };
}

function positionAt({ bytes, size, keyLength }, index) {
  const at = index * size;
  return {
    pk: bytes.subarray(at + HEAD, at + HEAD + keyLength),
    ts: bytes.readBigUInt64LE(at + 8),
  };
}

function pageOf(store, { from, skip, limit }, segCount) {
  const { bytes, size } = store;
  const total = bytes.length / size;
  const first = from === undefined ? 0 : firstAt(store, from, segCount, total) + skip;
  const end = Math.min(total, first + limit);
  const page = { bytes: bytes.subarray(first * size, end * size), first, end };
  return { page, count: end - first, end };
}

function firstAt(store, { pk, ts }, segCount, total) {
  const place = { pk, ts, segment: segmentOf(pk, segCount) };
  let [from, to] = [0, total];
  while (from < to) {
    const middle = (from + to) >> 1;
    const position = positionAt(store, middle);
    const its = { ...position, segment: segmentOf(position.pk, segCount) };
    if (comparePositions(its, place) < 0) from = middle + 1;
    else to = middle;
  }
  return from;
}

function withOtherRow({ size }, { bytes, first, end }, differs) {
  if (differs < first || differs >= end) return bytes;
  const other = Buffer.from(bytes);
  other[(differs - first + 1) * size - 1] ^= 1;
  return other;
}
