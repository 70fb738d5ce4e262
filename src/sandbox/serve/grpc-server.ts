import { randomInt } from "node:crypto";
import { createServer, type Server as NetServer, type Socket } from "node:net";
import type {
  DescMessage,
  DescMethod,
  DescMethodUnary,
  DescService,
  Message,
  MessageShape,
} from "@bufbuild/protobuf";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type ConnectionInjector,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { missingRequired } from "../../cluster/required-fields.js";
import { messageOf } from "../../errors.js";
import { ModelFailure } from "../model/model-types.js";

/** All sandbox processes listen on loopback only. */
const HOST = "127.0.0.1";

/**
 * Ports are chosen below the range of outgoing connections, because a killed process must find its port
 * free when it starts again.
 */
const PORT_MIN = 12_000;
const PORT_MAX = 32_000;
const PORT_ATTEMPTS = 1_000;

/** How long a restarting process waits for its port, and how often it tries. */
const LISTEN_LIMIT_MS = 5_000;
const LISTEN_RETRY_MS = 50;

type UnaryMethod = DescMethodUnary<DescMessage, DescMessage>;
type UnaryCall = ServerUnaryCall<Buffer, Buffer>;

/**
 * Computes the answer to one call, without a time limit. Rejects with a ModelFailure if there is none:
 * `unimplemented` becomes the gRPC status of that name, the others close the connection.
 */
export type Answer = (method: UnaryMethod, request: Message) => Promise<Message>;

/** What a process serves. */
export interface WireService {
  /** NameServer or TabletServer. */
  readonly service: DescService;
  readonly answer: Answer;
  /**
   * Accepted values of the `authorization` metadata; undefined accepts every value, but not a missing
   * one.
   */
  readonly credentials: ReadonlySet<string> | undefined;
}

/**
 * The network side of one nameserver or tablet process: a port with a gRPC server. Like brpc, it drops
 * a connection whose first request has no or wrong `authorization` metadata, and sends nothing when it
 * is killed (protocol as observed with OpenMLDB 0.9).
 */
export class WireProcess {
  readonly port: number;
  #listener: NetServer | undefined;
  #injector: ConnectionInjector | undefined;
  #server: Server | undefined;
  #isWanted = true;
  #isClosed = false;
  #starting: Promise<void> | undefined;
  readonly #sockets = new Map<string, Socket>();
  readonly #authorized = new WeakSet<Socket>();
  /** Connections accepted while stopped; they are served after `resume`. */
  #waiting: Socket[] = [];
  #hung: { readonly promise: Promise<void>; readonly release: () => void } | undefined;

  private constructor(port: number, listener: NetServer) {
    this.port = port;
    this.#listener = listener;
    listener.on("connection", (socket) => this.#accept(socket));
  }

  /**
   * Listens, without serving yet.
   *
   * @param port The port to take; undefined for any free one.
   * @throws Error of the system, with `code` `EADDRINUSE`, if `port` is taken.
   */
  static async open(port: number | undefined): Promise<WireProcess> {
    if (port !== undefined) {
      return new WireProcess(port, await listen(port));
    }
    for (let attempt = 0; attempt < PORT_ATTEMPTS; attempt += 1) {
      const candidate = randomInt(PORT_MIN, PORT_MAX);
      const listener = await listen(candidate).catch(ignorePortTaken);
      if (listener !== undefined) {
        return new WireProcess(candidate, listener);
      }
    }
    throw new Error(`no free port between ${PORT_MIN} and ${PORT_MAX}`);
  }

  /** `host:port` to dial. */
  get address(): string {
    return `${HOST}:${this.port}`;
  }

  /** Starts to answer. Called once; earlier connections are served now. */
  serve(wire: WireService): void {
    const server = new Server({
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
    });
    for (const method of wire.service.methods.filter(isUnary)) {
      const handler = (call: UnaryCall, reply: sendUnaryData<Buffer>): void => {
        void this.#handle(wire, method, call, reply);
      };
      server.addService({ [method.name]: definitionOf(method) }, { [method.name]: handler });
    }
    this.#server = server;
    this.#injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    this.#serveWaiting();
  }

  /** Closes the port and all connections at once, as SIGKILL does. */
  kill(): void {
    this.#isWanted = false;
    this.#listener?.close();
    this.#listener = undefined;
    for (const socket of [...this.#sockets.values(), ...this.#waiting]) {
      // The system resets the connections of a process that dies with unread input.
      socket.resetAndDestroy();
    }
    this.#waiting = [];
    this.resume();
  }

  /**
   * Listens again on the same port after `kill`; does nothing if it listens, or was closed.
   *
   * @throws Error of the system, with code `EADDRINUSE`, if the port stays in use for 5 s.
   */
  restart(): Promise<void> {
    this.#isWanted = !this.#isClosed;
    if (this.#isWanted && this.#listener === undefined) {
      this.#starting ??= this.#listenAgain().finally(() => {
        this.#starting = undefined;
      });
    }
    return this.#starting ?? Promise.resolve();
  }

