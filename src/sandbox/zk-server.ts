import { randomBytes } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import type { ZnodeTree } from "./znode-tree.js";
import { JuteError, JuteReader, JuteWriter } from "./zookeeper/jute.js";
import { OP, replyFrame, type ZkPeer, ZkRequests } from "./zookeeper/zk-requests.js";

/** How a server is started. */
export interface ZkServerOptions {
  /** The served tree. It may be changed from outside at any time; watches are notified. */
  readonly tree: ZnodeTree;
  /** Port on 127.0.0.1; 0 or left out: any free one. */
  readonly port?: number;
  /** Shortest session timeout that a client gets, milliseconds; 500 if left out. */
  readonly minSessionMs?: number;
  /** Longest session timeout that a client gets, milliseconds; 40000 if left out. */
  readonly maxSessionMs?: number;
}

/** A running server. */
export interface ZkServer {
  readonly port: number;
  /** Ends all connections and the server. Sessions are dropped, their ephemeral nodes stay. */
  close(): Promise<void>;
  /** Closes all connections; sessions last until their timeout. */
  dropConnections(): void;
  /** Simulates a stopped process: connections are accepted, nothing is read or answered. */
  pause(): void;
  /** Continues after {@link pause}; the timeouts of all sessions start again. */
  resume(): void;
  /** Ends all sessions as if they had timed out, and their connections. */
  expireSessions(): void;
}

interface Session {
  readonly id: bigint;
  readonly password: Buffer;
  readonly timeoutMs: number;
  timer: NodeJS.Timeout | undefined;
  connection: Connection | undefined;
}

interface Connection extends ZkPeer {
  readonly socket: Socket;
  session: bigint;
  unread: Buffer;
}

/** Frames longer than this are refused, as by ZooKeeper's own jute.maxbuffer. */
const FRAME_BYTES_MAX = 4 * 1024 * 1024;
const PASSWORD_BYTES = 16;

/**
 * Starts a small server of the ZooKeeper protocol on 127.0.0.1: sessions with expiry, the operations of
 * {@link ZkRequests}, addauth, and the command `ruok`. No quorum, no log, no multi. Invalid input ends
 * its own connection only.
 *
 * @throws The system's error if the port is in use.
 */
export async function startZkServer(options: ZkServerOptions): Promise<ZkServer> {
  const state = new ServerState(options);
  const server = createServer({ noDelay: true }, (socket) => state.accept(socket));
  const port = await listen(server, options.port ?? 0);
  return {
    port,
    close: () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      state.close();
      return closed;
    },
    dropConnections: () => state.dropConnections(),
    pause: () => state.pause(),
    resume: () => state.resume(),
    expireSessions: () => state.expireSessions(),
  };
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address ? address.port : port);
    });
  });
}

class ServerState {
  readonly #tree: ZnodeTree;
  readonly #requests: ZkRequests;
  readonly #limits: { readonly min: number; readonly max: number };
  readonly #sessions = new Map<bigint, Session>();
  readonly #connections = new Set<Connection>();
  #paused = false;

  constructor(options: ZkServerOptions) {
    this.#tree = options.tree;
    this.#requests = new ZkRequests(options.tree);
    this.#limits = { min: options.minSessionMs ?? 500, max: options.maxSessionMs ?? 40_000 };
  }

  accept(socket: Socket): void {
    const connection: Connection = {
      socket,
      session: 0n,
      identities: [],
      unread: Buffer.alloc(0),
      send: (frame) => void socket.write(frame),
    };
    this.#connections.add(connection);
    socket.on("data", (bytes) => this.#onData(connection, bytes));
    // "close" follows; without a listener the error would end the process.
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#connections.delete(connection);
      this.#requests.forget(connection);
    });
    if (this.#paused) socket.pause();
  }

