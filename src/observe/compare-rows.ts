import type { Cluster } from "../cluster/cluster.js";
import { messageOf, OpsError, refused } from "../errors.js";
import type { Endpoint, ReplicaReport, SchemaClaim, Ttl } from "../model/cluster-state.js";
import type { IndexDifference, PartitionRows, RowGroup, RowPosition } from "../model/rows.js";
import type { provenDifferences, Reading } from "../policy/differing-rows.js";
import { type liveRule, type RowTask, walkedIndexes } from "../policy/rows-to-compare.js";
import { untilAborted } from "../util/within.js";
import { createRowReader, type ReadStyle, type RowReader } from "./row-reader.js";
import { isSameSums } from "./row-records.js";
import { jumpFrom, readLeaderStretch, readRows, readSums, type Stretch } from "./row-stretch.js";

/** A partition that has a leader. */
type Led = RowTask & { readonly leader: Endpoint };

/** The rules of a comparison. */
export interface RowRules {
  readonly liveRule: typeof liveRule;
  readonly provenDifferences: typeof provenDifferences;
}

/** The options of a comparison. */
export interface CompareOptions extends ReadStyle {
  readonly rules: RowRules;
  /** Rows of each index to compare; undefined for all. */
  readonly sampleRows: number | undefined;
  /** A random number from 0 to 1, exclusive, which determines the sample. */
  readonly random: () => number;
}

/** The number of segments of a table that does not report it (OpenMLDB 0.9: MemTable::MemTable). */
const DEFAULT_SEGMENTS = 8;
/** Number of times that a stretch is read again to find out whether it differs. */
const ATTEMPTS = 3;
/** Limit in milliseconds for a follower to reach the offset that its leader had. */
const REACH_MS = 20_000;
const REACH_POLL_MS = 200;
/** Limit of rows of one stretch that are kept in memory, for each replica and each time that it is read. */
const HELD_MAX = 40_000;
/** Number of rows that are named in each group. */
const EXAMPLES_MAX = 5;
/**
 * A sample is read at this many positions, or at fewer if each of them would have too few rows for a call.
 */
const SAMPLE_PLACES = 16;
const SAMPLE_ROWS_MIN = 8;
const SAMPLE_ROWS_MAX = 1_000;
/** Limit of the positions of a sample. */
const SAMPLE_STRETCHES_MAX = 10_000;
/** After this many stretches that could not be compared, the rest of the partition is skipped. */
const UNDECIDED_MAX = 3;

/**
 * Compares the rows of every follower of a partition with the leader's, index by index, stretch by
 * stretch: sums of row hashes first, and single rows where the sums differ. Memory does not grow with
 * the table.
 *
 * Clients may write meanwhile. Rows that were written or expired while a stretch was read are
 * distinguished from differing rows by reading it again, each follower only after it has reached the
 * leader's offset; see `provenDifferences`.
 *
 * @throws The signal's reason on abort. Errors of tablets become reasons why the partition cannot be
 *   compared now, like the missing replicas.
 */
export async function compareRows(task: RowTask, options: CompareOptions): Promise<PartitionRows> {
  const { id, leader, followers, missing } = task;
  const found: Found = {
    rows: 0,
    expired: 0,
    bytes: 0,
    differences: [],
    notWalked: [],
    reasons: [...missing],
  };
  const onRead = (rows: number, bytes: number) => {
    found.bytes += bytes;
    options.onRead(rows, bytes);
  };
  try {
    if (leader !== undefined && followers.length > 0) {
      await compareIndexes({ ...task, leader }, { ...options, onRead }, found);
    }
  } catch (error) {
    options.signal.throwIfAborted();
    if (!(error instanceof OpsError)) throw error;
    found.reasons.push(messageOf(error));
  }
  return {
    ...found,
    id,
    status: statusOf(task, found),
    leader,
    followers,
    isSample: options.sampleRows !== undefined,
  };
}

function statusOf(
  { leader, followers }: RowTask,
  { differences, reasons }: Found,
): PartitionRows["status"] {
  if (differences.length > 0) return "different";
  if (leader === undefined || reasons.length > 0) return "not-comparable";
  return followers.length === 0 ? "single" : "same";
}

/** The results so far. */
interface Found {
  rows: number;
  expired: number;
  bytes: number;
  readonly differences: IndexDifference[];
  readonly notWalked: string[];
  readonly reasons: string[];
}

