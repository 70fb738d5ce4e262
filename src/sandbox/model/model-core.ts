import type { DescMessage, DescMethodUnary, Message, MessageInitShape } from "@bufbuild/protobuf";
import { TabletServer } from "../../gen/openmldb/api_pb.js";
import { NameServer } from "../../gen/openmldb/nameserver_pb.js";
import type { Endpoint } from "../../model/cluster-state.js";
import { Nameserver } from "../nameserver/nameserver.js";
import {
  AUTO_FAILOVER_ON,
  MANUAL_METHODS,
  NAMESERVER_HANDLERS,
  NOT_LEADER,
} from "../nameserver/nameserver-rpc.js";
import { putZnode, TableStore, znodeText } from "../table-store.js";
import { Tablet } from "../tablet/tablet.js";
import { TABLET_HANDLERS } from "../tablet/tablet-rpc.js";
import type { ZnodeTree } from "../znode-tree.js";
import { dispatch } from "./handlers.js";
import { Ledger } from "./ledger.js";
import {
  MODEL_DEFAULTS,
  type ModelConfig,
  type ModelEvent,
  ModelFailure,
  type ModelOptions,
  type ProcessSpec,
} from "./model-types.js";
import { SandboxProcess } from "./process.js";
import { type Random, seededRandom } from "./random.js";
import type { SandboxClock } from "./virtual-clock.js";

/** From a change of the znodes to the nameserver's reaction. */
const WATCH_MS = 10;

/** The processes of a model, the election among its nameservers, and the calls to all processes. */
export class ModelCore {
  readonly clock: SandboxClock;
  readonly options: ModelOptions;
  readonly tree: ZnodeTree;
  /** `zk_root_path`. */
  readonly root: string;
  readonly random: Random;
  readonly ledger = new Ledger();
  readonly tablets = new Map<Endpoint, Tablet>();
  readonly nameservers = new Map<Endpoint, Nameserver>();
  /** The event log, oldest first. */
  readonly events: ModelEvent[] = [];
  readonly #hasServerNames: boolean;
  readonly #processes: SandboxProcess[] = [];
  /** The processes that are nameservers. */
  readonly #electors: SandboxProcess[] = [];
  readonly #byAddress = new Map<string, SandboxProcess>();
  readonly #byName = new Map<string, SandboxProcess>();
  #blipUntil = Number.NEGATIVE_INFINITY;
  readonly #lostAnswers = new Map<string, { left: number; how: "reset" | "silence" }>();
  #writers = 0;
  #watchPending = false;
  #leaderLock: string | undefined;

  constructor(config: ModelConfig) {
    this.clock = config.clock;
    this.tree = config.tree;
    this.root = config.root ?? "/openmldb";
    this.options = { ...MODEL_DEFAULTS, ...config.options };
    this.random = seededRandom(config.seed);
    this.#hasServerNames = config.serverNames === true;
    for (const spec of config.tablets) this.addTablet(spec);
    for (const spec of config.nameservers) this.#addNameserver(spec, config);
    if (config.serverNames) {
      for (const { endpoint, address } of [...config.tablets, ...config.nameservers]) {
        // Servers that got an address instead of a name leave the value empty (OpenMLDB 0.9.3).
        const value = endpoint === address ? "" : address;
        putZnode(this.tree, `${this.root}/map/names/${endpoint}`, value);
      }
    }
    const watched = new Set([`${this.root}/nodes`, `${this.root}/leader`]);
    this.tree.onChange(({ type, path }) => {
      if (type === "children" && watched.has(path)) this.#watchLater();
    });
  }

  /** Adds a new tablet, not started yet. */
  addTablet(spec: ProcessSpec): Tablet {
    const tablet = new Tablet(spec, {
      clock: this.clock,
      options: this.options,
      reachable: (endpoint) => this.#reachable(endpoint),
      isRunning: () => this.#byAddress.get(tablet.address)?.isAnswering === true,
      nextWriter: () => this.nextWriter(),
      log: (what) => this.log(what),
    });
    this.tablets.set(spec.endpoint, tablet);
    this.#addProcess(`tablet${this.tablets.size}`, { tablet }, this.options.sessionTimeoutMs);
    return tablet;
  }

