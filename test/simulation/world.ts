import type { DescMessage, DescMethodUnary, MessageInitShape } from "@bufbuild/protobuf";
import type { Cluster } from "../../src/cluster/cluster.js";
import { createCluster } from "../../src/cluster/connect.js";
import type { Transport } from "../../src/cluster/transport.js";
import type { ZooKeeper } from "../../src/cluster/zookeeper.js";
import { OpsError } from "../../src/errors.js";
import type { Clock } from "../../src/model/clock.js";
import { SandboxModel } from "../../src/sandbox/model/model.js";
import { modelTransport } from "../../src/sandbox/model/model-transport.js";
import type { ModelOptions } from "../../src/sandbox/model/model-types.js";
import { VirtualClock } from "../../src/sandbox/model/virtual-clock.js";
import { treeZooKeeper, ZnodeTree } from "../../src/sandbox/znode-tree.js";
import type { Naming } from "./shape.js";

/** Calls that change the cluster, by their name on the wire. */
const MUTATIONS: ReadonlySet<string> = new Set([
  "AddReplica",
  "AddReplicaNS",
  "CancelOP",
  "ChangeLeader",
  "ChangeRole",
  "ConfSet",
  "DelReplica",
  "DelReplicaNS",
  "DeleteOP",
  "LoadTable",
  "Migrate",
  "OfflineEndpoint",
  "RecoverEndpoint",
  "RecoverSnapshot",
  "RecoverTable",
  "SetTablePartition",
  "UpdateTableAliveStatus",
]);

/** A call of the tool that changes something, as it leaves the tool. */
export interface Mutation {
  /** Counts the mutations of one tool process, from 1. */
  readonly number: number;
  /** Name on the wire, such as `LoadTable`. */
  readonly method: string;
  /** Endpoint of the process that is called; the address where no process listens there. */
  readonly called: string;
  /** The request's fields as given. */
  readonly request: Readonly<Record<string, unknown>>;
}

/** A fault of a tool process at one of its mutations. */
export type CallFault =
  /** No fault. */
  | "none"
  /** The process is killed before the call leaves it. */
  | "killed-before"
  /** The call has its effect, and the process is killed before it sees the answer. */
  | "killed-after"
  /** The call has its effect; the answer never comes and the caller sees a broken connection. */
  | "answer-lost";

/** Listens to one tool process. */
export interface ToolWatcher {
  /** Called just before a mutation leaves the process. */
  before?(mutation: Mutation): CallFault;
  /** Called when its answer (or its failure) has come back. */
  after?(mutation: Mutation): void;
}

/** How a process of the tool is started. */
export interface ToolOptions {
  readonly watcher?: ToolWatcher;
  /** Aborts the calls of its clients. */
  readonly signal?: AbortSignal | undefined;
}

/** One process of the tool, with its own clients. It can be killed. */
export interface ToolProcess {
  /** Counts the processes of a world, from 1. */
  readonly id: number;
  readonly cluster: Cluster;
  readonly zk: ZooKeeper;
  /** kill -9: its calls end; its ephemeral nodes in ZooKeeper end with its session. */
  kill(): void;
  isKilled(): boolean;
  /** The process exits after its work; its session ends at once. */
  exit(): void;
  /** Its ZooKeeper session expires, with its lock, and a new one begins. */
  loseSession(): void;
}

/** A virtual clock that calls `onTimer` after every timer. */
class WatchedClock extends VirtualClock {
  onTimer: () => void = () => undefined;

  override setTimer(ms: number, fn: () => void): () => void {
    return super.setTimer(ms, () => {
      fn();
      this.onTimer();
    });
  }
}

/** A model of a cluster on a virtual clock, with a log of its events. */
export interface World {
  readonly clock: WatchedClock;
  readonly model: SandboxModel;
  readonly tree: ZnodeTree;
  /** The events that are not the model's own: faults, calls and output of the tool, oldest first. */
  readonly eventLog: { readonly at: number; readonly what: string }[];
  /** The number of processes of the tool so far. */
  processes: number;
  /** The process that was started last. */
  tool: ToolProcess | undefined;
  /** Whether ZooKeeper does not answer the tool. */
  isZooKeeperDown: boolean;
  /** The offset by which the clock of the tool's machine was set, in milliseconds. */
  toolClockMs: number;
  /** Whether the clock of a nameserver was set: its times cannot be compared with earlier ones. */
  hasSetNameserverClock: boolean;
  /** Tablets that never return under their endpoint. */
  readonly gone: Set<string>;
  note(what: string): void;
  /** Starts a process of the tool. */
  open(options?: ToolOptions): Promise<ToolProcess>;
}

