import type { Socket } from "node:net";
import { type Client, createClient } from "node-zookeeper-client";
import { oneLine } from "../util/text.js";
import { FrameError, FrameReader } from "./zookeeper-frames.js";
import { type HostPort, hostPortText } from "./zookeeper-hosts.js";

/** Options of {@link ZkSession}. */
export interface ZkSessionOptions {
  /** The servers, tried in this order repeatedly. */
  readonly hosts: readonly HostPort[];
  /** Limit for one server to answer a connection, milliseconds. */
  readonly attemptMs: number;
  /** Requested session timeout, milliseconds; the server may grant another one. */
  readonly sessionTimeoutMs: number;
  /** Credentials that are sent with each connection; undefined: none. */
  readonly auth?: { readonly scheme: string; readonly secret: string } | undefined;
}

/** Why a session could not execute an operation. Refusals of ZooKeeper are passed on as the library's Exception. */
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

/** The internals of node-zookeeper-client 1.1.3 that {@link ZkSession} replaces; they are not in its types. */
interface Manager {
  state: number;
  servers: readonly HostPort[];
  socket?: Socket;
  connectTimeoutHandler: NodeJS.Timeout | null;
  findNextServer(callback: (server: HostPort) => void): void;
  onSocketData(bytes: Buffer): void;
}

const MANAGER_CLOSING = -1;
/** Pause in milliseconds after all servers have failed once. */
const ROUND_PAUSE_MS = 300;
/** After a connection that lasted this long, the next one is made without a pause. */
const GOOD_CONNECTION_MS = 1000;
const CLOSE_MS = 1000;
/** Limit of the session timeout for the watchdog: a server may grant a longer one than requested. */
const WATCHED_SESSION_MAX_MS = 60_000;

/**
 * One session of node-zookeeper-client, with the library's faults worked around. The library alone
 *
 * - dials without end and reports no reason;
 * - waits without limit for a server that accepts a connection but does not answer;
 * - joins the bytes of a closed connection to those of the next one;
 * - throws from its socket handler, which ends the process, if a peer is not ZooKeeper;
 * - queues operations while disconnected, so that a write may happen long after its caller has failed;
 * - keeps sockets and timers after close.
 *
 * Dialling, framing and closing are therefore done here, and operations are passed on only while connected.
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
  /** Time of the last valid frame from ZooKeeper, milliseconds of `performance.now()`; 0: none. */
  #lastAnswerMs = 0;

  constructor(options: ZkSessionOptions) {
    this.#options = options;
    const { sessionTimeoutMs } = options;
    // The library cannot parse IPv6, so its servers are set below; this address is never dialled.
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

  /** True if the server has ended the session. */
  get expired(): boolean {
    return this.#status === "expired";
  }

  /** True if the session can be used, now or after a reconnect. */
  get #alive(): boolean {
    return this.#status === "connecting" || this.#status === "connected";
  }

  /** The last outcome at each server, such as `zk1:2181 connection refused; zk2:2181 ...`. */
  outcomes(): string {
    return this.#options.hosts
      .map((host) => hostPortText(host))
      .map((name) => `${name} ${this.#outcomes.get(name) ?? "not answered yet"}`)
      .join("; ");
  }

  /**
   * Waits until the session is connected.
   *
   * @throws ZkLoss `timeout` after `timeoutMs`, or the reason why the session has ended.
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
   * Executes one operation, without retries.
   *
   * @param call Starts it on the library's client; must call `done` with the library's answer.
   * @throws ZkLoss, or the library's Exception if ZooKeeper refused the operation.
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

  /** Closes the session at the server, waiting at most a second, and releases sockets and timers in any case. */
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
    // The library's own timer could fire while the next socket is in use.
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

  /** Stores the first outcome of an attempt: later ones are consequences of it. */
  #note(outcome: string): void {
    if (!this.#isNoted) this.#outcomes.set(this.#dialled, outcome);
    this.#isNoted = true;
  }

  /** Passes the library one complete frame at a time, and only valid ones. */
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
      // The library throws if it cannot parse a frame, for example with an unknown error code.
      const isFrame = error instanceof FrameError;
      this.#note(isFrame ? error.message : "answers, but is not ZooKeeper");
      socket?.destroy();
    }
  }

  #onConnected(): void {
    this.#status = "connected";
    clearTimeout(this.#attemptTimer);
    clearInterval(this.#watchdog);
    // The library pings after a third of the timeout without traffic. No answer for two thirds means that the
    // connection is dead, which the library does not detect.
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
    // In this state the library does not reconnect when the socket closes.
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
