import {
  ACL,
  type Client,
  Exception,
  Id,
  CreateMode as LibraryMode,
  Permission,
  type Stat,
} from "node-zookeeper-client";
import pRetry from "p-retry";
import { messageOf, OpsError } from "../errors.js";
import { durationText } from "../model/duration.js";
import type { CreateMode, ZooKeeper } from "./zookeeper.js";
import { parseZkHosts } from "./zookeeper-hosts.js";
import { ZkLoss, ZkSession } from "./zookeeper-session.js";

/** Options of {@link connectZooKeeper}. */
export interface ZooKeeperOptions {
  /** `host:port[,host:port...]`, see {@link parseZkHosts}. */
  readonly hosts: string;
  /** Limit for connecting, milliseconds. */
  readonly timeoutMs: number;
  /** Requested session timeout, milliseconds. */
  readonly sessionTimeoutMs: number;
  /** Limit for one operation, including the retries of reads, milliseconds; 10000 if left out. */
  readonly operationTimeoutMs?: number;
  /** Scheme for addauth; `digest` if left out. Used together with `authCert` only. */
  readonly authScheme?: string | undefined;
  /** Credentials for addauth, `user:password` with scheme digest; left out: none are sent. */
  readonly authCert?: string | undefined;
  /** Receives a note for each fault that was handled, one line each. */
  readonly onNote?: ((text: string) => void) | undefined;
  /** Aborting it ends connecting with `interrupted`. */
  readonly signal?: AbortSignal | undefined;
}

const OPERATION_TIMEOUT_MS = 10_000;
const READ_RETRIES = 5;
const AUTH_HINT =
  "give the credentials of the cluster's own configuration: --zk_cert=user:password, and --zk_auth_schema if that is not digest";
const ADDRESS_HINT = "check --zk_cluster: it names the ZooKeeper servers, not the nameservers";

const MODES: Readonly<Record<CreateMode, number>> = {
  persistent: LibraryMode.PERSISTENT,
  ephemeral: LibraryMode.EPHEMERAL,
  "ephemeral-sequential": LibraryMode.EPHEMERAL_SEQUENTIAL,
};

/**
 * Connects to ZooKeeper.
 *
 * If the connection breaks, reads are retried within the limit of the operation. Writes are not, because they may have
 * taken effect. After the session expired (and its ephemeral znodes are gone), the next operation opens a new one.
 *
 * @returns A connected client. Its operations throw OpsError `zookeeper-auth` if the credentials are not sufficient,
 *   `zookeeper-failed` for any other refused or unanswered operation (retryable if the connection was the cause), and
 *   `usage` for malformed paths.
 * @throws OpsError `zookeeper-unreachable` if no server answered in time, with the outcome at each server; `usage` for
 *   malformed `hosts`; `interrupted`.
 */
export async function connectZooKeeper(options: ZooKeeperOptions): Promise<ZooKeeper> {
  const hosts = parseZkHosts(options.hosts);
  const { authCert, authScheme = "digest", onNote } = options;
  const open = () =>
    new ZkSession({
      hosts,
      // Short enough to try each server within the limit.
      attemptMs: options.timeoutMs / (hosts.length + 1),
      sessionTimeoutMs: options.sessionTimeoutMs,
      auth: authCert === undefined ? undefined : { scheme: authScheme, secret: authCert },
    });
  const session = open();
  try {
    await session.connected(options.timeoutMs, options.signal);
  } catch (error) {
    await session.close();
    throw connectError(error, session, options);
  }
  const access = new Access(options, session, () => {
    onNote?.("the ZooKeeper session has expired; opening a new one");
    return open();
  });
  return clientOf(access);
}

function connectError(error: unknown, session: ZkSession, options: ZooKeeperOptions): OpsError {
  if (options.signal?.aborted) {
    return new OpsError({
      code: "interrupted",
      message: "interrupted while connecting to ZooKeeper",
    });
  }
  if (error instanceof ZkLoss && error.reason === "auth-failed") return refused("connect", error);
  return new OpsError({
    code: "zookeeper-unreachable",
    message: `no ZooKeeper answered within ${durationText(options.timeoutMs)}: ${session.outcomes()}`,
    hint: ADDRESS_HINT,
    retryable: true,
  });
}

