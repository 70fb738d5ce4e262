import type { Endpoint } from "../model/cluster-state.js";
import type { RowGroup, RowPosition } from "../model/rows.js";

/** A row as it was read from one replica. */
export interface HeldRow extends RowPosition {
  /** How many copies of the row (same key, timestamp and bytes) the replica has. */
  copies: number;
  /** True if it is among the last rows of its key that the table's limit by number keeps. */
  readonly isLastKept: boolean;
}

/** All rows of a stretch of an index that one replica had at one time, by their hash. */
export type Reading = ReadonlyMap<string, HeldRow>;

/** The two readings of one replica. */
export interface ReadTwice {
  readonly endpoint: Endpoint;
  readonly first: Reading;
  readonly second: Reading;
}

/** The differences that the readings prove. */
export interface ProvenDifferences {
  readonly groups: readonly RowGroup[];
  /**
   * The number of rows that differ without being wrong: of several rows with one key and timestamp,
   * replicas may keep different ones if the number of rows is limited.
   */
  readonly ambiguous: number;
}

/**
 * Compares a stretch of an index that was read in this order: the leader; each follower after it had
 * reached the leader's offset of that moment; the leader again; each follower again, after the same
 * wait.
 *
 *     leader has what a follower lacks:  min(L1, L2) > max(F1, F2)
 *     a follower has what the leader lacks:  min(F1, F2) > max(L1, L2)
 *
 * A row that was written meanwhile is in no first reading, or in the second reading of the other side.
 * A row that expired or was deleted meanwhile is missing in a second reading. So neither is taken for a
 * difference.
 *
 * @param replicas The leader first.
 * @param examplesMax The greatest number of rows named in each group.
 */
export function provenDifferences(
  replicas: readonly ReadTwice[],
  examplesMax: number,
): ProvenDifferences {
  const [leader, ...followers] = replicas;
  if (leader === undefined) return { groups: [], ambiguous: 0 };
  const found = differingRows(leader, followers);
  const swapped = swappedPositions(found);
  const groups = new Map<string, Group>();
  let ambiguous = 0;
  for (const { row, have, lack, isCopy, rows } of found) {
    if (row.isLastKept && swapped.has(positionKey(row))) {
      ambiguous += rows;
      continue;
    }
    const key = JSON.stringify([have, lack, isCopy]);
    const group = groups.get(key) ?? { have, lack, isCopy, rows: 0, examples: [] };
    groups.set(key, group);
    group.rows += rows;
    if (group.examples.length < examplesMax) group.examples.push({ pk: row.pk, ts: row.ts });
  }
  return { groups: [...groups.values()], ambiguous };
}

interface Group extends RowGroup {
  rows: number;
  readonly examples: RowPosition[];
}

/** A row of which replicas have different numbers of copies. */
interface DifferingRow {
  readonly row: HeldRow;
  readonly have: readonly Endpoint[];
  readonly lack: readonly Endpoint[];
  readonly isCopy: boolean;
  readonly rows: number;
}

function differingRows(leader: ReadTwice, followers: readonly ReadTwice[]): DifferingRow[] {
  const rows = new Map<string, HeldRow>();
  for (const { first } of [leader, ...followers]) {
    for (const [hash, row] of first) if (!rows.has(hash)) rows.set(hash, row);
  }
  const found: DifferingRow[] = [];
  for (const [hash, row] of rows) {
    const own = copiesOf(leader, hash);
    const more: Endpoint[] = [];
    const less: Endpoint[] = [];
    let surplus = 0;
    let fewest = own.most;
    for (const follower of followers) {
      const its = copiesOf(follower, hash);
      if (own.least > its.most) less.push(follower.endpoint);
      else if (its.least > own.most) more.push(follower.endpoint);
      else continue;
      surplus = Math.max(surplus, own.least - its.most, its.least - own.most);
      fewest = Math.min(fewest, its.most);
    }
    if (surplus === 0) continue;
    // A replica with as many copies as the leader is listed on the leader's side.
    const like = followers.map((one) => one.endpoint).filter((one) => !more.includes(one));
    const isLeaderAhead = more.length === 0;
    const alike = [leader.endpoint, ...like.filter((one) => !less.includes(one))];
    found.push({
      row,
      have: isLeaderAhead ? alike : more,
      lack: isLeaderAhead ? less : [...alike, ...less],
      isCopy: fewest > 0,
      rows: surplus,
    });
  }
  return found;
}

function copiesOf({ first, second }: ReadTwice, hash: string): { least: number; most: number } {
  const a = first.get(hash)?.copies ?? 0;
  const b = second.get(hash)?.copies ?? 0;
  return { least: Math.min(a, b), most: Math.max(a, b) };
}

/** The keys and timestamps at which two replicas each have a row that the other lacks. */
function swappedPositions(found: readonly DifferingRow[]): ReadonlySet<string> {
  const sides = new Map<string, string>();
  const swapped = new Set<string>();
  for (const { row, have } of found) {
    const key = positionKey(row);
    const side = have.join();
    if ((sides.get(key) ?? side) !== side) swapped.add(key);
    sides.set(key, side);
  }
  return swapped;
}

function positionKey({ pk, ts }: RowPosition): string {
  return `${ts}/${Buffer.from(pk).toString("latin1")}`;
}
