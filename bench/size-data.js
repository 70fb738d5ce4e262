// The encoded answers of a cluster of a given size, created message by message. The answer of ShowTable has the fields of real
// answers (test/recordings), with values as large as in a cluster in use: about 115 bytes for each replica.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  GetTableFollowerRequestSchema,
  GetTableFollowerResponseSchema,
  GetTableStatusResponseSchema,
  GetTermPairResponseSchema,
  TableMode,
  TableState,
} from "../dist/gen/openmldb/api_pb.js";
import { StorageMode } from "../dist/gen/openmldb/common_pb.js";
import {
  ConfGetResponseSchema,
  ShowDatabaseResponseSchema,
  ShowOPStatusResponseSchema,
  ShowTabletResponseSchema,
  TableInfoSchema,
} from "../dist/gen/openmldb/nameserver_pb.js";

const PARTITIONS = 8;
const REPLICAS = 3;
const COLUMNS = 40;
const KEYS = 3;
/** Fields of TableInfo that the tool does not declare and every real answer holds. */
const COLUMN_DESC = 9;
const COLUMN_KEY = 10;
const FORMAT_VERSION = 12;
/** One of so many partitions has changed its leader once. */
const CHANGED_EVERY = 50;

/** A cluster of `tables` tables, 8 partitions and 3 replicas each, about 240 replicas on a tablet. */
export function shapeOf(tables) {
  const replicas = tables * PARTITIONS * REPLICAS;
  return { tables, partitions: tables * PARTITIONS, replicas, tablets: tabletsFor(replicas) };
}

function tabletsFor(replicas) {
  return Math.max(REPLICAS, Math.round(replicas / 240));
}

/** The tablets of a partition, the leader first. */
function holdersOf(tid, pid, endpoints) {
  const first = (tid * PARTITIONS + pid) * REPLICAS;
  return Array.from(
    { length: REPLICAS },
    (_, index) => endpoints[(first + index) % endpoints.length],
  );
}

/** The answer of ShowTable, with every replica flagged as before the outage. */
export function showTableBytes(tables, endpoints) {
  const infos = Array.from({ length: tables }, (_, index) => tableBytes(index + 1, endpoints));
  // Field 1: the tables; field 2, code = 0; field 3, msg = ok.
  const end = Buffer.from([0x10, 0x00, 0x1a, 0x02, 0x6f, 0x6b]);
  return Buffer.concat([...infos.map((info) => field(1, info)), end]);
}

/** One table, as in the answer and in ZooKeeper. */
export function tableBytes(tid, endpoints) {
  const info = toBinary(TableInfoSchema, create(TableInfoSchema, tableInfo(tid, endpoints)));
  return Buffer.concat([info, columns]);
}

function tableInfo(tid, endpoints) {
  return {
    name: `feature_table_${tid}`,
    db: `database_${tid % 100}`,
    tid,
    partitionNum: PARTITIONS,
    replicaNum: REPLICAS,
    storageMode: StorageMode.kMemory,
    tablePartition: Array.from({ length: PARTITIONS }, (_, pid) => partition(tid, pid, endpoints)),
  };
}

function partition(tid, pid, endpoints) {
  const offset = 1_000_000n + BigInt(tid * PARTITIONS + pid);
  const size = { recordCnt: offset, recordByteSize: offset * 230n, diskused: 0n };
  const hasChanged = (tid * PARTITIONS + pid) % CHANGED_EVERY === 0;
  return {
    pid,
    ...size,
    partitionMeta: holdersOf(tid, pid, endpoints).map((endpoint, index) => ({
      endpoint,
      isLeader: index === 0,
      isAlive: true,
      offset,
      ...size,
      tabletHasPartition: true,
    })),
    termOffset: [
      { term: 1n, offset: 0n },
      ...(hasChanged ? [{ term: 2n, offset: offset / 2n }] : []),
    ],
  };
}

/** Columns with a name and a type, keys with a name, a column, a time column and a TTL. */
const columns = columnBytes();

