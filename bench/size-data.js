// The answers of a cluster of a given size, as bytes, made message by message.
import { create, toBinary } from "@bufbuild/protobuf";
import {
  GetTableStatusResponseSchema,
  GetTermPairResponseSchema,
} from "../dist/gen/openmldb/api_pb.js";
import {
  ConfGetResponseSchema,
  ShowOPStatusResponseSchema,
  ShowTabletResponseSchema,
  TableInfoSchema,
} from "../dist/gen/openmldb/nameserver_pb.js";

const PARTITIONS = 8;
const REPLICAS = 3;
const COLUMNS = 12;
/** Field 9 of TableInfo (column_desc), which the tool does not declare and every real answer holds. */
const COLUMN_TAG = (9 << 3) | 2;

/** A cluster of `tables` tables, 8 partitions and 3 replicas each, about 240 replicas on a tablet. */
export function shapeOf(tables) {
  const replicas = tables * PARTITIONS * REPLICAS;
  return { tables, partitions: tables * PARTITIONS, replicas, tablets: tabletsFor(replicas) };
}

function tabletsFor(replicas) {
  return Math.max(REPLICAS, Math.round(replicas / 240));
}

/** Who holds a partition, the leader first. */
function holdersOf(tid, pid, endpoints) {
  const first = (tid * PARTITIONS + pid) * REPLICAS;
  return Array.from(
    { length: REPLICAS },
    (_, index) => endpoints[(first + index) % endpoints.length],
  );
}

/** ShowTable's answer: every replica flagged as it was before the outage. */
export function showTableBytes(tables, endpoints) {
  const parts = [];
  const columns = columnBytes();
  for (let tid = 1; tid <= tables; tid += 1) {
    const table = toBinary(TableInfoSchema, create(TableInfoSchema, tableInfo(tid, endpoints)));
    // Field 1 of ShowTableResponse: the tag, the length, the table.
    parts.push(Buffer.from([0x0a]), varint(table.length + columns.length), table, columns);
  }
  // Field 2, code = 0; field 3, msg = ok.
  parts.push(Buffer.from([0x10, 0x00, 0x1a, 0x02, 0x6f, 0x6b]));
  return Buffer.concat(parts);
}

function tableInfo(tid, endpoints) {
  return {
    name: `table_${tid}`,
    db: `db${tid % 100}`,
    tid,
    segCnt: 8,
    partitionNum: PARTITIONS,
    replicaNum: REPLICAS,
    tablePartition: Array.from({ length: PARTITIONS }, (_, pid) => ({
      pid,
      recordCnt: 1000n,
      recordByteSize: 100_000n,
      partitionMeta: holdersOf(tid, pid, endpoints).map((endpoint, index) => ({
        endpoint,
        isLeader: index === 0,
        isAlive: true,
        offset: 1000n + BigInt(pid),
        recordCnt: 1000n,
        recordByteSize: 100_000n,
        tabletHasPartition: true,
        diskused: 0n,
      })),
      termOffset: [{ term: BigInt(tid), offset: 0n }],
    })),
  };
}

function columnBytes() {
  const columns = Array.from({ length: COLUMNS }, (_, index) => {
    const name = Buffer.from(`column_number_${index}`);
    const body = Buffer.concat([
      Buffer.from([0x0a]),
      varint(name.length),
      name,
      Buffer.from([0x10, 0x05]),
    ]);
    return Buffer.concat([varint(COLUMN_TAG), varint(body.length), body]);
  });
  return Buffer.concat(columns);
}

function varint(value) {
  const bytes = [];
  let rest = value;
  while (rest > 127) {
    bytes.push((rest & 127) | 128);
    rest >>>= 7;
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** The other answers of the nameserver that a look at the cluster needs. */
export function nameserverBytes(endpoints) {
  const tablets = endpoints.map((endpoint) => ({ endpoint, state: "kHealthy", age: 60_000n }));
  const conf = [{ key: "auto_failover", value: "true" }];
  return {
    ShowTablet: toBinary(
      ShowTabletResponseSchema,
      create(ShowTabletResponseSchema, { code: 0, tablets }),
    ),
    ConfGet: toBinary(ConfGetResponseSchema, create(ConfGetResponseSchema, { code: 0, conf })),
    ShowOPStatus: toBinary(
      ShowOPStatusResponseSchema,
      create(ShowOPStatusResponseSchema, { code: 0 }),
    ),
  };
}

/** GetTableStatus of a tablet that restarted: nothing is loaded. */
export function statusBytes() {
  return toBinary(GetTableStatusResponseSchema, create(GetTableStatusResponseSchema, { code: 0 }));
}

/** GetTermPair of a replica that is not loaded: the snapshot on its disk. */
export function termPairBytes() {
  const answer = { code: 0, term: 1n, offset: 1000n, hasTable: false };
  return toBinary(GetTermPairResponseSchema, create(GetTermPairResponseSchema, answer));
}