  #addNameserver(spec: ProcessSpec, config: ModelConfig): void {
    const context = {
      clock: this.clock,
      options: this.options,
      random: this.random,
      tree: this.tree,
      root: this.root,
      hasServerNames: config.serverNames === true,
      endpoints: () => [...this.tablets.keys()],
      reachable: (endpoint: Endpoint) => this.#reachable(endpoint),
      log: (what: string) => this.log(what),
    };
    const isAnswering = () => this.#byAddress.get(spec.address)?.isAnswering === true;
    const nameserver = new Nameserver(spec, context, isAnswering);
    this.nameservers.set(spec.endpoint, nameserver);
    const name = `nameserver${this.nameservers.size}`;
    this.#addProcess(name, { nameserver }, this.options.nameserverSessionMs);
  }

  #addProcess(
    name: string,
    server: { tablet: Tablet } | { nameserver: Nameserver },
    sessionMs: number,
  ): void {
    const process = new SandboxProcess(name, server, sessionMs, {
      clock: this.clock,
      tree: this.tree,
      root: this.root,
      supervisorMs: this.options.supervisorMs,
      random: this.random,
      log: (what) => this.log(what),
    });
    this.#processes.push(process);
    if (process.nameserver !== undefined) this.#electors.push(process);
    this.#byAddress.set(process.address, process);
    for (const key of [process.address, process.endpoint, name]) this.#byName.set(key, process);
  }

  /** The tablet that answers at the address of this endpoint, whatever its own endpoint is. */
  #reachable(endpoint: Endpoint): Tablet | undefined {
    const process = this.#byAddress.get(this.addressOf(endpoint));
    return process?.isAnswering ? process.tablet : undefined;
  }

  /**
   * The address that the other processes dial for an endpoint: the entry in `map/names`, if not empty.
   */
  addressOf(endpoint: Endpoint): string {
    if (!this.#hasServerNames) return endpoint;
    const named = znodeText(this.tree, `${this.root}/map/names/${endpoint}`);
    return named || endpoint;
  }

  /** Changes a tablet's address (clusters with server names); `map/names` is unchanged. */
  changeAddress(name: string, address: string): void {
    const process = this.process(name);
    this.#byAddress.delete(process.address);
    this.#byName.delete(process.address);
    this.tablet(name).address = address;
    this.#byAddress.set(address, process);
    this.#byName.set(address, process);
  }

  /** A new identity for a leader's entries. */
  nextWriter(): number {
    this.#writers += 1;
    return this.#writers;
  }

  /** Adds a line to the event log. */
  log(what: string): void {
    this.events.push({ at: this.clock.now(), what });
  }

  /**
   * Starts all processes except those in `down`. The first nameserver leads at once, with the contents
   * of the znodes.
   */
  start(options: { readonly down?: readonly string[] } = {}): void {
    const down = new Set((options.down ?? []).map((name) => this.process(name)));
    for (const process of this.#processes) if (!down.has(process)) process.start();
    this.#elect(0);
  }

  /** All processes: tablets, then nameservers. */
  get processes(): readonly SandboxProcess[] {
    return this.#processes;
  }

  /**
   * A process by its short name (`tablet1`, `nameserver1`, `ns1`), endpoint or address.
   *
   * @throws Error if there is none.
   */
  process(name: string): SandboxProcess {
    const found = this.findProcess(name);
    if (found === undefined) throw new Error(`the sandbox has no process ${name}`);
    return found;
  }

  /** The same; undefined if there is none, for example for an endpoint that is only on record. */
  findProcess(name: string): SandboxProcess | undefined {
    return this.#byName.get(name.replace(/^ns(\d+)$/, "nameserver$1"));
  }

  /** A tablet by any name of its process. @throws Error if there is none. */
  tablet(name: string): Tablet {
    const { tablet } = this.process(name);
    if (tablet === undefined) throw new Error(`${name} is not a tablet`);
    return tablet;
  }

  /** The nameserver that leads and has taken over; undefined if there is none. */
  get leader(): Nameserver | undefined {
    const process = this.#electors.find(
      (other) =>
        other.isAnswering && other.nameserver?.isRunning && other.lock === this.#leaderLock,
    );
    return process?.nameserver;
  }

  /** The tables in the leading nameserver's memory, or without one those in the znodes. */
  get tables(): TableStore {
    return this.leader?.tables ?? new TableStore(this.tree, this.root);
  }

  #watchLater(): void {
    if (this.#watchPending) return;
    this.#watchPending = true;
    this.clock.setTimer(WATCH_MS, () => {
      this.#watchPending = false;
      this.#elect(this.options.takeoverMs);
      for (const process of this.#electors) {
        const { nameserver } = process;
        if (nameserver === undefined || !process.isUp) continue;
        process.whenAnswering(() => nameserver.nodesChanged()).catch(() => undefined);
      }
    });
  }

  /** The nameserver with the first lock leads; the one that held it before stops leading. */
  #elect(takeoverMs: number): void {
    const [first] = this.tree.children(`${this.root}/leader`) ?? [];
    if (first === this.#leaderLock) return;
    for (const { lock, nameserver } of this.#electors) {
      if (lock === this.#leaderLock) nameserver?.loseLeadership();
    }
    this.#leaderLock = first;
    const winner = this.#electors.find((process) => process.isUp && process.lock === first);
    winner?.nameserver?.takeOver(takeoverMs);
  }

  /**
   * Calls a method of the process that listens at `address`.
   *
   * @param request A message, or its field values.
   * @returns The answer; it never settles if the process stays stopped.
   * @throws ModelFailure when there is no answer.
   */
  call(
    address: string,
    method: DescMethodUnary,
    request: MessageInitShape<DescMessage>,
  ): Promise<Message> {
    const process = this.#byAddress.get(address);
    return new Promise((resolve, reject) => {
      const isGone = this.#isBlip();
      const unwatch = process?.isUp ? process.watchKill(reject) : undefined;
      this.clock.setTimer(this.options.latencyMs, () => {
        unwatch?.();
        if (process === undefined || unwatch === undefined || isGone) {
          reject(new ModelFailure("refused", address));
          return;
        }
        const answer = process.whenAnswering(() => this.#answer(process, method, request));
        answer.then((message) => {
          const lost = this.#isBlip() ? "reset" : this.#takeLost(method.localName);
          if (lost === "reset") reject(new ModelFailure("reset", address));
          else if (lost === undefined) resolve(message);
        }, reject);
      });
    });
  }

  #answer(
    process: SandboxProcess,
    method: DescMethodUnary,
    request: MessageInitShape<DescMessage>,
  ): Message {
    const answer = this.#dispatch(process, method, request);
    if (answer === undefined) throw new ModelFailure("unimplemented", process.address);
    return answer;
  }

  #dispatch(
    { tablet, nameserver }: SandboxProcess,
    method: DescMethodUnary,
    request: MessageInitShape<DescMessage>,
  ): Message | undefined {
    if (tablet !== undefined && method.parent.typeName === TabletServer.typeName) {
      return dispatch(TABLET_HANDLERS, tablet, method, request);
    }
    if (nameserver === undefined || method.parent.typeName !== NameServer.typeName)
      return undefined;
    const refusal = refusalOf(nameserver, method.localName);
    const handlers =
      refusal === undefined ? NAMESERVER_HANDLERS : { [method.localName]: () => refusal };
    return dispatch(handlers, nameserver, method, request);
  }

  /** The `life` of the process that accepts connections at an address; undefined if none does. */
  lifeAt(address: string): number | undefined {
    const process = this.#byAddress.get(address);
    return process?.isUp && !this.#isBlip() ? process.life : undefined;
  }

  /** For this time no call gets through; a call that has taken effect already loses its answer. */
  blip(ms: number): void {
    this.#blipUntil = this.clock.now() + ms;
    this.log(`the network is gone for ${ms} ms`);
  }

  #isBlip(): boolean {
    return this.clock.now() < this.#blipUntil;
  }

  /**
   * The next calls of a method take effect, but their answers are lost.
   *
   * @param method Name as on the wire, such as `RecoverTable`.
   * @param how The caller sees its connection reset, or nothing until its deadline.
   */
  loseAnswers(method: string, times: number, how: "reset" | "silence" = "reset"): void {
    const localName = method.charAt(0).toLowerCase() + method.slice(1);
    this.#lostAnswers.set(localName, { left: times, how });
  }

  #takeLost(method: string): "reset" | "silence" | undefined {
    const lost = this.#lostAnswers.get(method);
    if (lost === undefined || lost.left === 0) return undefined;
    lost.left -= 1;
    return lost.how;
  }
}

function refusalOf(server: Nameserver, method: string): { code: number; msg: string } | undefined {
  if (!server.isRunning) return NOT_LEADER;
  return server.autoFailover && MANUAL_METHODS.has(method) ? AUTO_FAILOVER_ON : undefined;
}
