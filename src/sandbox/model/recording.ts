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
import { type Endpoint, followerKey } from "../../model/cluster-state.js";
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

/** One tablet: what its disk holds, and what it has in memory. */
export interface RecordedTablet extends RecordedProcess {
  readonly disk: readonly DiskContent[];
  readonly loaded: readonly RecordedReplica[];
}

/** A whole cluster at the moment of a recording, ready to be put into a model. */
export interface RecordedCluster {
  readonly znodes: readonly RecordedZnode[];
  /** The leader first, then the standbys in the order of their turn. */
  readonly nameservers: readonly RecordedProcess[];
  readonly tablets: readonly RecordedTablet[];
  readonly hasServerNames: boolean;
  /** What the leading nameserver had in memory; newer than the znodes. */
  readonly tables: readonly TableInfo[];
  /** All ops that it listed, oldest first. */
  readonly ops: readonly OPStatus[];
  /** Its view of the tablets. */
  readonly tabletStates: readonly TabletStatus[];
}

/**
 * Makes a cluster of a recording. What no call can tell is filled in like this:
 * - Rows on disk: a loaded replica holds what its tablet reports. Any other holds what
 *   `recording.rows` says, else the offset that the nameserver last saw, else none. A tablet that is on
 *   no record of a partition has its directory only if `recording.rows` says so.
 * - Entries carry the terms of the partition's history; those of a dead ex-leader carry the terms
 *   before the newest one, which it did not take part in.
 * - `table_meta.txt` says leader for the replica that led first, follower for all others, also for
 *   one that was elected later: ChangeRole does not write that file (OpenMLDB 0.9 tablet).
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

/** Nameservers in the order in which they queue for the lock; those without a node come last. */
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

/** What the tablets said. */
interface Evidence {
  /** What each tablet has loaded; a tablet that did not answer is missing. */
  readonly loaded: ReadonlyMap<Endpoint, readonly RecordedReplica[]>;
  /** Snapshots on disk by {@link followerKey}. */
  readonly snapshots: ReadonlyMap<string, SnapshotFile>;
  readonly rows: ReadonlyMap<string, number>;
}

function evidenceOf(recording: Recording, tablets: readonly RecordedProcess[]): Evidence {
  const endpoints = new Map(tablets.map(({ address, endpoint }) => [address, endpoint]));
  const key = (address: string, id: { readonly tid: number; readonly pid: number }) =>
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

/** A replica on the disk of a tablet that the record does not name. */
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
  const told =
    rows.get(`${name}/${pid}@${claim.endpoint}`) ??
    rows.get(`${name}@${claim.endpoint}`) ??
    rows.get(`${name}/${pid}`) ??
    rows.get(name);
  return told === undefined ? claim.offset : BigInt(told);
}

/** Entries 1 to `last`, each with the term that had begun when it was written. */
function runsOf(terms: TablePartition["termOffset"], last: bigint): readonly Run[] {
  const starts = terms.length > 0 ? terms : [{ term: 1n, offset: 0n }];
  return starts.flatMap(({ term, offset }, index) => {
    const next = starts[index + 1]?.offset;
    const from = index === 0 || offset < 1n ? 1n : offset;
    const to = next !== undefined && next - 1n < last ? next - 1n : last;
    return from <= to ? [{ from, to, term, writer: writerOfTerm(term) }] : [];
  });
}