async function compareIndexes(of: Led, options: CompareOptions, found: Found): Promise<void> {
  const { cluster } = options;
  const { tid, pid } = of.id;
  const schemas: SchemaClaim[] = [];
  for (const endpoint of [of.leader, ...of.followers]) {
    const call = cluster.getTableSchema(endpoint, { tid, pid });
    schemas.push(await untilAborted(call, options.signal));
  }
  const [own] = schemas;
  if (own === undefined) return;
  const other = schemas.findIndex((one) => indexesText(one) !== indexesText(own));
  if (other > 0) {
    const endpoint = of.followers[other - 1];
    found.reasons.push(`${endpoint} has other indexes or TTLs than ${of.leader}`);
    return;
  }
  const { indexes, shared, unknown } = walkedIndexes(own.indexes, of.storageMode);
  for (const one of shared) found.notWalked.push(one);
  for (const one of unknown) found.reasons.push(one);
  const pageRows = samplePageRows(options.sampleRows);
  for (const { name, ttl } of indexes) {
    const segCount = of.storageMode === "memory" ? own.segCount || DEFAULT_SEGMENTS : 1;
    const readers = [of.leader, ...of.followers].map((endpoint) =>
      createRowReader({ endpoint, tid, pid, index: name, segCount }, { ...options, pageRows }),
    );
    const groups = await compareIndex(of, { ...options, name, ttl, readers }, found);
    if (groups.length > 0) found.differences.push({ index: name, groups });
  }
}

function samplePageRows(sampleRows: number | undefined): number | undefined {
  if (sampleRows === undefined) return undefined;
  const each = Math.ceil(sampleRows / SAMPLE_PLACES);
  return Math.min(SAMPLE_ROWS_MAX, Math.max(SAMPLE_ROWS_MIN, each));
}

function indexesText({ indexes, segCount }: SchemaClaim): string {
  const text = indexes.map(({ name, columns, isDeleted, ttl }) =>
    [name, columns, isDeleted, ttl.kind, ttl.absMs, ttl.latest].join("\0"),
  );
  return [segCount || DEFAULT_SEGMENTS, ...text].join("\n");
}

/** An index to be compared. */
interface IndexOptions extends CompareOptions {
  readonly name: string | undefined;
  readonly ttl: Ttl;
  /** The leader's reader first. */
  readonly readers: readonly RowReader[];
}

async function compareIndex(
  of: Led,
  options: IndexOptions,
  found: Found,
): Promise<readonly RowGroup[]> {
  const { sampleRows = Number.POSITIVE_INFINITY, name } = options;
  const groups: RowGroup[] = [];
  let place: Pick<Stretch, "from" | "rank"> = { from: undefined, rank: 0 };
  let compared = 0;
  let undecided = 0;
  let known: RowPosition | undefined;
  let stretches = 0;
  for (;;) {
    const { rows, expired, next, outcome } = await compareStretch(of, options, place);
    found.rows += rows;
    found.expired += expired;
    compared += rows + expired;
    stretches += 1;
    if (typeof outcome === "string") {
      undecided += 1;
      found.reasons.push(`${name === undefined ? "" : `index ${name}: `}${outcome}`);
    } else {
      mergeGroups(groups, outcome);
    }
    if (compared >= sampleRows || undecided >= UNDECIDED_MAX) return groups;
    if (options.sampleRows === undefined) {
      if (next === undefined) return groups;
      place = next;
    } else {
      // A random position can lie after the last row.
      known = next?.from ?? known;
      if (known === undefined || stretches >= SAMPLE_STRETCHES_MAX) return groups;
      place = { from: jumpFrom(place.from, known, options.random), rank: 0 };
    }
  }
}

/** The result of one stretch: the rows that differ, or why they cannot be determined. */
type Outcome = readonly RowGroup[] | string;

async function compareStretch(
  of: Led,
  options: IndexOptions,
  place: Pick<Stretch, "from" | "rank">,
) {
  const { cluster, readers, rules, ttl } = options;
  const [leader, ...followers] = readers as [RowReader, ...RowReader[]];
  const rule = knownRule(rules.liveRule(ttl, cluster.clock.wallTime()));
  const { sums, expired, stretch, next } = await readLeaderStretch(leader, place, rule);
  let outcome: Outcome = [];
  for (const follower of followers) {
    const its = await readSums(follower, stretch, rule);
    if (isSameSums(sums, its.sums)) continue;
    outcome = await findDifferences(of, options, stretch);
    break;
  }
  return { rows: sums.rows, expired, next, outcome };
}