  close(): void {
    for (const session of this.#sessions.values()) clearTimeout(session.timer);
    this.#sessions.clear();
    this.dropConnections();
    this.#requests.close();
  }

  dropConnections(): void {
    for (const { socket } of this.#connections) socket.destroy();
  }

  pause(): void {
    this.#paused = true;
    for (const { socket } of this.#connections) socket.pause();
    for (const session of this.#sessions.values()) clearTimeout(session.timer);
  }

  resume(): void {
    this.#paused = false;
    for (const session of this.#sessions.values()) this.#touch(session);
    for (const { socket } of this.#connections) socket.resume();
  }

  expireSessions(): void {
    for (const session of [...this.#sessions.values()]) this.#endSession(session);
  }

  #onData(connection: Connection, bytes: Buffer): void {
    connection.unread = Buffer.concat([connection.unread, bytes]);
    try {
      if (connection.session === 0n && connection.unread.toString("latin1") === "ruok") {
        connection.socket.end("imok");
        return;
      }
      while (!connection.socket.destroyed) {
        const body = nextFrame(connection.unread);
        if (body === undefined) return;
        connection.unread = connection.unread.subarray(4 + body.length);
        const frame = new JuteReader(body);
        if (connection.session === 0n) this.#connect(connection, frame);
        else this.#request(connection, frame);
      }
    } catch (error) {
      if (!(error instanceof JuteError)) throw error;
      connection.socket.destroy();
    }
  }

  #connect(connection: Connection, from: JuteReader): void {
    from.int();
    from.long();
    const wantedMs = from.int();
    const id = from.long();
    const password = from.buffer();
    const saysReadOnly = from.left > 0;
    const session = id === 0n ? this.#newSession(wantedMs) : this.#sessions.get(id);
    if (session === undefined || (id !== 0n && !password.equals(session.password))) {
      // Timeout 0 means that the session has expired.
      connection.socket.end(connectFrame(0, 0n, Buffer.alloc(PASSWORD_BYTES), saysReadOnly));
      return;
    }
    session.connection?.socket.destroy();
    session.connection = connection;
    connection.session = session.id;
    this.#touch(session);
    connection.send(connectFrame(session.timeoutMs, session.id, session.password, saysReadOnly));
  }

  #request(connection: Connection, from: JuteReader): void {
    const session = this.#sessions.get(connection.session);
    if (session === undefined || session.connection !== connection) {
      connection.socket.destroy();
      return;
    }
    this.#touch(session);
    const xid = from.int();
    const type = from.int();
    if (type === OP.ping) {
      connection.send(replyFrame(xid, this.#tree.zxid, 0));
    } else if (type === OP.auth) {
      const error = this.#requests.authenticate(connection, from);
      connection.send(replyFrame(xid, this.#tree.zxid, error));
      if (error !== 0) connection.socket.end();
    } else if (type === OP.closeSession) {
      const reply = () => replyFrame(xid, this.#tree.zxid, 0);
      this.#endSession(session, reply);
    } else {
      connection.send(this.#requests.answer(connection, xid, type, from));
    }
  }

  #newSession(wantedMs: number): Session {
    const timeoutMs = Math.min(this.#limits.max, Math.max(this.#limits.min, wantedMs));
    const session: Session = {
      id: this.#tree.newSession(),
      password: randomBytes(PASSWORD_BYTES),
      timeoutMs,
      timer: undefined,
      connection: undefined,
    };
    this.#sessions.set(session.id, session);
    return session;
  }

  #touch(session: Session): void {
    clearTimeout(session.timer);
    session.timer = setTimeout(() => this.#endSession(session), session.timeoutMs);
  }

  #endSession(session: Session, reply?: () => Buffer): void {
    clearTimeout(session.timer);
    this.#sessions.delete(session.id);
    this.#tree.closeSession(session.id);
    const socket = session.connection?.socket;
    if (reply) socket?.end(reply());
    else socket?.destroy();
  }
}

/** The body of the next frame; undefined while it is not complete. */
function nextFrame(bytes: Buffer): Buffer | undefined {
  if (bytes.length < 4) return undefined;
  const length = bytes.readInt32BE();
  if (length < 0 || length > FRAME_BYTES_MAX) throw new JuteError(`frame of ${length} bytes`);
  return bytes.length < 4 + length ? undefined : bytes.subarray(4, 4 + length);
}

function connectFrame(timeout: number, id: bigint, password: Buffer, readOnly: boolean): Buffer {
  const writer = new JuteWriter().int(0).int(timeout).long(id).buffer(password);
  return (readOnly ? writer.bool(false) : writer).frame();
}
