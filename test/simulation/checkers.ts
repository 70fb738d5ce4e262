import { type OPInfo, OPType, TaskStatus } from "../../src/gen/openmldb/api_pb.js";
import type { TablePartition } from "../../src/gen/openmldb/nameserver_pb.js";
import { FOREIGN_WRITER } from "../../src/sandbox/model/model-absence.js";
import { complaints } from "../../src/sandbox/model/model-health.js";
import { isServing } from "../../src/sandbox/model/replica.js";
import { lastOffset, type Run, rowCount, subtract } from "../../src/sandbox/model/runs.js";
import type { QueuedOp } from "../../src/sandbox/nameserver/ops.js";
import {
  acceptsWrites,
  complaintName,
  dirAt,
  findPart,
  heldOf,
  intersect,
  loadedAt,
  type Part,
  partsOf,
  seemsStrange,
  surviving,
} from "./partitions.js";
import { comesFirst, strangerOf } from "./strangers.js";
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
  "stranger-untouched",
  "rows-agree",
  "loss-named",
  "done-or-refused",
  "advice-leads-on",
  "command-complete",
] as const;

/** One of {@link CHECKERS}. */
export type Checker = (typeof CHECKERS)[number];

/** Something that must never happen, and happened. */
export interface Violation {
  readonly checker: Checker;
  readonly at: number;
  readonly what: string;
}

/** Checks a world. It reads the model only, and nothing of the code under test. */
export class Checks {
  readonly #world: World;
  readonly violations: Violation[] = [];
  /** Acknowledged rows of the surviving history that some disk held: they must stay on some disk. */
  readonly #precious = new Map<string, Run[]>();
  /**
   * The ops that the tool asked the nameserver to queue, each with the newest op id before the request.
   */
  readonly #asked: { readonly key: string; readonly endpoint: string; readonly after: bigint }[] =
    [];
  /** Partitions whose leader the operator named with --accept_data_loss. */
  readonly #decided = new Set<string>();
  /** Tablets that the operator calls lost. */
  readonly #lost = new Set<string>();
  #checkedAt = 0;
  /** Rows that the protocol itself lost; see {@link Checks.checkRows}. */
  readonly isDocumented: boolean;
  documentedLosses = 0;

  /** @param documented Count rows that RecoverTable itself takes away instead of complaining. */
  constructor(world: World, documented: boolean) {
    this.#world = world;
    this.isDocumented = documented;
  }

