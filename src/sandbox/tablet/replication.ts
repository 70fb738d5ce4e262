import { TableState } from "../../gen/openmldb/api_pb.js";
import type { Endpoint } from "../../model/cluster-state.js";
import type { ModelOptions } from "../model/model-types.js";
import { isInMemory, isServing, type Link, type LoadedReplica } from "../model/replica.js";
import { type Run, rowCount, slice } from "../model/runs.js";
import type { SandboxClock } from "../model/virtual-clock.js";

/** The parts of a tablet, and of the tablets that it reaches, that replication needs. */
export interface ReplicatingTablet {
  readonly context: {
    readonly clock: SandboxClock;
    readonly options: ModelOptions;
    reachable(endpoint: Endpoint): ReplicatingTablet | undefined;
    isRunning(): boolean;
  };
  replica(tid: number, pid: number): LoadedReplica | undefined;
  write(replica: LoadedReplica, entries: readonly Run[]): void;
  touch(replica: LoadedReplica): void;
}

/** A leader asks a new follower for its offset at once, without waiting for new entries. */
const MATCH_MS = 5;

/**
 * Replicates from all leaders on one tablet to their followers. It is active only while a follower
 * lacks entries: one timer per tablet, none when all are in sync.
 *
 * @see OpenMLDB 0.9: replicate_node.cc, and AppendEntries in tablet_impl.cc
 */
export class Replicator {
  readonly #tablet: ReplicatingTablet;
  /** Leaders with a follower that lacks entries. */
  readonly #behind = new Set<LoadedReplica>();
  #cancel: (() => void) | undefined;
  #dueAt = 0;

  constructor(tablet: ReplicatingTablet) {
    this.#tablet = tablet;
  }

  /** A leader has new entries, or a new follower. */
  wake(replica: LoadedReplica): void {
    if (replica.role !== "leader" || replica.links.size === 0) return;
    this.#behind.add(replica);
    const isNew = [...replica.links.values()].some((link) => !link.isMatched);
    this.#arm(isNew ? MATCH_MS : this.#tablet.context.options.replicationMs);
  }

  forget(replica: LoadedReplica): void {
    this.#behind.delete(replica);
  }

  reset(): void {
    this.#behind.clear();
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #arm(ms: number): void {
    const { clock } = this.#tablet.context;
    const at = clock.now() + ms;
    if (this.#cancel !== undefined && this.#dueAt <= at) return;
    this.#cancel?.();
    this.#dueAt = at;
    this.#cancel = clock.setTimer(ms, () => {
      this.#cancel = undefined;
      this.#tick();
    });
  }

  #tick(): void {
    const { isRunning, options } = this.#tablet.context;
    // A stopped process sends nothing until it continues.
    for (const leader of isRunning() ? [...this.#behind] : []) {
      if (leader.role !== "leader" || this.#replicateAll(leader)) this.#behind.delete(leader);
    }
    if (this.#behind.size > 0) this.#arm(options.replicationRetryMs);
  }

  /** @returns True if every follower has all entries. */
  #replicateAll(leader: LoadedReplica): boolean {
    if (!isServing(leader)) return false;
    let isComplete = true;
    for (const [endpoint, link] of leader.links) {
      if (!this.#replicate(leader, endpoint, link)) isComplete = false;
    }
    return isComplete;
  }

  #replicate(leader: LoadedReplica, endpoint: Endpoint, link: Link): boolean {
    const tablet = this.#tablet.context.reachable(endpoint);
    const follower = tablet?.replica(leader.tid, leader.pid);
    if (tablet === undefined || follower === undefined) return false;
    // AppendEntries is refused while loading, by a leader, and for an older term.
    if (follower.state === TableState.kTableLoading || follower.role === "leader") return false;
    if (leader.term < follower.term) return false;
    if (!link.isMatched) {
      follower.term = leader.term;
      link.sent = follower.offset;
      link.isMatched = true;
    }
    if (link.sent >= leader.offset) return true;
    const entries = slice(leader.dir.runs, link.sent, leader.offset);
    const hasNext = leader.dir.binlogFrom <= link.sent + 1n && entries[0]?.from === link.sent + 1n;
    // The leader's binlog begins later: nothing is ever sent.
    if (!hasNext) return false;
    receive(tablet, follower, slice(entries, follower.offset, leader.offset));
    link.sent = leader.offset;
    return true;
  }
}

/**
 * A follower receives entries. Before its load starts (state undefined) it begins with no entries:
 * memory gets rows that the load then adds again, so rows are there twice.
 */
function receive(
  tablet: ReplicatingTablet,
  follower: LoadedReplica,
  entries: ReturnType<typeof slice>,
): void {
  if (follower.state === TableState.kTableUndefined) {
    // On disk a row replaces one with its key and timestamp.
    if (isInMemory(follower)) follower.extraRows += rowCount(entries);
    const last = entries.at(-1)?.to ?? follower.offset;
    tablet.write(follower, slice(entries, follower.dir.offset, last));
    follower.offset = last;
    tablet.touch(follower);
    return;
  }
  tablet.write(follower, entries);
}