const RPC_TIMEOUT_MS = 10_000;
/** The time for which the tool's ephemeral nodes in ZooKeeper outlive it. */
export const TOOL_SESSION_MS = 6_000;
const ZK_TIMEOUT_MS = 2_000;

/** Starts a cluster of tablets at a:9527, b:9527, ... and nameservers at n1:6527, n2:6527, ... */
export async function startWorld(shape: {
  readonly tablets: number;
  readonly nameservers: number;
  readonly seed: number;
  readonly options: Partial<ModelOptions>;
  readonly naming?: Naming;
}): Promise<World> {
  const clock = new WatchedClock();
  const tree = new ZnodeTree(() => clock.wallTime());
  const spec = (name: string, port: number) => ({
    endpoint: `${name}:${port}`,
    address: `${name}:${port}`,
  });
  const model = new SandboxModel({
    clock,
    seed: shape.seed,
    tree,
    tablets: Array.from({ length: shape.tablets }, (_, i) => {
      const name = "abcdefgh"[i] ?? "z";
      const { endpoint, address } = spec(name, 9527);
      return { address, endpoint: shape.naming === "names" ? `tablet-${name}` : endpoint };
    }),
    serverNames: shape.naming !== undefined,
    nameservers: Array.from({ length: shape.nameservers }, (_, i) => spec(`n${i + 1}`, 6527)),
    options: shape.options,
  });
  const eventLog: { at: number; what: string }[] = [];
  const world: World = {
    clock,
    model,
    tree,
    eventLog,
    processes: 0,
    tool: undefined,
    isZooKeeperDown: false,
    toolClockMs: 0,
    hasSetNameserverClock: false,
    gone: new Set(),
    note: (what) => eventLog.push({ at: clock.now(), what }),
    open: (options = {}) => openTool(world, options),
  };
  model.start();
  await clock.advance(3_000);
  return world;
}

function never<T>(): Promise<T> {
  return new Promise<T>(() => undefined);
}

async function openTool(world: World, { watcher = {}, signal }: ToolOptions): Promise<ToolProcess> {
  const session = { zk: treeZooKeeper(world.tree) };
  const state: ProcessState = {
    isKilled: false,
    end(sessionMs) {
      if (state.isKilled) return;
      state.isKilled = true;
      world.clock.setTimer(sessionMs, () => void session.zk.close());
    },
  };
  const zk = killableZooKeeper(world, session, state);
  const cluster = await createCluster({
    zk,
    transport: killableTransport(world, watcher, state),
    clock: killableClock(world, state),
    rootPath: world.model.root,
    rpcTimeoutMs: RPC_TIMEOUT_MS,
    signal,
  });
  world.processes += 1;
  world.tool = {
    id: world.processes,
    cluster,
    zk,
    isKilled: () => state.isKilled,
    kill: () => state.end(TOOL_SESSION_MS),
    exit: () => state.end(0),
    loseSession() {
      if (state.isKilled) return;
      const old = session.zk;
      session.zk = treeZooKeeper(world.tree);
      void old.close();
    },
  };
  return world.tool;
}

interface ProcessState {
  isKilled: boolean;
  /** Ends the process; its session in ZooKeeper ends so many milliseconds later. */
  end(sessionMs: number): void;
}

/** Settles as `work` does, unlessKilled the process was killed: then it never settles. */
function unlessKilled<T>(state: ProcessState, work: Promise<T>): Promise<T> {
  return work.then(
    (value) => (state.isKilled ? never<T>() : value),
    (error: unknown) => (state.isKilled ? never<T>() : Promise.reject(error as Error)),
  );
}

/** `now` counts from the start of the process; `wallTime` is that of the machine. */
function killableClock(world: World, state: ProcessState): Clock {
  const { clock } = world;
  const startedAt = clock.now();
  return {
    now: () => clock.now() - startedAt,
    wallTime: () => clock.wallTime() + world.toolClockMs,
    sleep: (ms, signal) =>
      state.isKilled ? never() : unlessKilled(state, clock.sleep(ms, signal)),
  };
}

