import { create } from "@bufbuild/protobuf";
import type { TableStatus } from "../../gen/openmldb/api_pb.js";
import { TableMode, TabletServer } from "../../gen/openmldb/api_pb.js";
import type {
  OPStatus,
  PartitionMeta,
  TableInfo,
  TablePartition,
  TabletStatus,
} from "../../gen/openmldb/nameserver_pb.js";
import { NameServer, PartitionMetaSchema } from "../../gen/openmldb/nameserver_pb.js";
import { type Endpoint, followerKey, type PartitionNumbers } from "../../model/cluster-state.js";
import type { DiskContent, SnapshotFile } from "./disk.js";
import {
  type RecordedProcess,
  type RecordedZnode,
  type Recording,
  recordedAnswers,
  recordedProcesses,
} from "./recording-file.js";
import { type Run, writerOfTerm } from "./runs.js";

/** A replica that a tablet has in memory. */
export interface RecordedReplica {
  readonly tid: number;
  readonly pid: number;
  readonly role: "leader" | "follower";
  /** As recorded: api.proto, TableState. */
  readonly state: TableStatus["state"];
  readonly term: bigint;
  readonly offset: bigint;
  /** Replication list: last entry acknowledged, by endpoint. Empty for followers. */
  readonly followers: ReadonlyMap<Endpoint, bigint>;
}

/** One tablet: the contents of its disk and its memory. */
export interface RecordedTablet extends RecordedProcess {
  readonly disk: readonly DiskContent[];
  readonly loaded: readonly RecordedReplica[];
}

/** A whole cluster at the moment of a recording, ready for a model. */
export interface RecordedCluster {
  readonly znodes: readonly RecordedZnode[];
  /** The leader first, then the standbys in the order of succession. */
  readonly nameservers: readonly RecordedProcess[];
  readonly tablets: readonly RecordedTablet[];
  readonly hasServerNames: boolean;
  /** The tables in the leading nameserver's memory, newer than the znodes. */
  readonly tables: readonly TableInfo[];
  /** All listed ops, oldest first. */
  readonly ops: readonly OPStatus[];
  /** The nameserver's view of the tablets. */
  readonly tabletStates: readonly TabletStatus[];
}

/**
 * Builds a cluster from a recording. Facts that no call shows are filled in as follows:
 *
 * - Rows on disk: a loaded replica holds what its tablet reports. Any other holds what `recording.rows`
 *   states, else the nameserver's last offset, else none. A tablet that is off the record of a
 *   partition has its directory only if `recording.rows` states so.
 * - Entries carry the terms of the partition's history; those of a dead ex-leader carry the terms
 *   before the newest one, in which it did not take part.
 * - `table_meta.txt` says leader for the replica that led first, follower for all others, also for one
 *   that was elected later: ChangeRole does not write that file (OpenMLDB 0.9 tablet).
 */
export function loadRecording(recording: Recording): RecordedCluster {
  const tables = recordedAnswers(recording, NameServer.method.showTable).find(
    ({ answer }) => answer.code === 0,
  );
  const tableInfos = tables?.answer.tableInfo ?? [];
  const nameservers = recordedProcesses(recording, "openmldb.nameserver.NameServer");
  const tablets = recordedProcesses(recording, "openmldb.api.TabletServer");
  const evidence = evidenceOf(recording, tablets);
  return {
    znodes: recording.znodes,
    nameservers: inTurn(recording, nameservers),
    tablets: tablets.map((tablet) => ({
      ...tablet,
      disk: diskOf(tablet.endpoint, tableInfos, evidence),
      loaded: evidence.loaded.get(tablet.endpoint) ?? [],
    })),
    hasServerNames: tablets.some((tablet) => tablet.endpoint !== tablet.address),
    tables: tableInfos,
    ops: recordedAnswers(recording, NameServer.method.showOPStatus).flatMap(
      ({ answer }) => answer.opStatus,
    ),
    tabletStates: recordedAnswers(recording, NameServer.method.showTablet).flatMap(
      ({ answer }) => answer.tablets,
    ),
  };
}

/** Nameservers in the order in which they wait for the lock; those without a node come last. */
function inTurn(
  recording: Recording,
  nameservers: readonly RecordedProcess[],
): readonly RecordedProcess[] {
  const queue = recording.znodes
    .filter((znode) => znode.path.startsWith(`${recording.rootPath}/leader/`))
    .map((znode) => znode.data.toString());
  const place = (process: RecordedProcess) => {
    const index = queue.indexOf(process.endpoint);
    return index < 0 ? queue.length : index;
  };
  return [...nameservers].sort((a, b) => place(a) - place(b));
}

/** The answers of the tablets. */
interface Evidence {
  /** The loaded replicas of each tablet; a tablet that did not answer is missing. */
  readonly loaded: ReadonlyMap<Endpoint, readonly RecordedReplica[]>;
  /** Snapshots on disk by {@link followerKey}. */
  readonly snapshots: ReadonlyMap<string, SnapshotFile>;
  readonly rows: ReadonlyMap<string, number>;
}

