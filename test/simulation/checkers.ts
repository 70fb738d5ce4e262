import { type OPInfo, OPType, TaskStatus } from "../../src/gen/openmldb/api_pb.js";
import type { TablePartition } from "../../src/gen/openmldb/nameserver_pb.js";
import { FOREIGN_WRITER } from "../../src/sandbox/model/model-absence.js";
import { complaints } from "../../src/sandbox/model/model-health.js";
import { isServing } from "../../src/sandbox/model/replica.js";
import { lastOffset, type Run, rowCount, subtract } from "../../src/sandbox/model/runs.js";
import type { QueuedOp } from "../../src/sandbox/nameserver/ops.js";
import { foreignTabletCalled, mayPrecedeIdentification } from "./foreign-tablets.js";
import {
  acceptsWrites,
  dirAt,
  findPart,
  heldOf,
  intersect,
  loadedAt,
  nameInFaults,
  type Part,
  partsOf,
  seemsForeign,
  surviving,
} from "./partitions.js";
import { describe, type Mutation, modeOf, type World } from "./world.js";

/** The names of the checkers; docs/invariants.md gives the invariant that each one checks. */
export const CHECKERS = [
  "one-writer",
  "one-leader-made",
  "no-row-lost",
  "best-log-leads",
  "one-history",
  "healthy-untouched",
  "op-not-repeated",
  "auto-failover-kept",
  "stops-in-time",
  "bounded",
  "true-verdict",
  "true-reason",
  "converges",
  "same-entries",
  "nothing-left-to-do",
  "plan-kept",
  "foreign-tablet-untouched",
  "rows-agree",
  "loss-named",
  "done-or-refused",
  "advice-leads-on",
  "command-complete",
] as const;

/** One of {@link CHECKERS}. */
export type Checker = (typeof CHECKERS)[number];

/** An event that must never happen, and happened. */
export interface Violation {
  readonly checker: Checker;
  readonly at: number;
  readonly what: string;
}

/** Checks a world. It reads the model only and shares no code with the tool. */
export class Checks {
  readonly #world: World;
  readonly violations: Violation[] = [];
  /** Acknowledged rows of the surviving history that a disk held: at least one disk must keep them. */
  readonly #protectedRows = new Map<string, Run[]>();
  /**
   * The ops that the tool asked the nameserver to queue, each with the newest op id before the request.
   */
  readonly #asked: { readonly key: string; readonly endpoint: string; readonly after: bigint }[] =
    [];
  /** Partitions whose leader the operator named with --accept_data_loss. */
  readonly #decided = new Set<string>();
  /** Tablets that the operator declared lost. */
  readonly #lost = new Set<string>();
  #checkedAt = 0;
  readonly isDocumented: boolean;
  /** Rows that RecoverTable itself removed, with the documented method; see {@link Checks.checkRows}. */
  documentedLosses = 0;

  /** @param documented Counts rows that RecoverTable itself removes, which are a violation otherwise. */
  constructor(world: World, documented: boolean) {
    this.#world = world;
    this.isDocumented = documented;
  }

