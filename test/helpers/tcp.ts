import { connect, createServer, type Server, type Socket } from "node:net";

/** A TCP server of a test, on 127.0.0.1. */
export interface TcpServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Starts a server that calls `onConnection` for each connection. */
export async function startTcp(onConnection: (socket: Socket) => void): Promise<TcpServer> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    onConnection(socket);
  });
  const port = await listen(server);
  return {
    port,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** A forwarder to another port of 127.0.0.1 whose connections can be cut. */
export interface TcpProxy extends TcpServer {
  /** Cuts all connections. With `refuse`, new ones are cut at once too, until {@link mend}. */
  cut(refuse?: boolean): void;
  mend(): void;
  /** Connections made so far. */
  count(): number;
}

export async function startProxy(target: number): Promise<TcpProxy> {
  const pairs = new Set<Socket>();
  let refusing = false;
  let count = 0;
  const cut = (refuse = false) => {
    refusing = refuse;
    for (const socket of pairs) socket.destroy();
    pairs.clear();
  };
  const server = await startTcp((inner) => {
    if (refusing) {
      inner.destroy();
      return;
    }
    count += 1;
    const outer = connect(target, "127.0.0.1");
    outer.on("error", () => inner.destroy());
    outer.on("close", () => inner.destroy());
    inner.on("close", () => outer.destroy());
    inner.pipe(outer);
    outer.pipe(inner);
    pairs.add(inner).add(outer);
  });
  const mend = () => {
    refusing = false;
  };
  return { ...server, cut, mend, count: () => count };
}

/** Returns a port of 127.0.0.1 on which no process listens. */
export async function closedPort(): Promise<number> {
  const server = await startTcp((socket) => void socket.destroy());
  await server.close();
  return server.port;
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address ? address.port : 0);
    });
  });
}
