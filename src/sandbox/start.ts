import { connectZooKeeper } from "../cluster/zookeeper-client.js";
import { messageOf, OpsError } from "../errors.js";
import type { Endpoint } from "../model/cluster-state.js";
import { bootNewCluster, bootRecording, type NewCluster, waitFor } from "./model/boot.js";
import type { SandboxModel } from "./model/model.js";
import { MODEL_DEFAULTS, type ModelConfig, type ProcessSpec } from "./model/model-types.js";
import { loadRecording } from "./model/recording.js";
import {
  assertNameserver,
  type Recording,
  recordedProcesses,
  renameAddresses,
} from "./model/recording-file.js";
import { scaledClock } from "./model/virtual-clock.js";
import { WireProcess } from "./serve/grpc-server.js";
import { WiredModel, WireFace } from "./serve/wire-face.js";
import { putZnode } from "./table-store.js";
import { startZkServer } from "./zk-server.js";
import { ZnodeTree } from "./znode-tree.js";
import { mirrorTree, type ZkMirror } from "./zookeeper/zk-mirror.js";

/** How to create a sandbox; each absent option has the default named here. */
export interface SandboxOptions extends Partial<NewCluster> {
  /** Number of tablets; 3. */
  readonly tablets?: number;
  /** Number of nameservers; 2. */
  readonly nameservers?: number;
  /** True if processes have server names instead of addresses as endpoints; false. */
  readonly serverNames?: boolean;
  /**
   * True if the cluster uses server names, and each name is an address with an empty value in
   * `map/names`, as with servers started with `--endpoint`; false.
   */
  readonly emptyNames?: boolean;
  /** auto_failover at the start; true, as in OpenMLDB's shipped configuration. */
  readonly autoFailover?: boolean;
  /** The seed of everything random; 1. */
  readonly seed?: number;
  /**
   * How long a tablet takes to load a replica, before the time for its rows: milliseconds of the
   * cluster; 20. Real tablets load small replicas in about 1.
   */
  readonly loadMs?: number;
  /** Seconds of the cluster per real second; 1. */
  readonly speed?: number;
  /**
   * A recording to start from instead of a new cluster: everything above but `speed` is then ignored.
   */
  readonly recording?: Recording | undefined;
  /** A real ZooKeeper as `host:port`s; undefined for the embedded one. */
  readonly zkCluster?: readonly string[] | undefined;
  /** Port of the embedded ZooKeeper; 0 for any free one. */
  readonly port?: number;
  /** The root path of the cluster's znodes; `/openmldb`, or with a recording the recorded one. */
  readonly zkRootPath?: string;
  /** If given, calls must carry the service token or this user's credentials. */
  readonly auth?: { readonly user: string; readonly password: string } | undefined;
}

/** A running sandbox: a model of a cluster with gRPC servers and a ZooKeeper. */
export interface Sandbox {
  /** Value for `--zk_cluster`. */
  readonly zkCluster: string;
  readonly zkRootPath: string;
  /** Endpoints, in the order of the names `nameserver1`, `nameserver2`, ... */
  readonly nameservers: readonly Endpoint[];
  /** Endpoints, in the order of the names `tablet1`, `tablet2`, ... */
  readonly tablets: readonly Endpoint[];
  /** With a recording: the address of each process by its recorded address. Else empty. */
  readonly addresses: ReadonlyMap<string, string>;
  readonly model: SandboxModel;
  /** Address to dial for an endpoint. @throws Error if there is no such process. */
  addressOf(endpoint: Endpoint): string;
  /**
   * Starts a process; resolves when it runs and listens (a tablet waits until its old session has
   * ended).
   */
  restart(name: string): Promise<void>;
  /**
   * Kills all tablets at once, and the nameservers if requested, ends their sessions and starts them
   * again. Resolves when all are registered and a nameserver leads.
   */
  outage(options: { readonly withNameservers: boolean }): Promise<void>;
  /**
   * A tablet comes back under another address with its disk: without server names as another endpoint,
   * with server names as the same one, whose entry in `map/names` is updated. Resolves when it runs.
   *
   * @returns The new address.
   */
  move(name: string): Promise<string>;
  /** Starts another tablet with an empty disk; resolves when it runs and is registered. */
  addTablet(): Promise<{ readonly name: string; readonly address: string }>;
  /** Resolves when the ports and the ZooKeeper reflect the state of the model. */
  settled(): Promise<void>;
  /** Stops everything, within 2 seconds. */
  stop(): Promise<void>;
}

