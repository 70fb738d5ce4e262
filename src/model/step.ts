import type { Endpoint, OpStatus, PartitionId, Role } from "./cluster-state.js";
import { tableName } from "./partition-name.js";

/** A step about a partition as a whole. */
interface OfPartition {
  readonly id: PartitionId;
  readonly endpoint?: undefined;
  /** Why it is done, for people: the code of a problem, or half a sentence. Nothing is decided on it. */
  readonly why: string;
}

/** A step about one replica. */
interface OfReplica extends Omit<OfPartition, "endpoint"> {
  readonly endpoint: Endpoint;
}

/** A step about a whole tablet. */
interface OfTablet extends Omit<OfReplica, "id"> {
  readonly id?: undefined;
}

/** A step about the nameserver's ops. */
interface OfOps extends Omit<OfPartition, "id"> {
  readonly id?: undefined;
}

/** Which ended ops DeleteOP takes off the list: one, or all with a status up to the newest that was seen. */
export type DeletedOps =
  | { readonly op: bigint }
  | { readonly status: OpStatus; readonly upTo: bigint };

/** How RecoverTable is asked for. */
interface RecoverTableFields extends OfReplica {
  /** Whether entries known of it may be discarded: on the operator's word, or its disk has none. */
  readonly acceptsLoss?: boolean;
  /** The leader replicates to it and it does not catch up, so waiting again is no use. */
  readonly isForced?: boolean;
  /** Whether it is recovered although it is healthy, on the operator's word. */
  readonly isWanted?: boolean;
  /** Whether nothing proves its log to be a prefix of the leader's, so that RecoverTable must not keep it. */
  readonly isCopy?: boolean;
  /** The newest term before the leader was changed in the same plan; see `discardedBy`. */
  readonly since?: bigint | undefined;
}

/** How a replica is brought back. */
interface RejoinFields extends Pick<RecoverTableFields, keyof OfReplica | "acceptsLoss" | "since"> {
  /** Whether it led in the term `since`, so that its log is of the history up to the next leadership. */
  readonly wasLeader?: boolean;
}

/** Partitions of a table by number, in ascending order and each once; `all` for all of them. */
export type PidList = readonly number[] | "all";

/** The kinds of steps, and what each needs to know. What each does is in `src/steps/table.ts`. */
interface StepFields {
  /** Waits until the partition's ops have ended, which another client began. */
  "wait-ops": OfPartition;
  /** Waits until a load that another client began has ended. */
  "wait-load": OfReplica;
  /** Waits until a follower that the leader replicates to reaches the leader's offset. */
  "wait-sync": OfReplica;
  /** LoadTable with mode follower: a replica that is loaded shows its true offset. Harms nothing. */
  "load-follower": OfReplica;
  /** LoadTable with mode leader and the newest term; waits until normal. */
  "load-leader": OfReplica;
  /** LoadTable in a role that the operator chose; `least` is what it must come up with. */
  "load-table": OfReplica & { readonly role: Role; readonly least: bigint };
  /** ChangeRole to follower; `isDecided`: also of the leader in use, on the operator's word. */
  demote: OfReplica & { readonly isDecided: boolean };
  /** ChangeRole to leader with the newest term and the followers that may follow. */
  promote: OfReplica & { readonly followers: readonly Endpoint[] };
  /** ChangeRole of a loaded follower, which the record flags leader, with the newest term. */
  "change-role": OfReplica;
  /**
   * SetTablePartition: the record names the leader and no other but ex-leaders in `keepsFlag`; `alive` are
   * flagged alive.
   */
  "set-flags": OfReplica & {
    readonly alive: readonly Endpoint[];
    readonly keepsFlag?: readonly Endpoint[];
  };
  /** UpdateTableAliveStatus to no; `mayLead`: also of a replica that leads. */
  "mark-dead": OfReplica & { readonly mayLead: boolean };
  /** UpdateTableAliveStatus to yes; `role` is what it must run as, `checks` how much is looked at. */
  "mark-alive": OfReplica & {
    readonly role: Role;
    readonly checks: "nothing" | "role" | "health";
  };
  /** UpdateTableAliveStatus of all replicas of a table on a tablet; `isForced`: unchecked. */
  "mark-table": OfTablet & {
    readonly db: string;
    readonly table: string;
    readonly tid: number;
    readonly pids: readonly number[];
    readonly isAlive: boolean;
    readonly isForced: boolean;
  };
  /** AddReplica at the leader; waits until the follower has what the leader had. */
  replicate: OfReplica;
  /** RecoverSnapshot of a replica left in kSnapshotPaused. */
  "recover-snapshot": OfReplica;
  /** RecoverTable of a follower; its op and child ops are followed to their end. */
  "recover-table": RecoverTableFields;
  /**
   * Brings a replica back into its partition: the leader replicates to it from its own log where that is a
   * prefix of the leader's, and RecoverTable only copies what is not. See `planRejoin`.
   */
  rejoin: RejoinFields;
  /**
   * ChangeLeader with a candidate: begins a new term. `from` leads before, undefined if no replica
   * does; `offset` is where the candidate must be exactly, undefined if that does not matter;
   * `lastSeen` is what the plan proved of a leader that cannot be asked (see `LossEvidence`).
   */
  "change-leader": OfReplica & {
    readonly from: Endpoint | undefined;
    readonly acceptsLoss: boolean;
    readonly offset?: bigint | undefined;
    readonly lastSeen?: bigint | undefined;
  };
  /** AddReplicaNS. */
  "add-replica": OfReplica;
  /** DelReplicaNS. */
  "del-replica": OfReplica;
  /**
   * SetTablePartition without a replica whose tablet is gone; `acceptsLoss`: also where it is known to
   * have held entries that the leader lacks, on the operator's word.
   */
  "remove-from-record": OfReplica & { readonly acceptsLoss: boolean };
  /** SetTablePartition with a replica at another tablet, where it proved itself. */
  "move-in-record": OfReplica & { readonly to: Endpoint };
  /** Migrate of a follower to another tablet. */
  migrate: OfReplica & { readonly to: Endpoint };
  /** Marks a replica not alive and takes it off its leader's replication list. */
  "offline-replica": OfReplica;
  /** OfflineEndpoint; `concurrency`: the nameserver's queues to use, undefined for its default. */
  "offline-endpoint": OfTablet & { readonly concurrency: number | undefined };
  /** RecoverEndpoint; `concurrency` as above. */
  "recover-endpoint": OfTablet & { readonly concurrency: number | undefined };
  /** CancelOP. */
  "cancel-op": OfOps & { readonly op: bigint };
  /** DeleteOP. */
  "delete-op": OfOps & { readonly ops: DeletedOps };
}

