import type { Endpoint } from "../../model/cluster-state.js";
import type { Nameserver } from "../nameserver/nameserver.js";
import { putZnode } from "../table-store.js";
import type { Tablet } from "../tablet/tablet.js";
import type { ZnodeTree } from "../znode-tree.js";
import { ModelFailure, type ProcessSpec } from "./model-types.js";
import type { Random } from "./random.js";
import type { SandboxClock } from "./virtual-clock.js";

/** The context that the processes of one model share. */
export interface ProcessContext {
  readonly clock: SandboxClock;
  readonly tree: ZnodeTree;
  readonly root: string;
  readonly supervisorMs: number;
  readonly random: Random;
  log(what: string): void;
}

type Waiter = { readonly resume: () => void; readonly reset: (why: ModelFailure) => void };

/**
 * One process: started, killed, stopped (SIGSTOP) and continued; and its ZooKeeper session, which
 * outlives a kill by the session timeout.
 */
export class SandboxProcess {
  /** Short name, such as `tablet1` or `nameserver1`. */
  readonly name: string;
  readonly tablet: Tablet | undefined;
  readonly nameserver: Nameserver | undefined;
  readonly #spec: ProcessSpec;
  readonly #context: ProcessContext;
  readonly #sessionMs: number;
  readonly #waiters = new Set<Waiter>();
  /** It runs and has registered in ZooKeeper. */
  isUp = false;
  /** It is stopped: it runs without processor time. */
  isHung = false;
  session: bigint | undefined;
  #lock: string | undefined;
  #life = 0;
  #cancelExpiry: (() => void) | undefined;

  constructor(
    name: string,
    server: { readonly tablet: Tablet } | { readonly nameserver: Nameserver },
    sessionMs: number,
    context: ProcessContext,
  ) {
    this.name = name;
    this.tablet = "tablet" in server ? server.tablet : undefined;
    this.nameserver = "nameserver" in server ? server.nameserver : undefined;
    this.#spec = "tablet" in server ? server.tablet : server.nameserver;
    this.#sessionMs = sessionMs;
    this.#context = context;
  }

  get endpoint(): Endpoint {
    return this.#spec.endpoint;
  }

  /** Where it listens; another one after a move (clusters with server names). */
  get address(): string {
    return this.#spec.address;
  }

  /** The number of starts and kills: each start has new connections. */
  get life(): number {
    return this.#life;
  }

  get isAnswering(): boolean {
    return this.isUp && !this.isHung;
  }

  /** The name of its node below `leader`, if it is a nameserver with a session. */
  get lock(): string | undefined {
    return this.#lock;
  }

  /**
   * Starts it. A tablet whose earlier node still exists exits at once, like the real one, and its
   * supervisor starts it again until the node is gone.
   */
  start(): void {
    this.#life += 1;
    this.#tryStart(this.#life);
  }

  #tryStart(life: number): void {
    if (life !== this.#life) return;
    const { clock, tree, supervisorMs, random } = this.#context;
    if (this.tablet !== undefined && tree.get(this.#node) !== undefined) {
      // Not synchronized with the other timers, as on real machines.
      clock.setTimer(supervisorMs * (0.5 + random.next()), () => this.#tryStart(life));
      return;
    }
    this.isUp = true;
    this.isHung = false;
    this.nameserver?.reset();
    this.#context.log(`${this.name} is up`);
    this.#register(true);
  }

  get #node(): string {
    return `${this.#context.root}/nodes/${this.endpoint}`;
  }

  #register(isFirst: boolean): void {
    const { tree, root } = this.#context;
    const session = tree.newSession();
    this.session = session;
    if (this.tablet !== undefined) {
      const text = isFirst ? `startup_${this.endpoint}` : this.endpoint;
      if (tree.get(this.#node) !== undefined) tree.remove(this.#node);
      tree.create(this.#node, Buffer.from(text), { ephemeralOwner: session, parents: true });
      return;
    }
    if (tree.get(`${root}/nodes`) === undefined) putZnode(tree, `${root}/nodes`, "");
    const lock = { ephemeralOwner: session, sequential: true, parents: true };
    const path = tree.create(`${root}/leader/lock_request`, Buffer.from(this.endpoint), lock);
    this.#lock = path.slice(path.lastIndexOf("/") + 1);
  }

  /**
   * Kills it: memory is lost, callers see a reset, its nodes stay until the session ends.
   *
   * @param leavesNodes Its session never ends, as if kept alive from outside: its nodes stay until
   *   {@link endSession}.
   */
  kill(leavesNodes = false): void {
    this.#life += 1;
    if (!this.isUp) return;
    this.isUp = false;
    this.isHung = false;
    this.tablet?.crash();
    this.nameserver?.loseLeadership();
    this.#context.log(`${this.name} is killed`);
    this.#drop("reset");
    if (!leavesNodes) this.#expireLater(undefined);
  }

  /** Ends its session at once and removes its nodes; does nothing without a session. */
  endSession(): void {
    if (this.session !== undefined) this.#context.tree.closeSession(this.session);
  }

  /** Stops it without killing it. Its session also ends after the timeout. */
  hang(): void {
    if (!this.isAnswering) return;
    this.isHung = true;
    this.#context.log(`${this.name} hangs`);
    this.#expireLater(() => {
      this.session = undefined;
    });
  }

  /** Continues it after {@link hang}: waiting calls are answered now. */
  resume(): void {
    if (!this.isUp || !this.isHung) return;
    this.isHung = false;
    this.#context.log(`${this.name} goes on`);
    if (this.session !== undefined) {
      this.#cancelExpiry?.();
    } else {
      this.nameserver?.loseLeadership();
      this.#register(false);
    }
    this.nameserver?.wake();
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) waiter.resume();
  }

  #expireLater(also: (() => void) | undefined): void {
    const { clock, tree } = this.#context;
    const session = this.session;
    this.#cancelExpiry?.();
    this.#cancelExpiry = undefined;
    if (session === undefined) return;
    const cancel = clock.setTimer(this.#sessionMs, () => {
      also?.();
      tree.closeSession(session);
    });
    // Only a stopped process can keep its session, by continuing in time.
    if (also !== undefined) this.#cancelExpiry = cancel;
  }

  #drop(kind: "reset"): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) waiter.reset(new ModelFailure(kind, this.address));
  }

  /**
   * Runs `fn` as the process: at once, or when it continues; never, if it stays stopped.
   *
   * @throws ModelFailure `refused` when it is down, `reset` when it is killed while `fn` waits.
   */
  whenAnswering<T>(fn: () => T): Promise<T> {
    if (!this.isUp) return Promise.reject(new ModelFailure("refused", this.address));
    if (!this.isHung) return new Promise((resolve) => resolve(fn()));
    return new Promise((resolve, reject) => {
      const resume = () => {
        try {
          resolve(fn());
        } catch (error) {
          reject(error as Error);
        }
      };
      this.#waiters.add({ resume, reset: reject });
    });
  }

  /** Calls `onKill` if it is killed before the returned function is called. */
  watchKill(onKill: (why: ModelFailure) => void): () => void {
    const waiter: Waiter = { resume: () => this.#waiters.add(waiter), reset: onKill };
    this.#waiters.add(waiter);
    return () => this.#waiters.delete(waiter);
  }
}