type Call<T> = (client: Client, done: (error: unknown, value: T) => void) => void;

/** Executes operations within their time limits, and converts all errors to OpsError. */
class Access {
  /** With credentials only they have access to created znodes, as with OpenMLDB's own znodes. */
  readonly acl: ACL[];
  readonly #timeoutMs: number;
  readonly #reopen: () => ZkSession;
  #session: ZkSession;

  constructor(options: ZooKeeperOptions, session: ZkSession, reopen: () => ZkSession) {
    const id = options.authCert === undefined ? new Id("world", "anyone") : new Id("auth", "");
    this.acl = [new ACL(Permission.ALL, id)];
    this.#timeoutMs = options.operationTimeoutMs ?? OPERATION_TIMEOUT_MS;
    this.#reopen = reopen;
    this.#session = session;
  }

  async write<T>(what: string, call: Call<T>): Promise<T> {
    return this.#once(what, this.#timeoutMs, call);
  }

  async read<T>(what: string, call: Call<T>): Promise<T> {
    const deadline = performance.now() + this.#timeoutMs;
    return pRetry(() => this.#once(what, deadline - performance.now(), call), {
      retries: READ_RETRIES,
      minTimeout: 50,
      shouldRetry: ({ error }) =>
        error instanceof OpsError && error.retryable && performance.now() < deadline,
    });
  }

  close(): Promise<void> {
    return this.#session.close();
  }

  async #once<T>(what: string, timeoutMs: number, call: Call<T>): Promise<T> {
    if (this.#session.expired) this.#session = this.#reopen();
    const session = this.#session;
    try {
      return await session.run(timeoutMs, call);
    } catch (error) {
      throw operationError(what, error, session);
    }
  }
}

function clientOf(access: Access): ZooKeeper {
  const create = async (path: string, data: Buffer, mode: CreateMode): Promise<string> => {
    const created = await access.write<unknown>(`create ${path}`, (client, done) =>
      client.create(path, data, access.acl, MODES[mode], done),
    );
    if (typeof created === "string" && created.startsWith(path)) return created;
    throw badAnswer(`create ${path}`);
  };
  const createParents = async (path: string): Promise<void> => {
    const parent = path.slice(0, path.lastIndexOf("/"));
    if (parent === "") return;
    await unless(Exception.NODE_EXISTS, undefined, () =>
      createDeep(parent, Buffer.alloc(0), "persistent"),
    );
  };
  const createDeep = async (path: string, data: Buffer, mode: CreateMode): Promise<string> => {
    const created = await unless(Exception.NO_NODE, undefined, () => create(path, data, mode));
    if (created !== undefined) return created;
    await createParents(path);
    return create(path, data, mode);
  };
  const removeMeant = (path: string, isMeant: IsMeant): Promise<boolean> =>
    unless(Exception.NO_NODE, false, () =>
      unless(Exception.BAD_VERSION, false, () =>
        access.write<boolean>(`remove ${path}`, (client, done) =>
          removeVersion(client, path, isMeant, done),
        ),
      ),
    );
  return {
    getChildren: (path) =>
      unless(Exception.NO_NODE, undefined, async () => {
        const read = access.read<unknown>(`list ${path}`, (client, done) =>
          client.getChildren(path, done),
        );
        return childrenIn(await read, path);
      }),
    getData: (path) =>
      unless(Exception.NO_NODE, undefined, async () => {
        const read = access.read<unknown>(`read ${path}`, (client, done) =>
          client.getData(path, done),
        );
        // A znode can have no data, which ZooKeeper distinguishes from empty data.
        const data = (await read) ?? Buffer.alloc(0);
        if (Buffer.isBuffer(data)) return data;
        throw badAnswer(`read ${path}`);
      }),
    isEphemeral: async (path) => {
      const stat = await access.read<Stat | null | undefined>(`check ${path}`, (client, done) =>
        client.exists(path, done),
      );
      return stat?.ephemeralOwner.some((byte) => byte !== 0);
    },
    create: (path, data, mode) =>
      unless(Exception.NODE_EXISTS, undefined, () => createDeep(path, data, mode)),
    setData: (path, data) =>
      unless(Exception.NO_NODE, false, async () => {
        await access.write(`write ${path}`, (client, done) => client.setData(path, data, done));
        return true;
      }),
    remove: (path) =>
      unless(Exception.NO_NODE, false, async () => {
        await access.write<void>(`remove ${path}`, (client, done) =>
          client.remove(path, (error) => done(error)),
        );
        return true;
      }),
    removeIf: (path, isExpected) => removeMeant(path, (_client, _stat, data) => isExpected(data)),
    isOwn: (path) =>
      access.read<boolean>(`check ${path}`, (client, done) =>
        client.exists(path, (error: unknown, stat: Stat | null | undefined) =>
          done(error, ownedBy(client, stat)),
        ),
      ),
    removeOwn: (path) => removeMeant(path, ownedBy),
    close: () => access.close(),
  };
}