const DEFAULT_ROOT = "/openmldb";
/** Time for the nameservers to notice that tablets have gone, in milliseconds of the model's clock. */
const NOTICE_MS = 100;
const STOP_LIMIT_MS = 1_500;
const ZK_TIMEOUT_MS = 10_000;
const ZK_SESSION_MS = 6_000;

/**
 * Starts a sandbox on 127.0.0.1.
 *
 * @throws OpsError `usage` for invalid options or a port in use, `refused` if the real ZooKeeper has
 *   znodes under the root path, and errors of connecting to it.
 */
export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const wires: WireProcess[] = [];
  const closers: (() => void | Promise<void>)[] = [
    () => {
      for (const wire of wires) wire.close();
    },
  ];
  const close = async () => {
    const closed = Promise.all(closers.map((closer) => closer()));
    await Promise.race([closed, new Promise((r) => setTimeout(r, STOP_LIMIT_MS).unref())]);
  };
  try {
    const cluster = await openCluster(options, wires);
    const { model, zkRootPath } = cluster;
    const zk = await openZooKeeper(options, cluster, closers);
    await cluster.boot();
    const settled = async () => {
      await cluster.wire.settled();
      await zk.mirror?.flush();
    };
    await settled();
    return {
      zkCluster: zk.address,
      zkRootPath,
      nameservers: [...model.nameservers.keys()],
      tablets: [...model.tablets.keys()],
      addresses: cluster.addresses,
      model,
      addressOf: (endpoint) => model.process(endpoint).address,
      async restart(name) {
        const process = model.process(name);
        model.restart(name);
        await waitFor(model, `${name} is up`, () => process.isUp);
        await settled();
      },
      async move(name) {
        const address = await moveTablet(cluster, wires, name);
        await settled();
        return address;
      },
      async addTablet() {
        const added = await addTablet(cluster, wires);
        await settled();
        return added;
      },
      async outage({ withNameservers }) {
        await restartAll(model, withNameservers);
        await settled();
      },
      settled,
      stop: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A model with its servers, not started yet. */
interface OpenedCluster {
  readonly model: SandboxModel;
  readonly wire: WireFace;
  readonly zkRootPath: string;
  readonly addresses: ReadonlyMap<string, string>;
  readonly boot: () => Promise<void>;
}

async function openCluster(options: SandboxOptions, wires: WireProcess[]): Promise<OpenedCluster> {
  const open = async (count: number) => {
    const opened: WireProcess[] = [];
    for (let index = 0; index < count; index += 1) {
      opened.push(await WireProcess.open(undefined));
    }
    for (const wire of opened) wires.push(wire);
    // Sorted, so that sorted endpoints start with tablet1, or have the recorded order.
    return opened.map((wire) => wire.address).sort();
  };
  const common = { clock: scaledClock(options.speed ?? 1), seed: options.seed ?? 1 };
  const tree = new ZnodeTree(() => common.clock.wallTime());
  if (options.recording !== undefined) {
    return openRecording(options, { ...common, tree }, options.recording, { open, wires });
  }
  const specs = (name: string, addresses: readonly string[]): ProcessSpec[] =>
    addresses.map((address, index) => ({
      address,
      endpoint: options.serverNames === true ? `${name}-${index + 1}` : address,
    }));
  const root = options.zkRootPath ?? DEFAULT_ROOT;
  const wire = new WireFace(wires, options.auth);
  const model = new WiredModel(
    {
      ...common,
      tree,
      root,
      tablets: specs("tablet", await open(options.tablets ?? 3)),
      nameservers: specs("nameserver", await open(options.nameservers ?? 2)),
      serverNames: options.serverNames === true || options.emptyNames === true,
      options: {
        autoFailover: options.autoFailover ?? true,
        loadBaseMs: options.loadMs ?? MODEL_DEFAULTS.loadBaseMs,
      },
    },
    wire,
  );
  const boot = () =>
    bootNewCluster(model, {
      tables: options.tables ?? 2,
      partitions: options.partitions ?? 4,
      replicas: options.replicas ?? 3,
      rows: options.rows ?? 100,
      hddTables: options.hddTables ?? 0,
      singleReplicaTables: options.singleReplicaTables ?? 0,
    });
  return { model, wire, zkRootPath: root, addresses: new Map(), boot };
}

async function openRecording(
  options: SandboxOptions,
  config: Pick<ModelConfig, "clock" | "seed" | "tree">,
  recording: Recording,
  ports: { readonly open: (count: number) => Promise<string[]>; readonly wires: WireProcess[] },
): Promise<OpenedCluster> {
  assertNameserver(recording);
  const recorded = [
    ...recordedProcesses(recording, "openmldb.nameserver.NameServer"),
    ...recordedProcesses(recording, "openmldb.api.TabletServer"),
  ]
    .map((process) => process.address)
    .sort();
  const opened = await ports.open(recorded.length);
  const addresses = new Map(recorded.map((address, index) => [address, opened[index] as string]));
  const cluster = loadRecording(renameAddresses(recording, addresses));
  const root = options.zkRootPath ?? recording.rootPath;
  for (const { path, data, isEphemeral } of cluster.znodes) {
    const own = root + path.slice(recording.rootPath.length);
    if (!isEphemeral) putZnode(config.tree, own, data);
  }
  const wire = new WireFace(ports.wires, options.auth);
  const model = new WiredModel(
    {
      ...config,
      root,
      tablets: cluster.tablets,
      nameservers: cluster.nameservers,
      serverNames: cluster.hasServerNames,
    },
    wire,
  );
  const boot = async () => bootRecording(model, cluster);
  return { model, wire, zkRootPath: root, addresses, boot };
}

async function openZooKeeper(
  options: SandboxOptions,
  { model, zkRootPath }: OpenedCluster,
  closers: (() => void | Promise<void>)[],
): Promise<{ readonly address: string; readonly mirror?: ZkMirror }> {
  if (options.zkCluster === undefined) {
    const { port = 0 } = options;
    const server = await startZkServer({ tree: model.tree, port }).catch((cause: unknown) => {
      const message = `the embedded ZooKeeper cannot listen: ${messageOf(cause)}`;
      throw new OpsError({ code: "usage", message, hint: "choose another --port", cause });
    });
    closers.push(() => server.close());
    return { address: `127.0.0.1:${server.port}` };
  }
  const hosts = options.zkCluster.join(",");
  const zookeeper = await connectZooKeeper({
    hosts,
    timeoutMs: ZK_TIMEOUT_MS,
    sessionTimeoutMs: ZK_SESSION_MS,
  });
  let mirror: ZkMirror | undefined;
  closers.push(async () => {
    await mirror?.close();
    await zookeeper.close();
  });
  mirror = await mirrorTree(model.tree, zkRootPath, zookeeper);
  return { address: hosts, mirror };
}

async function moveTablet(
  { model, wire }: OpenedCluster,
  wires: WireProcess[],
  name: string,
): Promise<string> {
  const opened = await WireProcess.open(undefined);
  const { endpoint, address: old } = model.process(name);
  const { address } = opened;
  const to = endpoint === old ? address : endpoint;
  wires.push(opened);
  model.move(name, { endpoint: to, address });
  wire.move(model, old, address);
  await waitFor(model, `${to} is up`, () => model.process(to).isUp);
  return address;
}

async function addTablet(
  { model, wire }: OpenedCluster,
  wires: WireProcess[],
): Promise<{ readonly name: string; readonly address: string }> {
  const opened = await WireProcess.open(undefined);
  const { address } = opened;
  wires.push(opened);
  const process = model.startTablet(address);
  wire.serveProcess(model, process);
  await waitFor(model, `${process.name} is up`, () => process.isUp);
  return { name: process.name, address };
}

/**
 * Kills the processes of an outage and starts them again. Sessions of killed processes end at once
 * instead of after their timeout, so that no test waits for that.
 */
async function restartAll(model: SandboxModel, withNameservers: boolean): Promise<void> {
  const hit = model.processes.filter((one) => one.tablet !== undefined || withNameservers);
  for (const process of hit) {
    process.kill();
    if (process.session !== undefined) model.tree.closeSession(process.session);
  }
  await model.clock.sleep(NOTICE_MS);
  for (const process of hit) process.start();
  const isBack = () => hit.every((process) => process.isUp) && model.leader !== undefined;
  await waitFor(model, "all processes are up", isBack);
}