  complain(checker: Checker, what: string): void {
    // One of a kind is enough to read.
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
      this.complain("one-writer", `${of.name}: ${names} both accept writes`);
    }
  }

  /** Notes the rows that can be lost: at the start of a run, and after damage by a fault. */
  value(): void {
    const { model } = this.#world;
    for (const of of partsOf(model)) {
      const acknowledged = surviving(of.part, model.ledger.of(of.id));
      this.#precious.set(of.name, intersect(acknowledged, heldOf(model, of)));
    }
  }

  /**
   * The operator gives up whatever `endpoint` does not hold of a partition, and nothing else: what
   * it holds must stay.
   */
  accept(of: Part, endpoint: string): void {
    this.#decided.add(of.name);
    const { model } = this.#world;
    const own = dirAt(model, of, endpoint)?.runs ?? [];
    this.#precious.set(of.name, intersect(this.#precious.get(of.name) ?? [], own));
  }

  /** Notes that the operator decided on this partition: its healthy replicas may be touched. */
  decide(of: Part): void {
    this.#decided.add(of.name);
  }

  /** The operator declares a tablet lost: a leader need not hold rows that only its disk holds. */
  lose(endpoint: string): void {
    this.#lost.add(endpoint);
    for (const of of partsOf(this.#world.model)) {
      if (of.part.partitionMeta.some((meta) => meta.endpoint === endpoint)) this.decide(of);
    }
  }

  /** No acknowledged row that a disk held is gone from all of them. */
  checkRows(): void {
    const { model } = this.#world;
    if (model.leader === undefined) return;
    for (const of of partsOf(model)) {
      // An election of OpenMLDB's own gives rows up openly; the tool begins no term by itself.
      const precious = surviving(of.part, this.#precious.get(of.name) ?? []);
      const lost = subtract(precious, heldOf(model, of));
      if (lost.length === 0) continue;
      const rows = rowCount(lost);
      const span = lost.map((run) => `${run.from}-${run.to}`).join(", ");
      this.#precious.set(of.name, subtract(precious, lost));
      if (this.#isForeign(of) || this.unknowable.has(of.name)) continue;
      if (this.isDocumented) this.documentedLosses += rows;
      else this.complain("no-row-lost", `${of.name}: ${rows} acknowledged rows (${span}) are gone`);
      if (this.isDocumented) this.#world.note(`documented way lost ${rows} rows of ${of.name}`);
    }
    this.#checkedAt = this.#world.clock.now();
  }

  /** Whether an op that the tool did not begin works, or has just worked, on the partition. */
  #isForeign(of: Part): boolean {
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

  /** No offset carries two different rows under the same term: no call could tell them apart. */
  checkHistories(): void {
    const { model } = this.#world;
    for (const of of partsOf(model)) {
      const logs = of.part.partitionMeta.map((meta) => ({
        endpoint: meta.endpoint,
        runs: dirAt(model, of, meta.endpoint)?.runs ?? [],
      }));
      if (logs.some(({ runs }) => runs.some((run) => run.writer === FOREIGN_WRITER))) {
        // The tool sent it nothing (`stranger-untouched`): the nameserver elected it, or copied from it.
        this.unknowable.add(of.name);
        this.spoiled.add(complaintName(of));
      }
      const forked = logs.some((one) =>
        logs.some((other) => one !== other && isForked(one.runs, other.runs)),
      );
      if (forked && !this.#forkedBefore.has(of.name) && !this.unknowable.has(of.name)) {
        this.complain("one-history", `${of.name}: two replicas hold different rows under one term`);
      }
    }
  }

  /**
   * A replica that is made leader holds every row of the surviving history that could be found out.
   * Rows that only an unreachable tablet holds are not required: no call shows them, and their loss
   * when that tablet returns is counted, not complained about.
   */
  #judgeLeader(of: Part, endpoint: string, mutation: Mutation): void {
    const { model } = this.#world;
    const own = dirAt(model, of, endpoint)?.runs ?? [];
    if (this.#holed.has(`${of.name} ${endpoint}`)) {
      this.unknowable.add(of.name);
      this.#world.note(`${of.name}: the log of the new leader ${endpoint} has a hole`);
    }
    for (const meta of of.part.partitionMeta) {
      if (meta.endpoint === endpoint || this.#lost.has(meta.endpoint)) continue;
      const its = intersect(
        this.#precious.get(of.name) ?? [],
        dirAt(model, of, meta.endpoint)?.runs ?? [],
      );
      const more = subtract(surviving(of.part, its), own);
      if (more.length === 0) continue;
      if (!isReadable(this.#world, of, meta.endpoint) && ledLast(of, endpoint)) {
        this.unknowable.add(of.name);
        this.#world.note(
          `${of.name}: ${meta.endpoint}, out of reach, has more than the new leader`,
        );
        continue;
      }
      if (this.unknowable.has(of.name)) continue;
      const what = `${of.name}: ${mutation.method} makes ${endpoint} leader, and ${rowCount(more)} acknowledged rows are on ${meta.endpoint} only`;
      if (this.isDocumented) {
        this.#world.note(`documented way: ${what}`);
        this.#forkedBefore.add(of.name);
      } else this.complain("best-log-leads", what);
    }
  }

  /** Partitions that got a leader while the evidence against it could not be observed. */
  readonly unknowable = new Set<string>();

  readonly #forkedBefore = new Set<string>();

  /**
   * Replicas that serve with other rows than their leader, as many of them, before the last runs:
   * auto_failover's own ops can leave that behind, and no call shows it.
   */
  noteSpoiled(): void {
    for (const line of partitionComplaints(this.#world)) {
      if (line.includes("other entries")) this.spoiled.add(line.slice(0, line.indexOf(": ")));
    }
    this.noteHoles();
  }

  /**
   * Notes logs on disks that lack rows of the surviving history in their middle: an election gave up
   * the rows that they hold there, and auto_failover's own ops continued the replication from their
   * end.
   */
  noteSpoiledDisks(): void {
    const { model } = this.#world;
    for (const of of partsOf(model)) {
      const isSpoiled = of.part.partitionMeta.some(({ endpoint }) => {
        const kept = surviving(of.part, dirAt(model, of, endpoint)?.runs ?? []);
        return BigInt(rowCount(kept)) < lastOffset(kept);
      });
      if (isSpoiled) this.spoiled.add(complaintName(of));
    }
  }

  /**
   * Replicas whose log has a hole: OpenMLDB's leader never notices that a follower came back with
   * less, and goes on where it was. Offsets do not show it.
   */
  noteHoles(): void {
    const { model } = this.#world;
    for (const of of partsOf(model)) {
      for (const { endpoint } of of.part.partitionMeta) {
        const dir = dirAt(model, of, endpoint);
        if (dir !== undefined && BigInt(rowCount(dir.runs)) < lastOffset(dir.runs)) {
          this.#holed.add(`${of.name} ${endpoint}`);
        }
      }
    }
  }

  readonly #holed = new Set<string>();

  /** Names as the model's complaints give them; see {@link Checks.noteSpoiled}. */
  readonly spoiled = new Set<string>();

  /**
   * Notes forks that the tool has not caused: those from before its first run, and those that appear
   * when clients write to a leader that it did not make, because another client loaded one by hand that
   * holds less than others.
   */
  noteForks(): void {
    const { model } = this.#world;
    for (const of of partsOf(model)) {
      if (this.#led.has(of.name)) continue;
      const logs = of.part.partitionMeta.map((m) => dirAt(model, of, m.endpoint)?.runs ?? []);
      if (logs.some((one) => logs.some((other) => one !== other && isForked(one, other)))) {
        this.#forkedBefore.add(of.name);
        this.spoiled.add(complaintName(of));
      }
    }
  }

  /** Partitions in which the tool made a leader. */
  readonly #led = new Set<string>();

  /** Judges a call of the tool at the moment when it leaves. */
  beforeMutation(mutation: Mutation): void {
    const { model } = this.#world;
    const stranger = strangerOf(this.#world, mutation);
    if (stranger !== undefined && !comesFirst(this.#world, stranger, mutation, this.isDocumented)) {
      const what = `${describe(mutation)}, although ${stranger} is a tablet of another cluster`;
      this.complain("stranger-untouched", what);
    }
    if (model.leader === undefined) return;
    const target = targetOf(this.#world, mutation);
    if (target === undefined) return;
    for (const of of target.parts) this.#judge(of, target.endpoint, mutation);
  }

  #judge(of: Part, endpoint: string, mutation: Mutation): void {
    const { model } = this.#world;
    const makesLeader =
      (mutation.method === "LoadTable" || mutation.method === "ChangeRole") &&
      modeOf(mutation) === 1;
    if (makesLeader) {
      const serving = of.part.partitionMeta.find((meta) => acceptsWrites(model, of, meta));
      if (serving !== undefined && serving.endpoint !== endpoint) {
        this.complain(
          "one-leader-made",
          `${of.name}: ${mutation.method} makes ${endpoint} leader beside ${serving.endpoint}`,
        );
      }
    }
    if (makesLeader) {
      this.#led.add(of.name);
      this.#judgeLeader(of, endpoint, mutation);
    }
    const recovers = mutation.method === "RecoverTable" || mutation.method === "RecoverEndpoint";
    if (recovers || mutation.method === "ChangeLeader") {
      const key = `${of.table.db}.${of.table.name}:${of.part.pid}`;
      const after = model.leader?.ops.list().at(-1)?.info.opId ?? -1n;
      this.#asked.push({ key, endpoint, after });
    }
    if (recovers && hasActiveOp(this.#world, of)) {
      const what = `${of.name}: ${mutation.method} of ${endpoint} while an op runs`;
      this.complain("op-not-repeated", what);
    }
    if (isHarmless(mutation) || isThereAlready(this.#world, of, endpoint, mutation)) return;
    // Where the operator named another leader, the one that serves has to go.
    if (this.#decided.has(of.name)) return;
    if (isReplicaHealthy(this.#world, of, endpoint)) {
      this.complain("healthy-untouched", `${of.name} at ${endpoint}: ${describe(mutation)}`);
    }
  }
}

/** True if this replica, and no other, led last by the record: it has acknowledged every row. */
function ledLast(of: Part, endpoint: string): boolean {
  const flagged = of.part.partitionMeta.filter((meta) => meta.isLeader);
  const alive = flagged.filter((meta) => meta.isAlive);
  const entitled = alive.length > 0 ? alive : flagged;
  return entitled.length === 1 && entitled[0]?.endpoint === endpoint;
}

/**
 * Whether it can be found out what a replica's disk holds: its tablet answers, and no load of it
 * failed.
 */
function isReadable(world: World, of: Part, endpoint: string): boolean {
  if (!isAnswering(world, endpoint)) return false;
  if (loadedAt(world.model, of, endpoint) !== undefined) return true;
  const failed = `${endpoint} load of ${of.table.tid}/${of.part.pid} failed`;
  return !world.model.events.some(({ what }) => what === failed);
}

/** Whether a tablet answers, and is the one that it should be. */
function isAnswering(world: World, endpoint: string): boolean {
  return (
    !seemsStrange(world.model, endpoint) &&
    world.model.process(endpoint).isAnswering &&
    world.model.leader?.isHealthy(endpoint) === true
  );
}

/** Saying again that a replica is alive does nothing to it. */
function isHarmless(mutation: Mutation): boolean {
  return mutation.method === "UpdateTableAliveStatus" && mutation.request["isAlive"] === true;
}

/**
 * True for a call that is refused before it has any effect, because its result is there already:
 * AddReplica of a follower that the leader replicates to (119), and LoadTable of a replica that another
 * client has loaded (101; OpenMLDB 0.9 tablet: LoadTable looks for the table before it writes
 * anything).
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

/** Which replicas a call is about. Calls about none, such as ConfSet, have no target. */
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
    // An alive replica without others gets an op as well, which ends without an effect.
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
      // One that is not on record yet comes back under another address: `movetablet`.
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
  const prefix = `${complaintName(of)}: `;
  return !partitionComplaints(world).some(
    (line) => line.startsWith(prefix) && line.slice(prefix.length).startsWith(`${endpoint} `),
  );
}

/** The model's complaints about partitions, without those about processes. */
export function partitionComplaints(world: World): string[] {
  return complaints(world.model).filter((line) => /\/\d+: /.test(line));
}