/** What a step does, in OpenMLDB's words. */
export type StepKind = keyof StepFields;

/**
 * One thing that is done to a cluster, or waited for, as plain data: it can be shown, saved, compared
 * and run. With a kind: a step of that kind.
 */
export type Step<K extends StepKind = StepKind> = {
  [Kind in K]: { readonly kind: Kind } & StepFields[Kind];
}[K];

/**
 * The name of a step in reports of planned operations: its kind, where marks of one replica and of a
 * table share a name, and so do a replica and a tablet that go offline.
 */
export function verbOf(step: Step): string {
  if (step.kind === "mark-table") return step.isAlive ? "mark-alive" : "mark-dead";
  return step.kind === "offline-replica" ? "offline-endpoint" : step.kind;
}

/** What a step says beside its kind, its partition and its replica, as text by name. */
export function detailsOf(step: Step): Readonly<Record<string, string>> {
  switch (step.kind) {
    case "change-leader":
      return given({
        from: step.from,
        last_seen: step.lastSeen?.toString(),
        accept_data_loss: step.acceptsLoss ? "true" : undefined,
      });
    case "recover-table":
    case "rejoin":
      return recoveryDetails(step);
    case "remove-from-record":
      return given({ accept_data_loss: step.acceptsLoss ? "true" : undefined });
    case "promote":
      return { followers: step.followers.join(" ") || "none" };
    case "set-flags":
      return given({ alive: step.alive.join(" "), keeps_flag: step.keepsFlag?.join(" ") });
    case "mark-dead":
      return given({ force: step.mayLead ? "yes" : undefined });
    case "mark-alive":
      return given({ force: step.checks === "nothing" ? "yes" : undefined });
    case "mark-table": {
      const { db, table, tid, pids, isForced } = step;
      const of = { db, table, tid: String(tid), pids: pidText(pids) };
      return given({ ...of, force: isForced ? "yes" : undefined });
    }
    case "load-table":
      return { role: step.role, least: String(step.least) };
    case "offline-endpoint":
    case "recover-endpoint":
      return given({ concurrency: step.concurrency?.toString() });
    case "cancel-op":
      return { op: String(step.op) };
    case "delete-op":
      return "op" in step.ops
        ? { op: String(step.ops.op) }
        : { status: step.ops.status, up_to: String(step.ops.upTo) };
    default:
      return {};
  }
}

function recoveryDetails(step: Step<"recover-table" | "rejoin">): Record<string, string> {
  return given({
    since_term: step.since?.toString(),
    accept_data_loss: step.acceptsLoss === true ? "true" : undefined,
    forced: step.kind === "recover-table" && step.isForced === true ? "true" : undefined,
    copy: step.kind === "recover-table" && step.isCopy === true ? "true" : undefined,
  });
}

function given(fields: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(fields).filter((one): one is [string, string] => one[1] !== undefined),
  );
}

/** A step as one line, such as `change-leader db1.t1:0 10.0.0.1:9527 from=10.0.0.2:9527`. */
export function stepText(step: Step): string {
  const { id, endpoint } = step;
  return [
    verbOf(step),
    ...(id === undefined ? [] : [`${tableName(id)}:${id.pid}`]),
    ...(endpoint === undefined ? [] : [endpoint]),
    ...("to" in step ? ["->", step.to] : []),
    ...Object.entries(detailsOf(step)).map(([name, value]) => `${name}=${value}`),
  ].join(" ");
}

/** Pids as `--pid` takes them, such as `0,2,5-7`. @param pids In ascending order. */
export function pidText(pids: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const pid of pids) {
    const last = runs.at(-1);
    if (last?.[1] === pid - 1) last[1] = pid;
    else runs.push([pid, pid]);
  }
  return runs
    .flatMap(([from, to]) => (to - from < 2 ? rangeOf(from, to) : [`${from}-${to}`]))
    .join(",");
}

function rangeOf(from: number, to: number): string[] {
  return from === to ? [String(from)] : [String(from), String(to)];
}