/**
 * Reads a stretch again, with the waits that distinguish differing rows from rows that were written or
 * expired meanwhile.
 */
async function findDifferences(of: Led, options: IndexOptions, stretch: Stretch): Promise<Outcome> {
  let outcome: Outcome = "";
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    outcome = await readTwice(of, options, stretch);
    if (typeof outcome !== "string") return outcome;
  }
  return outcome;
}

async function readTwice(of: Led, options: IndexOptions, stretch: Stretch): Promise<Outcome> {
  const { cluster, readers, rules, ttl, signal } = options;
  const [leader, ...followers] = readers as [RowReader, ...RowReader[]];
  const began = cluster.clock.now();
  const rule = knownRule(rules.liveRule(ttl, cluster.clock.wallTime()));
  const readings = new Map<RowReader, Reading[]>(readers.map((one) => [one, []]));
  for (let time = 1; time <= 2; time += 1) {
    for (const reader of [leader, ...followers]) {
      const rows = await readRows(reader, stretch, rule, HELD_MAX);
      if (rows === undefined) return `more than ${HELD_MAX} rows have one key and timestamp`;
      readings.get(reader)?.push(rows);
      if (reader !== leader) continue;
      const late = await waitForFollowers(cluster, of, signal);
      if (late !== undefined) return late;
    }
  }
  if (cluster.clock.now() - began > rule.holdsMs) return "rows expire faster than they can be read";
  const { groups, ambiguous } = rules.provenDifferences(
    readers.map((reader) => {
      const [first = new Map(), second = new Map()] = readings.get(reader) ?? [];
      return { endpoint: reader.endpoint, first, second };
    }),
    EXAMPLES_MAX,
  );
  if (groups.length === 0 && ambiguous > 0) {
    return `${ambiguous} rows differ, but share their timestamp with other rows of their key; OpenMLDB keeps ${rule.latest} rows of a key, so replicas may keep different ones`;
  }
  return groups;
}

function knownRule(rule: ReturnType<typeof liveRule>) {
  if (rule === undefined) throw refused("the TTL is not known");
  return rule;
}

/**
 * Waits until every follower holds what the leader holds now.
 *
 * @returns Why this cannot be awaited, or undefined.
 */
async function waitForFollowers(
  cluster: Cluster,
  { id: { tid, pid }, leader, followers }: Led,
  signal: AbortSignal,
): Promise<string | undefined> {
  const reportOf = async (endpoint: Endpoint): Promise<ReplicaReport | undefined> => {
    const call = cluster.getTableStatus(endpoint, { tid, pid });
    const reports = await untilAborted(call, signal);
    return reports.find((one) => one.tid === tid && one.pid === pid);
  };
  const own = await reportOf(leader);
  if (own?.role !== "leader") return `${leader} is no longer the leader of the partition`;
  const until = cluster.clock.now() + REACH_MS;
  for (const endpoint of followers) {
    for (;;) {
      const its = await reportOf(endpoint);
      if (its === undefined) return `${endpoint} no longer has the partition loaded`;
      if (its.offset >= own.offset) break;
      if (cluster.clock.now() >= until) {
        return `${endpoint} is at offset ${its.offset} and did not reach ${own.offset}, where ${leader} was, within ${REACH_MS / 1_000} s`;
      }
      await cluster.clock.sleep(REACH_POLL_MS, signal);
    }
  }
  return undefined;
}

function mergeGroups(groups: RowGroup[], more: readonly RowGroup[]): void {
  for (const one of more) {
    const at = groups.findIndex(
      (other) =>
        other.isCopy === one.isCopy &&
        other.have.join() === one.have.join() &&
        other.lack.join() === one.lack.join(),
    );
    const known = groups[at];
    if (known === undefined) {
      groups.push(one);
    } else {
      groups[at] = {
        ...known,
        rows: known.rows + one.rows,
        examples: [...known.examples, ...one.examples].slice(0, EXAMPLES_MAX),
      };
    }
  }
}