function evidenceOf(recording: Recording, tablets: readonly RecordedProcess[]): Evidence {
  const endpoints = new Map(tablets.map(({ address, endpoint }) => [address, endpoint]));
  const key = (address: string, id: PartitionNumbers) =>
    followerKey(endpoints.get(address) ?? address, id);
  const { getTermPair, getTableFollower, getTableStatus, getManifest } = TabletServer.method;
  const terms = new Map(
    recordedAnswers(recording, getTermPair).map(({ address, request, answer }) => [
      key(address, request),
      answer.term,
    ]),
  );
  const followers = new Map(
    recordedAnswers(recording, getTableFollower).map(({ address, request, answer }) => [
      key(address, request),
      new Map(answer.followerInfo.map((info) => [info.endpoint, info.offset])),
    ]),
  );
  const loaded = recordedAnswers(recording, getTableStatus).map(
    ({ address, answer }) =>
      [
        endpoints.get(address) ?? address,
        answer.allTableStatus.map(
          (status): RecordedReplica => ({
            tid: status.tid,
            pid: status.pid,
            role: status.mode === TableMode.kTableLeader ? "leader" : "follower",
            state: status.state,
            term: terms.get(key(address, status)) ?? 0n,
            offset: status.offset,
            followers: followers.get(key(address, status)) ?? new Map(),
          }),
        ),
      ] as const,
  );
  const snapshots = recordedAnswers(recording, getManifest).flatMap(
    ({ address, request, answer: { manifest } }) =>
      manifest === undefined || manifest.offset === 0n
        ? []
        : [[key(address, request), manifest] as const],
  );
  return { loaded: new Map(loaded), snapshots: new Map(snapshots), rows: recording.rows };
}

function diskOf(
  endpoint: Endpoint,
  tables: readonly TableInfo[],
  evidence: Evidence,
): readonly DiskContent[] {
  return tables.flatMap((table) =>
    table.tablePartition.flatMap((partition) => {
      const claim =
        partition.partitionMeta.find((meta) => meta.endpoint === endpoint) ??
        leftover(table, partition.pid, endpoint, evidence);
      return claim === undefined ? [] : [directoryOf(table, partition, claim, evidence)];
    }),
  );
}

/** A replica on the disk of a tablet that is off the record. */
function leftover(
  table: TableInfo,
  pid: number,
  endpoint: Endpoint,
  evidence: Evidence,
): PartitionMeta | undefined {
  if (!evidence.rows.has(`${table.db}.${table.name}/${pid}@${endpoint}`)) return undefined;
  return create(PartitionMetaSchema, { endpoint, isLeader: false, isAlive: false });
}

function directoryOf(
  table: TableInfo,
  partition: TablePartition,
  claim: PartitionMeta,
  evidence: Evidence,
): DiskContent {
  const id = { tid: table.tid, pid: partition.pid };
  const loaded = evidence.loaded
    .get(claim.endpoint)
    ?.find((replica) => replica.tid === id.tid && replica.pid === id.pid);
  const manifest = evidence.snapshots.get(followerKey(claim.endpoint, id));
  const leaders = partition.partitionMeta.filter((meta) => meta.isLeader);
  const isExLeader = claim.isLeader && !claim.isAlive && leaders.length > 1;
  const newest = partition.termOffset.at(-1)?.term;
  const isElectedLater =
    partition.termOffset.length > 1 &&
    claim.isAlive &&
    (leaders.length > 1 || loaded?.term === newest);
  const mode = claim.isLeader && !isElectedLater ? "leader" : "follower";
  const rows = loaded?.offset ?? rowsOnDisk(table, partition.pid, claim, evidence.rows);
  return {
    ...id,
    meta: {
      name: table.name,
      db: table.db,
      mode,
      // Only the leader of a new table is created with a term (OpenMLDB 0.9 nameserver).
      term: mode === "leader" ? (partition.termOffset[0]?.term ?? 0n) : 0n,
      storageMode: table.storageMode,
      segCount: table.segCnt,
      schema: { columnDesc: table.columnDesc, columnKey: table.columnKey },
    },
    ...(manifest === undefined ? {} : { snapshot: snapshotOf(manifest) }),
    runs: runsOf(isExLeader ? partition.termOffset.slice(0, -1) : partition.termOffset, rows),
  };
}

function snapshotOf({ offset, term, name }: SnapshotFile): SnapshotFile {
  return { offset, term, name };
}

function rowsOnDisk(
  table: TableInfo,
  pid: number,
  claim: PartitionMeta,
  rows: ReadonlyMap<string, number>,
): bigint {
  const name = `${table.db}.${table.name}`;
  const given =
    rows.get(`${name}/${pid}@${claim.endpoint}`) ??
    rows.get(`${name}@${claim.endpoint}`) ??
    rows.get(`${name}/${pid}`) ??
    rows.get(name);
  return given === undefined ? claim.offset : BigInt(given);
}

/** Entries 1 to `last`, each with the term in which it was written. */
function runsOf(terms: TablePartition["termOffset"], last: bigint): readonly Run[] {
  const starts = terms.length > 0 ? terms : [{ term: 1n, offset: 0n }];
  return starts.flatMap(({ term, offset }, index) => {
    const next = starts[index + 1]?.offset;
    const from = index === 0 || offset < 1n ? 1n : offset;
    const to = next !== undefined && next - 1n < last ? next - 1n : last;
    return from <= to ? [{ from, to, term, writer: writerOfTerm(term) }] : [];
  });
}
