import { TableState } from "../../gen/openmldb/api_pb.js";
import type { Endpoint } from "../../model/cluster-state.js";
import type { ModelOptions } from "../model/model-types.js";
import { isInMemory, isServing, type Link, type LoadedReplica } from "../model/replica.js";
import { type Run, rowCount, slice } from "../model/runs.js";
import type { SandboxClock } from "../model/virtual-clock.js";

/** What replication needs of a tablet, and of the tablets that it reaches. */
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

/** A leader asks a new follower for its offset at once, and does not wait for something to send. */
const MATCH_MS = 5;

/**
 * Replicates from all leaders on one tablet to their followers. It works only while a follower lacks
 * something: one timer per tablet, none when all is in sync.
 *
 * @see OpenMLDB 0.9: replicate_node.cc, and AppendEntries in tablet_impl.cc
 */
export class Replicator {
  readonly #tablet: ReplicatingTablet;
  /** Leaders with a follower that lacks something. */
  readonly #behind = new Set<LoadedReplica>();
  #cancel: (() => void) | undefined;
  #dueAt = 0;

  constructor(tablet: ReplicatingTablet) {
    this.#tablet = tablet;
  }

  /** A leader has something new to send, or a new follower to send to. */
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
    // A stopped process sends nothing; it goes on when it is continued.
    for (const leader of isRunning() ? [...this.#behind] : []) {
      if (leader.role !== "leader" || this.#replicateAll(leader)) this.#behind.delete(leader);
    }
    if (this.#behind.size > 0) this.#arm(options.replicationRetryMs);
  }

  /** @returns Whether every follower has everything. */
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
    // The refusals of AppendEntries: loading, itself a leader, a leadership older than one it knows.
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
    // The leader's binlog begins later: nothing is sent, for ever.
    if (!hasNext) return false;
    receive(tablet, follower, slice(entries, follower.offset, leader.offset));
    link.sent = leader.offset;
    return true;
  }
}

/**
 * A follower takes entries. Before its load has begun (state undefined) it starts from nothing:
 * memory gets rows that the load then brings again, which is how rows come to be there twice.
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