  addViolation(checker: Checker, what: string): void {
    // Equal violations repeat after every event.
    if (this.violations.some((one) => one.checker === checker && one.what === what)) return;
    this.violations.push({ checker, at: this.#world.clock.now(), what });
    this.#world.note(`VIOLATION ${checker}: ${what}`);
  }

  /** Called after every event of the model. */
  afterEvent(): void {
    const { model } = this.#world;
    if (model.leader === undefined) return;
    for (const of of partsOf(model)) {
      const writers = of.part.partitionMeta.filter((meta) => acceptsWrites(model, of, meta));
      if (writers.length < 2) continue;
      const names = writers.map((meta) => meta.endpoint).join(" and ");
      this.addViolation("one-writer", `${of.name}: ${names} both accept writes`);
    }
  }

  /** Records the rows that must be kept: before the first run, and again after a fault removed or added rows. */
  recordRows(): void {
    const { model } = this.#world;
    for (const of of partsOf(model)) {
      const acknowledged = surviving(of.part, model.ledger.of(of.id));
      this.#protectedRows.set(of.name, intersect(acknowledged, heldOf(model, of)));
    }
  }

  /** The operator gives up the rows of a partition that `endpoint` does not hold. The rows that it holds must be kept. */
  accept(of: Part, endpoint: string): void {
    this.#decided.add(of.name);
    const { model } = this.#world;
    const own = dirAt(model, of, endpoint)?.runs ?? [];
    this.#protectedRows.set(of.name, intersect(this.#protectedRows.get(of.name) ?? [], own));
  }

  /** The operator decided on this partition: calls may change its healthy replicas. */
  decide(of: Part): void {
    this.#decided.add(of.name);
  }

  /** The operator declares a tablet lost: a new leader need not hold rows that only this tablet holds. */
  lose(endpoint: string): void {
    this.#lost.add(endpoint);
    for (const of of partsOf(this.#world.model)) {
      if (of.part.partitionMeta.some((meta) => meta.endpoint === endpoint)) this.decide(of);
    }
  }

  /** No acknowledged row that a disk held is missing on all disks. */
  checkRows(): void {
    const { model } = this.#world;
    if (model.leader === undefined) return;
    for (const of of partsOf(model)) {
      // An election of OpenMLDB's own gives rows up with its new term; the tool begins no term without one.
      const protectedRows = surviving(of.part, this.#protectedRows.get(of.name) ?? []);
      const lost = subtract(protectedRows, heldOf(model, of));
      if (lost.length === 0) continue;
      const rows = rowCount(lost);
      const span = lost.map((run) => `${run.from}-${run.to}`).join(", ");
      this.#protectedRows.set(of.name, subtract(protectedRows, lost));
      if (this.#hasOpOfOthers(of) || this.unknowable.has(of.name)) continue;
      if (this.isDocumented) this.documentedLosses += rows;
      else
        this.addViolation(
          "no-row-lost",
          `${of.name}: ${rows} acknowledged rows (${span}) are gone`,
        );
      if (this.isDocumented)
        this.#world.note(`the documented method lost ${rows} rows of ${of.name}`);
    }
    this.#checkedAt = this.#world.clock.now();
  }

  /** Whether an op that the tool did not request is active on the partition, or was since the last check. */
  #hasOpOfOthers(of: Part): boolean {
    const ops = this.#world.model.leader?.ops.list() ?? [];
    const own = new Set(ops.filter((op) => this.#isToolOp(op)).map((op) => op.info.opId));
    return ops.some(
      ({ info }) =>
        isOpOf(info, of) &&
        !(own.has(info.opId) || own.has(info.parentId)) &&
        (isActive(info) ||
          this.#world.hasSetNameserverClock ||
          Number(info.endTime) * 1000 >= this.#checkedAt - 1_000),
    );
  }

  #isToolOp({ info, data }: QueuedOp): boolean {
    return this.#asked.some(
      (one) =>
        one.after < info.opId &&
        one.key === `${info.db}.${info.name}:${info.pid}` &&
        (info.opType === OPType.kChangeLeaderOP || one.endpoint === data.endpoint),
    );
  }

  /** No offset stands for two different rows of one term: no call could distinguish them. */
  checkHistories(): void {
    const { model } = this.#world;
    for (const of of partsOf(model)) {
      const logs = of.part.partitionMeta.map((meta) => ({
        endpoint: meta.endpoint,
        runs: dirAt(model, of, meta.endpoint)?.runs ?? [],
      }));
      if (logs.some(({ runs }) => runs.some((run) => run.writer === FOREIGN_WRITER))) {
        // The tool made no call there (`foreign-tablet-untouched`): the nameserver elected that tablet or copied from it.
        this.unknowable.add(of.name);
        this.diverged.add(nameInFaults(of));
      }
      const forked = logs.some((one) =>
        logs.some((other) => one !== other && isForked(one.runs, other.runs)),
      );
      if (forked && !this.#forkedBefore.has(of.name) && !this.unknowable.has(of.name)) {
        this.addViolation(
          "one-history",
          `${of.name}: two replicas hold different rows under one term`,
        );
      }
    }
  }

  /**
   * A replica that is made leader holds every row of the surviving history that is discoverable. Rows that only an unreachable
   * tablet holds are not required, since no call shows them: such a partition is counted as unknowable, which is no violation.
   */
  #checkNewLeader(of: Part, endpoint: string, mutation: Mutation): void {
    const { model } = this.#world;
    const own = dirAt(model, of, endpoint)?.runs ?? [];
    if (this.#withHoles.has(`${of.name} ${endpoint}`)) {
      this.unknowable.add(of.name);
      this.#world.note(`${of.name}: the log of the new leader ${endpoint} has a hole`);
    }
    for (const meta of of.part.partitionMeta) {
      if (meta.endpoint === endpoint || this.#lost.has(meta.endpoint)) continue;
      const its = intersect(
        this.#protectedRows.get(of.name) ?? [],
        dirAt(model, of, meta.endpoint)?.runs ?? [],
      );
      const more = subtract(surviving(of.part, its), own);
      if (more.length === 0) continue;
      if (!isReadable(this.#world, of, meta.endpoint) && ledLast(of, endpoint)) {
        this.unknowable.add(of.name);
        this.#world.note(
          `${of.name}: ${meta.endpoint} is unreachable and has more than the new leader`,
        );
        continue;
      }
      if (this.unknowable.has(of.name)) continue;
      const what = `${of.name}: ${mutation.method} makes ${endpoint} leader, and ${rowCount(more)} acknowledged rows are on ${meta.endpoint} only`;
      if (this.isDocumented) {
        this.#world.note(`documented method: ${what}`);
        this.#forkedBefore.add(of.name);
      } else this.addViolation("best-log-leads", what);
    }
  }

  /** Partitions that got a leader while the evidence against it was not observable. */
  readonly unknowable = new Set<string>();

  readonly #forkedBefore = new Set<string>();

  /**
   * Records replicas that serve other rows than their leader at the same offset, before the last runs. The ops of auto_failover
   * can leave such replicas, and no call shows it.
   */
  noteDiverged(): void {
    for (const line of partitionFaults(this.#world)) {
      if (line.includes("other entries")) this.diverged.add(line.slice(0, line.indexOf(": ")));
    }
    this.noteHoles();
  }

  /**
   * Records logs on disks that lack rows of the surviving history in their middle: an election gave up the rows that they hold
   * there, and the ops of auto_failover continued the replication from their end.
   */
  noteDivergedDisks(): void {
    const { model } = this.#world;
    for (const of of partsOf(model)) {
      const isDiverged = of.part.partitionMeta.some(({ endpoint }) => {
        const kept = surviving(of.part, dirAt(model, of, endpoint)?.runs ?? []);
        return BigInt(rowCount(kept)) < lastOffset(kept);
      });
      if (isDiverged) this.diverged.add(nameInFaults(of));
    }
  }

  /**
   * Records replicas whose log has a hole. OpenMLDB's leader does not notice that a follower returned with fewer entries, and
   * continues from its old position. Offsets do not show it.
   */
  noteHoles(): void {
    const { model } = this.#world;
    for (const of of partsOf(model)) {
      for (const { endpoint } of of.part.partitionMeta) {
        const dir = dirAt(model, of, endpoint);
        if (dir !== undefined && BigInt(rowCount(dir.runs)) < lastOffset(dir.runs)) {
          this.#withHoles.add(`${of.name} ${endpoint}`);
        }
      }
    }
  }

  readonly #withHoles = new Set<string>();

  /** Partitions whose replicas diverged without the tool, by {@link nameInFaults}; see {@link Checks.noteDiverged}. */
  readonly diverged = new Set<string>();

  /**
   * Records forks that the tool has not caused: those from before its first run, and those of partitions in which it made no
   * leader. The latter appear when clients write to a leader that another client loaded by hand, and that holds less than others.
   */
  noteForks(): void {
    const { model } = this.#world;
    for (const of of partsOf(model)) {
      if (this.#led.has(of.name)) continue;
      const logs = of.part.partitionMeta.map((m) => dirAt(model, of, m.endpoint)?.runs ?? []);
      if (logs.some((one) => logs.some((other) => one !== other && isForked(one, other)))) {
        this.#forkedBefore.add(of.name);
        this.diverged.add(nameInFaults(of));
      }
    }
  }

  /** Partitions in which the tool made a leader. */
  readonly #led = new Set<string>();

  /** Checks a call of the tool right before it leaves. */
  beforeMutation(mutation: Mutation): void {
    const { model } = this.#world;
    const foreign = foreignTabletCalled(this.#world, mutation);
    if (
      foreign !== undefined &&
      !mayPrecedeIdentification(this.#world, foreign, mutation, this.isDocumented)
    ) {
      const what = `${describe(mutation)}, although ${foreign} is a tablet of another cluster`;
      this.addViolation("foreign-tablet-untouched", what);
    }
    if (model.leader === undefined) return;
    const target = targetOf(this.#world, mutation);
    if (target === undefined) return;
    for (const of of target.parts) this.#checkCall(of, target.endpoint, mutation);
  }

  #checkCall(of: Part, endpoint: string, mutation: Mutation): void {
    const { model } = this.#world;
    const makesLeader =
      (mutation.method === "LoadTable" || mutation.method === "ChangeRole") &&
      modeOf(mutation) === 1;
    if (makesLeader) {
      const serving = of.part.partitionMeta.find((meta) => acceptsWrites(model, of, meta));
      if (serving !== undefined && serving.endpoint !== endpoint) {
        this.addViolation(
          "one-leader-made",
          `${of.name}: ${mutation.method} makes ${endpoint} leader beside ${serving.endpoint}`,
        );
      }
    }
    if (makesLeader) {
      this.#led.add(of.name);
      this.#checkNewLeader(of, endpoint, mutation);
    }
    const recovers = mutation.method === "RecoverTable" || mutation.method === "RecoverEndpoint";
    if (recovers || mutation.method === "ChangeLeader") {
      const key = `${of.table.db}.${of.table.name}:${of.part.pid}`;
      const after = model.leader?.ops.list().at(-1)?.info.opId ?? -1n;
      this.#asked.push({ key, endpoint, after });
    }
    // With auto_failover on, the nameserver refuses the call.
    const isAccepted = model.leader?.autoFailover === false;
    if (recovers && isAccepted && hasActiveOp(this.#world, of)) {
      const what = `${of.name}: ${mutation.method} of ${endpoint} while an op runs`;
      this.addViolation("op-not-repeated", what);
    }
    if (isHarmless(mutation) || isThereAlready(this.#world, of, endpoint, mutation)) return;
    // If the operator chose another leader, the serving one has to be replaced.
    if (this.#decided.has(of.name)) return;
    if (isReplicaHealthy(this.#world, of, endpoint)) {
      this.addViolation("healthy-untouched", `${of.name} at ${endpoint}: ${describe(mutation)}`);
    }
  }
}

/** True if this replica alone led last by the record. It has then acknowledged every row. */
function ledLast(of: Part, endpoint: string): boolean {
  const flagged = of.part.partitionMeta.filter((meta) => meta.isLeader);
  const alive = flagged.filter((meta) => meta.isAlive);
  const entitled = alive.length > 0 ? alive : flagged;
  return entitled.length === 1 && entitled[0]?.endpoint === endpoint;
}

/** Whether the rows on a replica's disk are discoverable: its tablet answers, and no load of it failed. */
function isReadable(world: World, of: Part, endpoint: string): boolean {
  if (!isAnswering(world, endpoint)) return false;
  if (loadedAt(world.model, of, endpoint) !== undefined) return true;
  const failed = `${endpoint} load of ${of.table.tid}/${of.part.pid} failed`;
  return !world.model.events.some(({ what }) => what === failed);
}

/** Whether a tablet answers, and is the one of this cluster. */
function isAnswering(world: World, endpoint: string): boolean {
  return (
    !seemsForeign(world.model, endpoint) &&
    world.model.process(endpoint).isAnswering &&
    world.model.leader?.isHealthy(endpoint) === true
  );
}

/** UpdateTableAliveStatus(yes) of an alive replica has no effect. */
function isHarmless(mutation: Mutation): boolean {
  return mutation.method === "UpdateTableAliveStatus" && mutation.request["isAlive"] === true;
}

/**
 * True for a call that is refused before it has any effect, because its result exists already: AddReplica of a follower that the
 * leader replicates to (119), and LoadTable of a replica that another client has loaded (101; OpenMLDB 0.9 tablet: LoadTable
 * searches for the table before it writes anything).
 */
function isThereAlready(world: World, of: Part, endpoint: string, mutation: Mutation): boolean {
  const called = loadedAt(world.model, of, mutation.called);
  if (mutation.method === "LoadTable") return called !== undefined;
  return mutation.method === "AddReplica" && called?.links.has(endpoint) === true;
}

function isForked(one: readonly Run[], other: readonly Run[]): boolean {
  return one.some((run) =>
    other.some(
      (its) =>
        its.term === run.term &&
        its.writer !== run.writer &&
        its.from <= run.to &&
        run.from <= its.to,
    ),
  );
}

/** The replicas that a call concerns. A call that concerns none, such as ConfSet, has no target. */
function targetOf(
  world: World,
  { method, called, request }: Mutation,
): { readonly parts: Part[]; readonly endpoint: string } | undefined {
  const { model } = world;
  const field = (name: string) => request[name];
  if (["UpdateTableAliveStatus", "RecoverTable", "ChangeLeader"].includes(method)) {
    const db = (field("db") as string | undefined) ?? "";
    const endpoint = String(field("endpoint") ?? field("candidateLeader"));
    const parts = partsOf(model).filter(
      ({ table, part }) =>
        table.db === db &&
        table.name === field("name") &&
        (field("pid") === undefined || field("pid") === part.pid) &&
        part.partitionMeta.some((meta) => meta.endpoint === endpoint),
    );
    return { parts, endpoint };
  }
  if (method === "RecoverEndpoint") {
    // An alive single replica gets an op as well, which ends without an effect.
    const endpoint = String(field("endpoint"));
    const parts = partsOf(model).filter(({ part }) =>
      part.partitionMeta.some((meta) => meta.endpoint === endpoint && !meta.isAlive),
    );
    return { parts, endpoint };
  }
  if (method === "SetTablePartition") {
    const part = field("tablePartition") as TablePartition | undefined;
    const db = (field("db") as string | undefined) ?? "";
    const of = findPart(model, { db, table: String(field("name")), pid: part?.pid ?? 0 });
    if (of === undefined || part === undefined) return undefined;
    const changed = part.partitionMeta.find((meta) => {
      const now = of.part.partitionMeta.find((one) => one.endpoint === meta.endpoint);
      // An endpoint that is not on record yet is the new address of a moved tablet: `movetablet`.
      return now !== undefined && (now.isLeader !== meta.isLeader || now.isAlive !== meta.isAlive);
    });
    return changed && { parts: [of], endpoint: changed.endpoint };
  }
  const id = (field("tableMeta") ?? request) as { readonly tid?: number; readonly pid?: number };
  const parts = partsOf(model).filter(
    (of) => of.id.tid === id.tid && of.id.pid === id.pid && model.tablets.has(called),
  );
  if (method === "AddReplica" || method === "DelReplica") {
    return { parts, endpoint: String(field("endpoint")) };
  }
  return { parts, endpoint: called };
}

function hasActiveOp(world: World, of: Part): boolean {
  const ops = world.model.leader?.ops.list() ?? [];
  return ops.some(({ info }) => isOpOf(info, of) && isActive(info));
}

function isOpOf(info: OPInfo, { table, part }: Part): boolean {
  return info.db === table.db && info.name === table.name && info.pid === part.pid;
}

function isActive(info: OPInfo): boolean {
  return info.taskStatus === TaskStatus.kDoing || info.taskStatus === TaskStatus.kInited;
}

/** True if one replica is healthy in the model, and its leader serves. */
function isReplicaHealthy(world: World, of: Part, endpoint: string): boolean {
  const { model } = world;
  const { part } = of;
  if (!part.partitionMeta.some((meta) => acceptsWrites(model, of, meta))) return false;
  const replica = loadedAt(model, of, endpoint);
  if (replica === undefined || !isServing(replica)) return false;
  const prefix = `${nameInFaults(of)}: `;
  return !partitionFaults(world).some(
    (line) => line.startsWith(prefix) && line.slice(prefix.length).startsWith(`${endpoint} `),
  );
}

/** The faults of partitions that the model finds, without those of processes. */
export function partitionFaults(world: World): string[] {
  return complaints(world.model).filter((line) => /\/\d+: /.test(line));
}
