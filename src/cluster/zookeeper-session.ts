import type { Socket } from "node:net";
import { type Client, createClient } from "node-zookeeper-client";
import { oneLine } from "./text.js";
import { FrameError, FrameReader } from "./zookeeper-frames.js";
import { type HostPort, hostPortText } from "./zookeeper-hosts.js";

/** What a session needs to know. */
export interface ZkSessionOptions {
  /** Tried in this order, again and again. */
  readonly hosts: readonly HostPort[];
  /** How long one server may take to answer a connection, milliseconds. */
  readonly attemptMs: number;
  /** Session timeout asked for, milliseconds; the server may give another one. */
  readonly sessionTimeoutMs: number;
  /** Sent with each connection, if given. */
  readonly auth?: { readonly scheme: string; readonly secret: string } | undefined;
}

/** Why a session could not carry out an operation (what ZooKeeper itself refuses comes as it is). */
export type ZkLossReason = "timeout" | "lost" | "expired" | "auth-failed" | "closed";

/** Thrown by {@link ZkSession.run}. */
export class ZkLoss extends Error {
  readonly reason: ZkLossReason;

  constructor(reason: ZkLossReason) {
    super(reason);
    this.name = "ZkLoss";
    this.reason = reason;
  }
}

/** The parts of node-zookeeper-client 1.1.3 that {@link ZkSession} takes over; not in its types. */
interface Manager {
  state: number;
  servers: readonly HostPort[];
  socket?: Socket;
  connectTimeoutHandler: NodeJS.Timeout | null;
  findNextServer(callback: (server: HostPort) => void): void;
  onSocketData(bytes: Buffer): void;
}

const MANAGER_CLOSING = -1;
/** Pause when all servers have failed once. */
const ROUND_PAUSE_MS = 300;
/** A connection that lasted this long counts as a good one: the next dial needs no pause. */
const GOOD_CONNECTION_MS = 1000;
const CLOSE_MS = 1000;
/** A server may give a longer session than was asked for, but its end must be noticed in time. */
const WATCHED_SESSION_MAX_MS = 60_000;

/**
 * One session of node-zookeeper-client, made safe. The library on its own dials for ever and tells
 * no reason; waits for ever on a server that accepts and keeps silent; joins bytes of a dead
 * connection to those of the next one; lets an exception out of its socket handler, which ends the
 * process, when a peer is not ZooKeeper; queues operations while it is cut off, so that a write
 * may happen long after its caller gave up; and keeps sockets and timers after close. So dialling,
 * framing and closing are done here, and operations are handed over only while connected.
 */
export class ZkSession {
  readonly #client: Client;
  readonly #manager: Manager;
  readonly #options: ZkSessionOptions;
  readonly #outcomes = new Map<string, string>();
  readonly #waiting = new Set<() => void>();
  readonly #running = new Set<(loss: ZkLoss) => void>();
  #status: "connecting" | "connected" | Exclude<ZkLossReason, "timeout" | "lost"> = "connecting";
  #frames = new FrameReader();
  #dials = 0;
  #dialled = "";
  #isNoted = false;
  #failures = 0;
  #dialTimer: NodeJS.Timeout | undefined;
  #attemptTimer: NodeJS.Timeout | undefined;
  #watchdog: NodeJS.Timeout | undefined;
  #lastAnswerMs = 0;

  constructor(options: ZkSessionOptions) {
    this.#options = options;
    const { sessionTimeoutMs } = options;
    // The library cannot parse IPv6, so it gets its servers below; this text is never dialled.
    this.#client = createClient("unused", { sessionTimeout: sessionTimeoutMs, retries: 0 });
    const holder = this.#client as unknown as { connectionManager: Manager };
    this.#manager = holder.connectionManager;
    this.#manager.servers = options.hosts;
    this.#manager.findNextServer = (callback) => this.#scheduleDial(callback);
    const handleFrame = this.#manager.onSocketData.bind(this.#manager);
    this.#manager.onSocketData = (bytes) => this.#onBytes(bytes, handleFrame);
    this.#client.on("connected", () => this.#onConnected());
    this.#client.on("disconnected", () => this.#onDisconnected());
    this.#client.on("expired", () => this.#onDead("expired"));
    this.#client.on("authenticationFailed", () => this.#onDead("auth-failed"));
    const { auth } = options;
    if (auth) this.#client.addAuthInfo(auth.scheme, Buffer.from(auth.secret, "utf8"));
    this.#client.connect();
  }

  /** Whether the server has ended the session. */
  get expired(): boolean {
    return this.#status === "expired";
  }