/** While ZooKeeper is down its clients get errors, and their sessions end after the session timeout. */
function killableZooKeeper(
  world: World,
  session: { zk: ZooKeeper },
  state: ProcessState,
): ZooKeeper {
  let isWatched = false;
  const loseSession = () => {
    isWatched = false;
    if (!world.isZooKeeperDown || state.isKilled) return;
    world.note("the tool's session ends");
    const old = session.zk;
    session.zk = treeZooKeeper(world.tree);
    void old.close();
  };
  const act = async <T>(work: (zk: ZooKeeper) => Promise<T>): Promise<T> => {
    if (state.isKilled) return never();
    if (world.isZooKeeperDown) {
      if (!isWatched) world.clock.setTimer(TOOL_SESSION_MS, loseSession);
      isWatched = true;
      await unlessKilled(state, world.clock.sleep(ZK_TIMEOUT_MS));
    }
    if (!world.isZooKeeperDown) return unlessKilled(state, work(session.zk));
    throw new OpsError({
      code: "zookeeper-failed",
      message: "ZooKeeper does not answer",
      retryable: true,
    });
  };
  return {
    getChildren: (path) => act((zk) => zk.getChildren(path)),
    getData: (path) => act((zk) => zk.getData(path)),
    isEphemeral: (path) => act((zk) => zk.isEphemeral(path)),
    create: (path, data, mode) => act((zk) => zk.create(path, data, mode)),
    setData: (path, data) => act((zk) => zk.setData(path, data)),
    remove: (path) => act((zk) => zk.remove(path)),
    removeIf: (path, isExpected) => act((zk) => zk.removeIf(path, isExpected)),
    isOwn: (path) => act((zk) => zk.isOwn(path)),
    removeOwn: (path) => act((zk) => zk.removeOwn(path)),
    close: () => act((zk) => zk.close()),
  };
}

function killableTransport(world: World, watcher: ToolWatcher, state: ProcessState): Transport {
  const inner = modelTransport(world.model);
  let mutations = 0;
  const watched = async <T>(mutation: Mutation, work: () => Promise<T>): Promise<T> => {
    world.note(`tool: ${describe(mutation)}`);
    const fault = watcher.before?.(mutation) ?? "none";
    if (fault === "killed-before" || state.isKilled) {
      state.end(TOOL_SESSION_MS);
      return never();
    }
    const end = () => {
      if (fault === "killed-after") state.end(TOOL_SESSION_MS);
      watcher.after?.(mutation);
    };
    const answered = work();
    // Registered before the caller's own listener, so that the watcher runs first.
    answered.then(end, end);
    const answer = await unlessKilled(state, answered);
    if (fault !== "answer-lost") return answer;
    throw new OpsError({
      code: "unreachable",
      message: `${mutation.called}: connection reset`,
      retryable: true,
    });
  };
  return {
    unary: (address, method, request, options) => {
      if (state.isKilled) return never();
      const work = () => inner.unary(address, method, request, options);
      if (!MUTATIONS.has(method.name)) return unlessKilled(state, work());
      mutations += 1;
      const called = world.model.findProcess(address)?.endpoint ?? address;
      return watched({ number: mutations, ...fieldsOf(called, method, request) }, work);
    },
    connection: (address) => inner.connection(address),
    close: () => inner.close(),
  };
}

function fieldsOf(
  called: string,
  method: DescMethodUnary,
  request: MessageInitShape<DescMessage>,
): Pick<Mutation, "called" | "method" | "request"> {
  return { called, method: method.name, request: request as Mutation["request"] };
}

/** The role that a LoadTable or ChangeRole asks for, as on the wire. */
export function modeOf(mutation: Mutation): number | undefined {
  const { request } = mutation;
  const meta = request["tableMeta"] as { readonly mode?: number } | undefined;
  return meta?.mode ?? (request["mode"] as number | undefined);
}

/** One line for a mutation. */
export function describe(mutation: Mutation): string {
  const fields = JSON.stringify(mutation.request, (_key, value: unknown) =>
    typeof value === "bigint" ? String(value) : value,
  );
  return `${mutation.method} at ${mutation.called} ${fields}`;
}

/** All events of a world, those of the model and those of the tool, one line each. */
export function eventLogOf(world: World): string[] {
  const start = world.model.events[0]?.at ?? 0;
  return [...world.model.events, ...world.eventLog]
    .map((line, index) => ({ ...line, index }))
    .sort((a, b) => a.at - b.at || a.index - b.index)
    .map(({ at, what }) => `${String(at - start).padStart(9)}  ${what}`);
}
