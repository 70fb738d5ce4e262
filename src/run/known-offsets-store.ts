import type { ZooKeeper } from "../cluster/zookeeper.js";
import { OpsError } from "../errors.js";
import type { Clock } from "../model/clock.js";
import { replicaKey } from "../model/cluster-state.js";
import type { LowerBounds, SeenStore } from "../model/evidence.js";
import type { OnEvent } from "../model/outcome.js";
import { opsPath } from "./owner.js";

/** Version of what is written; a reader understands its own version only. */
const VERSION = 1;
/** How long writing may go on when connections break; the client's own bound holds for each try. */
const WRITE_MS = 5_000;
const PAUSE_MS = 200;

const NAME = /^(\d+)_(\d+)$/;
const NUMBER = /^\d{1,20}$/;

/** Where lower bounds are kept, and how to tell what cannot be read. */
export interface SeenAccess {
  readonly zk: Pick<ZooKeeper, "getChildren" | "getData" | "create" | "setData" | "remove">;
  readonly clock: Clock;
  /** The cluster's root path in ZooKeeper. */
  readonly rootPath: string;
  readonly onEvent: OnEvent;
}

/**
 * Keeps lower bounds under `<zk_root>/ops_tool/seen/<tid>_<pid>` in ZooKeeper, as JSON with 64-bit
 * numbers as decimal strings. OpenMLDB ignores it. To be written by who holds the lock only.
 *
 * Reading costs one call where nothing is kept. What is garbage, or of another version, is ignored
 * with a warning.
 */
export function createSeenStore(access: SeenAccess): SeenStore {
  const { zk, rootPath, onEvent } = access;
  const folder = opsPath(rootPath, "seen");
  const pathOf = (id: { tid: number; pid: number }) => `${folder}/${id.tid}_${id.pid}`;
  return {
    async read() {
      const found = new Map<string, LowerBounds>();
      for (const name of (await zk.getChildren(folder)) ?? []) {
        const [, tid, pid] = NAME.exec(name) ?? [];
        const data = await zk.getData(`${folder}/${name}`);
        if (data === undefined) continue;
        const bounds = tid === undefined ? undefined : decode(data);
        if (bounds === undefined) {
          const text = `what an earlier run left in ZooKeeper at ${folder}/${name} cannot be understood, and is ignored`;
          onEvent({ kind: "warning", text });
          continue;
        }
        found.set(replicaKey({ tid: Number(tid), pid: Number(pid) }), bounds);
      }
      return found;
    },
    remember: (id, bounds) =>
      repeated(access.clock, async () => {
        const data = encode(bounds, `${id.db}.${id.table}:${id.pid}`);
        if (await zk.setData(pathOf(id), data)) return;
        await zk.create(pathOf(id), data, "persistent");
      }),
    forget: (id) =>
      repeated(access.clock, async () => {
        await zk.remove(pathOf(id));
      }),
  };
}

/** @param partition For people who look into ZooKeeper; not read back. */
function encode({ term, offsets }: LowerBounds, partition: string): Buffer {
  const plain = Object.fromEntries([...offsets].map(([endpoint, to]) => [endpoint, String(to)]));
  const content = { version: VERSION, partition, term: String(term), offsets: plain };
  return Buffer.from(JSON.stringify(content), "utf8");
}

/** Undefined if the bytes are not what {@link encode} writes. */
function decode(data: Buffer): LowerBounds | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(data.toString("utf8"));
  } catch {
    return undefined;
  }
  if (typeof parsed !== "object" || parsed === null) return undefined;
  const { version, term, offsets } = parsed as Readonly<Record<string, unknown>>;
  if (version !== VERSION || !isNumber(term)) return undefined;
  if (typeof offsets !== "object" || offsets === null || Array.isArray(offsets)) return undefined;
  const pairs = Object.entries(offsets as Readonly<Record<string, unknown>>);
  const numbers = pairs.filter((pair): pair is [string, string] => isNumber(pair[1]));
  if (numbers.length !== pairs.length) return undefined;
  return { term: BigInt(term), offsets: new Map(numbers.map(([at, to]) => [at, BigInt(to)])) };
}

function isNumber(value: unknown): value is string {
  return typeof value === "string" && NUMBER.test(value);
}

/** All of this may be repeated: a second time it changes nothing. */
async function repeated(clock: Clock, work: () => Promise<void>): Promise<void> {
  const deadline = clock.now() + WRITE_MS;
  for (;;) {
    try {
      return await work();
    } catch (thrown) {
      const mayRepeat = thrown instanceof OpsError && thrown.retryable;
      if (!mayRepeat || clock.now() + PAUSE_MS > deadline) throw thrown;
    }
    await clock.sleep(PAUSE_MS);
  }
}