/** True if a znode that was read is one to be removed. */
type IsMeant = (client: Client, stat: Stat, data: Buffer) => boolean;

/**
 * Removes the version that was read, so a znode that another client writes in between stays. Uses one session for both
 * operations: if it ends in between, the removal is refused.
 */
function removeVersion(
  client: Client,
  path: string,
  isMeant: IsMeant,
  done: (error: unknown, isRemoved: boolean) => void,
): void {
  client.getData(path, (error: unknown, data: unknown, stat: Stat | null | undefined) => {
    if (error || !stat) return done(error, false);
    const bytes = Buffer.isBuffer(data) ? data : Buffer.alloc(0);
    if (!isMeant(client, stat, bytes)) return done(undefined, false);
    client.remove(path, stat.version, (refusal: unknown) => done(refusal, true));
  });
}

function ownedBy(client: Client, stat: Stat | null | undefined): boolean {
  return stat?.ephemeralOwner.equals(client.getSessionId()) === true;
}

/** Validates the names, because an invalid name would lead to another path. */
function childrenIn(answer: unknown, path: string): string[] {
  const isName = (name: unknown): name is string =>
    typeof name === "string" && name !== "" && !/^\.{1,2}$|[\p{Cc}/]/u.test(name);
  if (Array.isArray(answer) && answer.every(isName)) return answer;
  throw badAnswer(`list ${path}`);
}

function badAnswer(what: string): OpsError {
  return new OpsError({
    code: "zookeeper-failed",
    message: `ZooKeeper: cannot ${what}: the answer does not fit the request`,
  });
}

async function unless<T, U>(code: number, otherwise: U, action: () => Promise<T>): Promise<T | U> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof OpsError && libraryCode(error.cause) === code) return otherwise;
    throw error;
  }
}

function libraryCode(error: unknown): number | undefined {
  return error instanceof Exception ? error.code : undefined;
}

function operationError(what: string, error: unknown, session: ZkSession): OpsError {
  const code = libraryCode(error);
  if (code === Exception.NO_AUTH || code === Exception.AUTH_FAILED) return refused(what, error);
  if (error instanceof ZkLoss) return lossError(what, error, session);
  if (code === Exception.CONNECTION_LOSS) return lossError(what, new ZkLoss("lost"), session);
  if (code === Exception.SESSION_EXPIRED) return lossError(what, new ZkLoss("expired"), session);
  // Any other error is the library's check of its arguments.
  return new OpsError({
    code: code === undefined ? "usage" : "zookeeper-failed",
    message: `ZooKeeper: cannot ${what}: ${messageOf(error)}`,
    cause: error,
  });
}

function lossError(what: string, loss: ZkLoss, session: ZkSession): OpsError {
  if (loss.reason === "auth-failed") return refused(what, loss);
  const why = {
    timeout: `no answer in time (${session.outcomes()})`,
    lost: `the connection was lost (${session.outcomes()})`,
    expired: "the session has expired",
    closed: "the client is closed",
  }[loss.reason];
  return new OpsError({
    code: "zookeeper-failed",
    message: `ZooKeeper: cannot ${what}: ${why}`,
    retryable: loss.reason !== "closed",
    cause: loss,
  });
}

function refused(what: string, cause: unknown): OpsError {
  return new OpsError({
    code: "zookeeper-auth",
    message: `ZooKeeper: not allowed to ${what}`,
    hint: AUTH_HINT,
    cause,
  });
}
