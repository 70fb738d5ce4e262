import type { Cluster } from "../../src/cluster/cluster.js";
import { createCluster } from "../../src/cluster/connect.js";
import type { Transport } from "../../src/cluster/transport.js";
import type { ZooKeeper } from "../../src/cluster/zookeeper.js";
import {
  type RecoverOptions,
  type RecoverResult,
  recoverData,
} from "../../src/execution/recover.js";
import type { RunEvent } from "../../src/model/outcome.js";
import type { RunParts } from "../../src/run/take-over.js";
import { withRun } from "../../src/run/with-run.js";
import { modelTransport } from "../../src/sandbox/model/model-transport.js";
import { treeZooKeeper } from "../../src/sandbox/znode-tree.js";
import { again, print } from "./printing.js";
import { LIMITS, type VirtualCluster } from "./virtual-cluster.js";

/** Methods that change the cluster. */
const CHANGES: ReadonlySet<string> = new Set([
  "ConfSet",
  "UpdateTableAliveStatus",
  "RecoverTable",
  "SetTablePartition",
  "LoadTable",
  "ChangeRole",
  "AddReplica",
  "RecoverSnapshot",
]);

/** One process of the tool, in memory: its connections can be cut, and it can be killed. */
export interface ToolProcess {
  readonly cluster: Cluster;
  readonly events: RunEvent[];
  /** Every change that reached the cluster, in order. */
  readonly changes: { readonly method: string; readonly at: number }[];
  readonly parts: RunParts;
  /** Kills the process after so many further beginnings and ends of writes (its znodes and ConfSet). */
  dieAfter(boundaries: number): void;
  /** The number of these boundaries so far. */
  boundaries(): number;
  /** Resolves when the process has ended. */
  readonly died: Promise<"died">;
  /** Ends its ZooKeeper session, as ZooKeeper does after the session timeout. */
  endSession(): Promise<void>;
  /** ZooKeeper does not answer this process until `resume`. */
  silence(): void;
  resume(): void;
  /**
   * Runs a whole recoverdata: lock, marker, recovery. Resolves with `died` if the process is killed.
   */
  recover(more?: Partial<RecoverOptions>): Promise<RecoverResult | "died">;
}

/** Starts a process of the tool named `name`; it shares nothing with others but the cluster. */
export async function startTool(
  { model, clock }: VirtualCluster,
  name: string,
  more: Partial<RunParts> = {},
): Promise<ToolProcess> {
  const zk = treeZooKeeper(model.tree);
  const events: RunEvent[] = [];
  const changes: { method: string; at: number }[] = [];
  let left = Number.POSITIVE_INFINITY;
  let passed = 0;
  let isDead = false;
  let die = () => {};
  let silent: Promise<void> | undefined;
  let resume = () => {};
  const died = new Promise<"died">((resolve) => {
    die = () => {
      isDead = true;
      resolve("died");
    };
  });
  const never = new Promise<never>(() => {});
  const boundary = async () => {
    if (isDead) await never;
    if (left <= 0) {
      die();
      await never;
    }
    left -= 1;
    passed += 1;
  };
  const around = async <T>(write: () => Promise<T>): Promise<T> => {
    if (silent !== undefined) await silent;
    await boundary();
    const result = await write();
    await boundary();
    return result;
  };
  const mortalZk: ZooKeeper = {
    ...zk,
    getData: async (path) => {
      if (silent !== undefined) await silent;
      return isDead ? never : zk.getData(path);
    },
    create: (path, data, mode) => around(() => zk.create(path, data, mode)),
    setData: (path, data) => around(() => zk.setData(path, data)),
    remove: (path) => around(() => zk.remove(path)),
    removeIf: (path, isExpected) => around(() => zk.removeIf(path, isExpected)),
    removeOwn: (path) => around(() => zk.removeOwn(path)),
  };
  const wire = modelTransport(model);
  const transport: Transport = {
    ...wire,
    async unary(address, method, request, options) {
      if (isDead) await never;
      if (CHANGES.has(method.name)) changes.push({ method: method.name, at: clock.now() });
      const call = () => wire.unary(address, method, request, options);
      return method.name === "ConfSet" ? around(call) : call();
    },
  };
  const cluster = await createCluster({
    // The nameserver can still be found while the tool's own znodes do not answer.
    zk,
    transport,
    clock,
    rootPath: "/openmldb",
    rpcTimeoutMs: 10_000,
  });
  const parts: RunParts = {
    cluster,
    zk: mortalZk,
    rootPath: "/openmldb",
    owner: {
      runId: `run-${name}`,
      host: `host-${name}`,
      pid: 4711,
      user: `user-${name}`,
      command: `openmldb-ops ${name}`,
      time: new Date(clock.wallTime()).toISOString(),
    },
    sessionTimeoutMs: 10_000,
    waitLockMs: 0,
    keepsOff: false,
    signal: new AbortController().signal,
    stopSignal: new AbortController().signal,
    onEvent: (event) => events.push(event),
    print,
    ...more,
  };
  return {
    cluster,
    events,
    changes,
    parts,
    died,
    dieAfter: (boundaries) => {
      left = boundaries;
    },
    boundaries: () => passed,
    endSession: () => zk.close(),
    silence() {
      silent = new Promise((resolve) => {
        resume = resolve;
      });
    },
    resume() {
      silent = undefined;
      resume();
    },
    recover: (more) => Promise.race([died, recover(parts, more)]),
  };
}

function recover(parts: RunParts, more: Partial<RecoverOptions> = {}): Promise<RecoverResult> {
  let earlier: RecoverEarlier;
  return withRun(parts, async (attempt) => {
    const ended = await recoverData(attempt.cluster, {
      limits: LIMITS,
      signal: attempt.signal,
      onEvent: parts.onEvent,
      again,
      print,
      createGuard: (observed) => attempt.createGuard(observed),
      earlier,
      ...more,
    });
    if ("error" in ended) earlier = ended.progress;
    return ended;
  });
}

type RecoverEarlier = Parameters<typeof recoverData>[1]["earlier"];