  async #listenAgain(): Promise<void> {
    const listener = await listenPatiently(this.port);
    if (!this.#isWanted) {
      listener.close();
      return;
    }
    this.#listener = listener;
    listener.on("connection", (socket) => this.#accept(socket));
  }

  /** Keeps accepting connections, but answers nothing until `resume`, as after SIGSTOP. */
  hang(): void {
    if (this.#hung === undefined) {
      let release = () => {};
      const promise = new Promise<void>((resolve) => {
        release = resolve;
      });
      this.#hung = { promise, release };
    }
  }

  /** Ends `hang`: pending requests are answered now. */
  resume(): void {
    this.#hung?.release();
    this.#hung = undefined;
    this.#serveWaiting();
  }

  /** Ends everything; the object cannot be used again. */
  close(): void {
    this.#isClosed = true;
    this.kill();
    this.#injector?.destroy();
    this.#server?.forceShutdown();
  }

  #accept(socket: Socket): void {
    socket.on("error", () => socket.destroy());
    if (this.#hung !== undefined || this.#injector === undefined) {
      this.#waiting.push(socket);
      return;
    }
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    this.#sockets.set(peer, socket);
    socket.once("close", () => {
      if (this.#sockets.get(peer) === socket) {
        this.#sockets.delete(peer);
      }
    });
    this.#injector.injectConnection(socket);
  }

  #serveWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const socket of waiting) {
      if (!socket.destroyed) {
        this.#accept(socket);
      }
    }
  }

  async #handle(
    wire: WireService,
    method: UnaryMethod,
    call: UnaryCall,
    reply: sendUnaryData<Buffer>,
  ): Promise<void> {
    const socket = this.#sockets.get(call.getPeer());
    if (socket === undefined || !this.#isAuthorized(wire, socket, call)) {
      socket?.destroy();
      return;
    }
    await this.#hung?.promise;
    const request = decode(method.input, call.request);
    if (request === undefined) {
      reply({ code: status.INVALID_ARGUMENT, details: `Fail to parse ${method.input.name}` });
      return;
    }
    try {
      const answer = await wire.answer(method, request);
      // A process that was stopped meanwhile does not send its answer.
      await this.#hung?.promise;
      reply(null, Buffer.from(toBinary(method.output, answer as MessageShape<DescMessage>)));
    } catch (error) {
      if (!(error instanceof ModelFailure)) {
        reply({ code: status.INTERNAL, details: `the sandbox failed: ${messageOf(error)}` });
      } else if (error.kind === "unimplemented") {
        reply({ code: status.UNIMPLEMENTED, details: `Fail to find method=${method.name}` });
      } else {
        // The process died during the call.
        socket.resetAndDestroy();
      }
    }
  }

  /** The first request of a connection decides for all that follow on it. */
  #isAuthorized(wire: WireService, socket: Socket, call: UnaryCall): boolean {
    if (this.#authorized.has(socket)) {
      return true;
    }
    const [value] = call.metadata.get("authorization");
    if (value === undefined) {
      return false;
    }
    if (wire.credentials !== undefined && !wire.credentials.has(value.toString())) {
      return false;
    }
    this.#authorized.add(socket);
    return true;
  }
}

function isUnary(method: DescMethod): method is UnaryMethod {
  return method.methodKind === "unary";
}

function definitionOf(method: UnaryMethod): MethodDefinition<Buffer, Buffer> {
  const pass = (bytes: Buffer): Buffer => bytes;
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: pass,
    requestDeserialize: pass,
    responseSerialize: pass,
    responseDeserialize: pass,
  };
}

/** @returns Undefined if the bytes are not the message, or lack a required field. */
function decode(type: DescMessage, bytes: Uint8Array): Message | undefined {
  try {
    const message = fromBinary(type, bytes);
    return missingRequired(type, message) === undefined ? message : undefined;
  } catch {
    return undefined;
  }
}

function listen(port: number): Promise<NetServer> {
  return new Promise((resolve, reject) => {
    const server = createServer({ noDelay: true });
    server.once("error", reject);
    server.listen({ host: HOST, port }, () => {
      server.off("error", reject);
      server.on("error", () => server.close());
      resolve(server);
    });
  });
}

async function listenPatiently(port: number): Promise<NetServer> {
  const deadline = performance.now() + LISTEN_LIMIT_MS;
  for (;;) {
    const listener = await listen(port).catch((error: unknown) => {
      if (performance.now() > deadline) {
        throw error;
      }
      return ignorePortTaken(error);
    });
    if (listener !== undefined) {
      return listener;
    }
    await new Promise((resolve) => setTimeout(resolve, LISTEN_RETRY_MS));
  }
}

function ignorePortTaken(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") {
    throw error;
  }
}
