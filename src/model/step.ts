import type { Endpoint, OpStatus, PartitionId, Role } from "./cluster-state.js";
import { tableName } from "./partition-name.js";

/** A step that acts on a partition as a whole. */
interface OfPartition {
  readonly id: PartitionId;
  readonly endpoint?: undefined;
  /** The reason, for display only: the code of a problem, or part of a sentence. No code depends on it. */
  readonly why: string;
}

/** A step that acts on one replica. */
interface OfReplica extends Omit<OfPartition, "endpoint"> {
  readonly endpoint: Endpoint;
}

/** A step that acts on a whole tablet. */
interface OfTablet extends Omit<OfReplica, "id"> {
  readonly id?: undefined;
}

/** A step that acts on the nameserver's ops. */
interface OfOps extends Omit<OfPartition, "id"> {
  readonly id?: undefined;
}

/** The ended ops that DeleteOP removes from the list: one, or all with a status and an id of at most `upTo`. */
export type DeletedOps =
  | { readonly op: bigint }
  | { readonly status: OpStatus; readonly upTo: bigint };

/** Parameters of a RecoverTable step. */
interface RecoverTableFields extends OfReplica {
  /** True if known entries of it may be discarded: by the operator's decision, or because its disk is empty. */
  readonly acceptsLoss?: boolean;
  /** True if the leader replicates to it but it does not catch up, so that RecoverTable must not wait for that. */
  readonly isForced?: boolean;
  /** True if the operator requested it although the replica is healthy. */
  readonly isWanted?: boolean;
  /** True if its log is not proven to be a prefix of the leader's, so that RecoverTable must not keep it. */
  readonly isCopy?: boolean;
  /** The newest term before the leader was changed in the same plan; see `discardedBy`. */
  readonly since?: bigint | undefined;
}

/** Parameters of a rejoin step. */
interface RejoinFields extends Pick<RecoverTableFields, keyof OfReplica | "acceptsLoss" | "since"> {
  /** True if it led in the term `since`, so that its log belongs to the history up to the next leadership. */
  readonly wasLeader?: boolean;
}

/** Distinct pids of a table in ascending order, or `all`. */
export type PidList = readonly number[] | "all";

/** The kinds of steps and their parameters. `src/steps/table.ts` defines what each of them does. */
interface StepFields {
  /** Waits until the partition's active ops, which another client requested, have ended. */
  "wait-ops": OfPartition;
  /** Waits until a load that another client requested has ended. */
  "wait-load": OfReplica;
  /** Waits until a follower that the leader replicates to reaches the leader's offset. */
  "wait-sync": OfReplica;
  /** LoadTable with mode follower, so that the replica reports its true offset. Changes no data. */
  "load-follower": OfReplica;
  /** LoadTable with mode leader and the newest term; waits until normal. */
  "load-leader": OfReplica;
  /** LoadTable in a role that the operator chose; `least` is the smallest offset that it must have then. */
  "load-table": OfReplica & { readonly role: Role; readonly least: bigint };
  /** ChangeRole to follower; `isDecided`: by the operator's decision also of the current leader. */
  demote: OfReplica & { readonly isDecided: boolean };
  /** ChangeRole to leader with the newest term and the followers that it may replicate to. */
  promote: OfReplica & { readonly followers: readonly Endpoint[] };
  /** ChangeRole to leader, with the newest term, of a loaded follower that the record flags leader. */
  "change-role": OfReplica;
  /**
   * SetTablePartition: in the record only this replica and the ex-leaders in `keepsFlag` are flagged leader, and
   * the replicas in `alive` are flagged alive.
   */
  "set-flags": OfReplica & {
    readonly alive: readonly Endpoint[];
    readonly keepsFlag?: readonly Endpoint[];
  };
  /** UpdateTableAliveStatus to no; `mayLead`: also if the replica leads. */
  "mark-dead": OfReplica & { readonly mayLead: boolean };
  /** UpdateTableAliveStatus to yes; `role`: the role that it must run in; `checks`: what is checked before. */
  "mark-alive": OfReplica & {
    readonly role: Role;
    readonly checks: "nothing" | "role" | "health";
  };
  /** UpdateTableAliveStatus of all replicas of a table on a tablet; `isForced`: without checks. */
  "mark-table": OfTablet & {
    readonly db: string;
    readonly table: string;
    readonly tid: number;
    readonly pids: readonly number[];
    readonly isAlive: boolean;
    readonly isForced: boolean;
  };
  /** AddReplica at the leader; waits until the follower has reached the offset that the leader had. */
  replicate: OfReplica;
  /** RecoverSnapshot of a replica left in kSnapshotPaused. */
  "recover-snapshot": OfReplica;
  /** RecoverTable of a follower; waits for the end of its op and child ops. */
  "recover-table": RecoverTableFields;
  /**
   * Makes a replica a healthy follower again: the leader replicates to it if its log is a prefix of the
   * leader's, otherwise RecoverTable copies the leader's data. See `planRejoin`.
   */
  rejoin: RejoinFields;
  /**
   * ChangeLeader with a candidate: begins a new term. `from`: the leader before, undefined if there is none.
   * `offset`: the offset that the candidate must have exactly, undefined if any will do. `lastSeen`: the offset
   * that the plan proved of a leader that is unreachable (see `LossEvidence`).
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
   * SetTablePartition without a replica whose tablet is gone; `acceptsLoss`: by the operator's decision also if
   * it is known to have held entries that the leader lacks.
   */
  "remove-from-record": OfReplica & { readonly acceptsLoss: boolean };
  /** SetTablePartition with a replica moved to another tablet, which was verified to hold it. */
  "move-in-record": OfReplica & { readonly to: Endpoint };
  /** Migrate of a follower to another tablet. */
  migrate: OfReplica & { readonly to: Endpoint };
  /** Marks a replica not alive and removes it from its leader's replication list. */
  "offline-replica": OfReplica;
  /** OfflineEndpoint; `concurrency`: the number of nameserver queues to use, undefined for its default. */
  "offline-endpoint": OfTablet & { readonly concurrency: number | undefined };
  /** RecoverEndpoint; `concurrency` as above. */
  "recover-endpoint": OfTablet & { readonly concurrency: number | undefined };
  /** CancelOP. */
  "cancel-op": OfOps & { readonly op: bigint };
  /** DeleteOP. */
  "delete-op": OfOps & { readonly ops: DeletedOps };
}

/** The kind of a step, named after OpenMLDB's call where there is one. */
export type StepKind = keyof StepFields;

/**
 * One change to a cluster, or one wait, as plain data that can be displayed, saved, compared and executed.
 * `Step<K>` is a step of kind K.
 */
export type Step<K extends StepKind = StepKind> = {
  [Kind in K]: { readonly kind: Kind } & StepFields[Kind];
}[K];

/**
 * The name of a step in reports of planned operations: its kind, except that `mark-table` is reported as
 * `mark-alive` or `mark-dead`, and `offline-replica` as `offline-endpoint`.
 */
export function verbOf(step: Step): string {
  if (step.kind === "mark-table") return step.isAlive ? "mark-alive" : "mark-dead";
  return step.kind === "offline-replica" ? "offline-endpoint" : step.kind;
}

/** The parameters of a step other than its kind, partition and replica, as text by name. */
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

/** Pids in the syntax of `--pid`, such as `0,2,5-7`. @param pids In ascending order. */
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
