import { setMaxListeners } from "node:events";
import type { Cluster } from "../../src/cluster/cluster.js";
import { createCluster } from "../../src/cluster/connect.js";
import {
  type RecoverOptions,
  type RecoverResult,
  recoverData,
} from "../../src/execution/recover.js";
import type { RunEvent } from "../../src/model/outcome.js";
import { createKnownOffsetsStore } from "../../src/run/known-offsets-store.js";
import { SandboxModel } from "../../src/sandbox/model/model.js";
import { modelTransport } from "../../src/sandbox/model/model-transport.js";
import type { ModelOptions } from "../../src/sandbox/model/model-types.js";
import { VirtualClock } from "../../src/sandbox/model/virtual-clock.js";
import { treeZooKeeper, ZnodeTree } from "../../src/sandbox/znode-tree.js";
import type { Limits } from "../../src/steps/step-context.js";
import { again, print } from "./printing.js";

/** The limits that the command line has by default. */
export const LIMITS: Limits = {
  concurrency: 128,
  loadsPerTablet: 3,
  opRetries: 3,
  opTimeoutMs: 600_000,
  cancelStuck: false,
  stallTimeoutMs: 600_000,
};

/** A model of a cluster on a virtual clock, and the real clients over it. */
export interface VirtualCluster {
  readonly clock: VirtualClock;
  readonly model: SandboxModel;
  readonly cluster: Cluster;
  /** The events of all runs, in order. */
  readonly events: RunEvent[];
  /** Runs `recoverData` in virtual time, bounded by two virtual hours; `answers` replace calls of the cluster. */
  recover(options?: Partial<RecoverOptions>, answers?: Partial<Cluster>): Promise<RecoverResult>;
  /** Advances the virtual clock. */
  pass(ms: number): Promise<void>;
}

/** A signal that is never aborted, without a limit of listeners, as that of a real run. */
function runSignal(): AbortSignal {
  const { signal } = new AbortController();
  setMaxListeners(0, signal);
  return signal;
}

/** Starts a cluster of tablets named a, b, c, ... and nameservers n1, n2, ... */
export async function startVirtualCluster(
  options: {
    readonly tablets?: number;
    readonly nameservers?: number;
    readonly seed?: number;
    readonly model?: Partial<ModelOptions>;
  } = {},
): Promise<VirtualCluster> {
  const clock = new VirtualClock();
  const tree = new ZnodeTree(() => clock.wallTime());
  const process = (name: string, port: number) => ({
    endpoint: `${name}:${port}`,
    address: `${name}:${port}`,
  });
  const model = new SandboxModel({
    clock,
    seed: options.seed ?? 1,
    tree,
    tablets: Array.from({ length: options.tablets ?? 3 }, (_, i) =>
      process("abcdefgh"[i] ?? "z", 9527),
    ),
    nameservers: Array.from({ length: options.nameservers ?? 2 }, (_, i) =>
      process(`n${i + 1}`, 6527),
    ),
    options: options.model ?? {},
  });
  model.start();
  await clock.advance(3_000);
  const cluster = await createCluster({
    zk: treeZooKeeper(tree),
    transport: modelTransport(model),
    clock,
    rootPath: "/openmldb",
    rpcTimeoutMs: 10_000,
  });
  const events: RunEvent[] = [];
  return {
    clock,
    model,
    cluster,
    events,
    recover: (more = {}, answers = {}) =>
      clock.run(
        recoverData(
          { ...cluster, ...answers },
          {
            limits: LIMITS,
            signal: runSignal(),
            onEvent: (event) => events.push(event),
            again,
            print,
            knownOffsetsStore: createKnownOffsetsStore({
              zk: treeZooKeeper(tree),
              clock,
              rootPath: "/openmldb",
              onEvent: (event) => events.push(event),
            }),
            ...more,
          },
        ),
        7_200_000,
      ),
    pass: (ms) => clock.advance(ms),
  };
}