  /** Whether the session can still be used, now or after a reconnect. */
  get #alive(): boolean {
    return this.#status === "connecting" || this.#status === "connected";
  }

  /** Time of the last bytes that were ZooKeeper's, milliseconds of `performance.now()`; 0: never. */
  get lastAnswerMs(): number {
    return this.#lastAnswerMs;
  }

  /** What happened last at each server, such as `zk1:2181 connection refused; zk2:2181 ...`. */
  outcomes(): string {
    return this.#options.hosts
      .map((host) => hostPortText(host))
      .map((name) => `${name} ${this.#outcomes.get(name) ?? "not answered yet"}`)
      .join("; ");
  }

  /**
   * Waits until the session is connected.
   *
   * @throws ZkLoss `timeout` after `timeoutMs`, or the reason why it will never be.
   */
  async connected(timeoutMs: number, signal?: AbortSignal): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (this.#status !== "connected") {
      if (!this.#alive) throw new ZkLoss(this.#status as ZkLossReason);
      const left = deadline - performance.now();
      signal?.throwIfAborted();
      if (left <= 0) throw new ZkLoss("timeout");
      await this.#statusChange(left, signal);
    }
  }

  /**
   * Carries out one operation, once.
   *
   * @param call Starts it on the library's client; must call `done` with what the library answers.
   * @throws ZkLoss, or the library's Exception for what ZooKeeper refused.
   */
  async run<T>(
    timeoutMs: number,
    call: (client: Client, done: (error: unknown, value: T) => void) => void,
  ): Promise<T> {
    const deadline = performance.now() + timeoutMs;
    await this.connected(timeoutMs);
    return new Promise<T>((resolve, reject) => {
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        this.#running.delete(lose);
        settle();
      };
      const lose = (loss: ZkLoss) => finish(() => reject(loss));
      const timer = setTimeout(() => lose(new ZkLoss("timeout")), deadline - performance.now());
      this.#running.add(lose);
      try {
        call(this.#client, (error, value) =>
          finish(() => (error ? reject(error) : resolve(value))),
        );
      } catch (error) {
        finish(() => reject(error));
      }
    });
  }

  /** Ends the session at the server if that takes no more than a second, and here in any case. */
  async close(): Promise<void> {
    const socket = this.#manager.socket;
    if (this.#status === "connected" && socket && !socket.destroyed) {
      this.#status = "closed";
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, CLOSE_MS);
        socket.once("close", () => {
          clearTimeout(timer);
          resolve();
        });
        this.#client.close();
      });
    }
    this.#onDead("closed");
  }

  #scheduleDial(callback: (server: HostPort) => void): void {
    if (!this.#alive) return;
    const wait = this.#failures >= this.#options.hosts.length ? ROUND_PAUSE_MS : 0;
    clearTimeout(this.#dialTimer);
    this.#dialTimer = setTimeout(() => this.#dial(callback), wait);
  }

  #dial(callback: (server: HostPort) => void): void {
    const host = this.#options.hosts[this.#dials % this.#options.hosts.length];
    this.#dials += 1;
    if (host === undefined || !this.#alive) return;
    this.#frames = new FrameReader();
    callback(host);
    // The library's own timer may fire when the next socket is in use already.
    clearTimeout(this.#manager.connectTimeoutHandler ?? undefined);
    const socket = this.#manager.socket;
    if (socket === undefined) return;
    const startedMs = performance.now();
    this.#dialled = hostPortText(host);
    this.#isNoted = false;
    clearTimeout(this.#attemptTimer);
    this.#attemptTimer = setTimeout(() => {
      this.#note(socket.connecting ? "connecting timed out" : "accepts connections but is silent");
      socket.destroy();
    }, this.#options.attemptMs);
    socket.once("error", (error: NodeJS.ErrnoException) => this.#note(describe(error)));
    socket.once("close", () => {
      this.#note("closed the connection");
      const lasted = this.#lastAnswerMs - startedMs;
      this.#failures = lasted >= GOOD_CONNECTION_MS ? 0 : this.#failures + 1;
    });
  }

  /** Keeps the first thing that happened in an attempt: what follows is its consequence. */
  #note(outcome: string): void {
    if (!this.#isNoted) this.#outcomes.set(this.#dialled, outcome);
    this.#isNoted = true;
  }

  /** Hands the library one whole frame at a time, and only frames that can be ZooKeeper's. */
  #onBytes(bytes: Buffer, handleFrame: (frame: Buffer) => void): void {
    const socket = this.#manager.socket;
    this.#frames.push(bytes);
    try {
      while (socket && !socket.destroyed) {
        const frame = this.#frames.next(this.#status === "connecting");
        if (frame === undefined) return;
        this.#lastAnswerMs = performance.now();
        handleFrame(frame);
      }
    } catch (error) {
      // The library throws for what it cannot read, such as an error code that it does not know.
      const isFrame = error instanceof FrameError;
      this.#note(isFrame ? error.message : "answers, but is not ZooKeeper");
      socket?.destroy();
    }
  }

  #onConnected(): void {
    this.#status = "connected";
    clearTimeout(this.#attemptTimer);
    clearInterval(this.#watchdog);
    // The library pings after a third of the timeout without traffic, so silence for two thirds
    // means a dead connection, which the library would keep.
    const timeoutMs = Math.min(this.#client.getSessionTimeout(), WATCHED_SESSION_MAX_MS);
    this.#watchdog = setInterval(() => {
      if (performance.now() - this.#lastAnswerMs > (timeoutMs * 2) / 3)
        this.#manager.socket?.destroy();
    }, timeoutMs / 6);
    this.#watchdog.unref();
    this.#wake();
  }

  #onDisconnected(): void {
    clearInterval(this.#watchdog);
    if (this.#alive) this.#status = "connecting";
    this.#loseRunning(new ZkLoss(this.#alive ? "lost" : (this.#status as ZkLossReason)));
  }

  #onDead(reason: "expired" | "auth-failed" | "closed"): void {
    this.#status = reason;
    clearTimeout(this.#dialTimer);
    clearTimeout(this.#attemptTimer);
    clearInterval(this.#watchdog);
    // In this state the library does not dial again when the socket closes.
    this.#manager.state = MANAGER_CLOSING;
    this.#manager.socket?.destroy();
    this.#loseRunning(new ZkLoss(reason));
    this.#wake();
  }

  #loseRunning(loss: ZkLoss): void {
    for (const lose of [...this.#running]) lose(loss);
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  #statusChange(timeoutMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      const timer = setTimeout(wake, timeoutMs);
      this.#waiting.add(wake);
      signal?.addEventListener("abort", wake);
    });
  }
}

function describe(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "ECONNREFUSED":
      return "connection refused";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "name does not resolve";
    case "ETIMEDOUT":
      return "connecting timed out";
    case "ECONNRESET":
    case "EPIPE":
      return "closed the connection";
    default:
      return `failed (${oneLine(error.code ?? error.message)})`;
  }
}