function columnBytes() {
  const described = Array.from({ length: COLUMNS }, (_, index) =>
    field(
      COLUMN_DESC,
      field(1, Buffer.from(`user_aggregated_feature_${100 + index}`)),
      Buffer.from([0x10, 0x05]),
    ),
  );
  const keys = Array.from({ length: KEYS }, (_, index) =>
    field(
      COLUMN_KEY,
      field(1, Buffer.from(`index_${index}`)),
      field(2, Buffer.from(`user_aggregated_feature_${100 + index}`)),
      field(3, Buffer.from("event_time")),
      field(5, Buffer.from([0x08, 0x01, 0x10, 0x00])),
    ),
  );
  return Buffer.concat([...described, ...keys, Buffer.from([FORMAT_VERSION << 3, 0x01])]);
}

/** A length-delimited field. */
function field(number, ...parts) {
  const body = Buffer.concat(parts);
  return Buffer.concat([varint((number << 3) | 2), varint(body.length), body]);
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

/** The other answers of the nameserver that an observation requires. */
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
    ShowDatabase: toBinary(
      ShowDatabaseResponseSchema,
      create(ShowDatabaseResponseSchema, { code: 0, db: ["database_0"] }),
    ),
  };
}

/** GetTableStatus of a tablet that restarted: nothing is loaded. */
export function statusBytes() {
  return toBinary(GetTableStatusResponseSchema, create(GetTableStatusResponseSchema, { code: 0 }));
}

/** GetTableStatus of every tablet of a healthy cluster, by endpoint. */
export function loadedBytes(tables, endpoints) {
  const statuses = new Map(endpoints.map((endpoint) => [endpoint, []]));
  for (let tid = 1; tid <= tables; tid += 1) {
    for (const { pid, partitionMeta, diskused } of tableInfo(tid, endpoints).tablePartition) {
      for (const { endpoint, isLeader, offset, recordCnt, recordByteSize } of partitionMeta) {
        statuses.get(endpoint).push({
          ...{
            tid,
            pid,
            offset,
            recordCnt,
            recordByteSize,
            diskused,
            name: `feature_table_${tid}`,
          },
          mode: isLeader ? TableMode.kTableLeader : TableMode.kTableFollower,
          state: TableState.kTableNormal,
          recordIdxByteSize: recordByteSize,
          recordPkCnt: recordCnt,
          storageMode: StorageMode.kMemory,
        });
      }
    }
  }
  const encoded = (allTableStatus) =>
    toBinary(
      GetTableStatusResponseSchema,
      create(GetTableStatusResponseSchema, { code: 0, allTableStatus }),
    );
  return new Map([...statuses].map(([endpoint, own]) => [endpoint, encoded(own)]));
}

/** The leader of every partition. */
export function* leadersOf(tables, endpoints) {
  for (let tid = 1; tid <= tables; tid += 1) {
    for (let pid = 0; pid < PARTITIONS; pid += 1) {
      yield { endpoint: holdersOf(tid, pid, endpoints)[0], tid, pid };
    }
  }
}

/** GetTableFollower of every leader, by `tid/pid`: it replicates to all others, which are in sync. */
export function followerAnswers(tables, endpoints) {
  const answers = new Map();
  for (const { tid, pid } of leadersOf(tables, endpoints)) {
    answers.set(`${tid}/${pid}`, followerBytes(tid, pid, endpoints));
  }
  return answers;
}

/** The partition of a GetTableFollower request, as a key of {@link followerAnswers}. */
export function askedFor(request) {
  const { tid, pid } = fromBinary(GetTableFollowerRequestSchema, request);
  return `${tid}/${pid}`;
}

function followerBytes(tid, pid, endpoints) {
  const [leader, ...others] = partition(tid, pid, endpoints).partitionMeta;
  const followerInfo = others.map(({ endpoint, offset }) => ({ endpoint, offset }));
  const answer = { code: 0, offset: leader.offset, followerInfo };
  return toBinary(GetTableFollowerResponseSchema, create(GetTableFollowerResponseSchema, answer));
}

/** GetTermPair of a replica that is not loaded: the snapshot on its disk. */
export function termPairBytes() {
  const answer = { code: 0, term: 1n, offset: 1000n, hasTable: false };
  return toBinary(GetTermPairResponseSchema, create(GetTermPairResponseSchema, answer));
}
