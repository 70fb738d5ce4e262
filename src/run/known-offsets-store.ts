import type { ZooKeeper } from "../cluster/zookeeper.js";
import type { Clock } from "../model/clock.js";
import type { LowerBounds } from "../model/cluster-state.js";
import { replicaKey } from "../model/cluster-state.js";
import { type KnownOffsetsStore, keptName } from "../model/evidence.js";
import type { OnEvent } from "../model/outcome.js";
import { checkDocument, type DocumentKind } from "../util/document.js";
import { jsonText } from "../util/text.js";
import { opsPath } from "./owner.js";
import { repeated } from "./repeated.js";

/** Version of the data; a reader accepts its own version only. */
const VERSION = 1;
const NAME = /^(\d{1,10})_(\d{1,10})$/;
/** Invalid znodes that are named one by one; the others are counted. */
const WARNINGS_MAX = 5;
/** OpenMLDB counts offsets and terms in 64 bits without a sign. */
const NUMBER_MAX = 2n ** 64n - 1n;

const KNOWN_OFFSETS: DocumentKind<LowerBounds> = {
  maxBytes: 64 * 1024,
  maxDepth: 3,
  schema: (z) => {
    const number = z
      .string()
      .regex(/^\d{1,20}$/, "expected a number in decimal digits")
      .transform(BigInt)
      .refine((value) => value <= NUMBER_MAX, "expected a number of 64 bits");
    const endpoint = z.string().max(1_000);
    const offsets = z.record(endpoint, number);
    const unproven = z.array(endpoint).optional();
    const alive = z.record(endpoint, z.enum(["leader", "follower"])).optional();
    return z
      .object({
        version: z.literal(VERSION),
        partition: z.string(),
        term: number,
        offsets,
        lastOfLost: offsets.optional(),
        unproven,
        alive,
        parted: offsets.optional(),
      })
      .transform(({ term, partition, ...one }) => ({
        term,
        offsets: new Map(Object.entries(one.offsets)),
        lastOfLost: one.lastOfLost && new Map(Object.entries(one.lastOfLost)),
        unproven: one.unproven && new Set(one.unproven),
        alive: one.alive && new Map(Object.entries(one.alive)),
        parted: one.parted && new Map(Object.entries(one.parted)),
        partition,
      }));
  },
};

/** Where lower bounds are stored, and how invalid data is reported. */
export interface KnownOffsetsAccess {
  readonly zk: Pick<ZooKeeper, "getChildren" | "getData" | "create" | "setData" | "remove">;
  readonly clock: Clock;
  /** The cluster's root path in ZooKeeper. */
  readonly rootPath: string;
  readonly onEvent: OnEvent;
}

/**
 * Stores lower bounds under `<zk_root>/ops_tool/seen/<tid>_<pid>` in ZooKeeper, as JSON with 64-bit
 * numbers as decimal strings. OpenMLDB ignores it. Only the run that holds the lock may write.
 *
 * Reading costs one call if nothing is stored. Invalid data, or data of another version, is ignored
 * with a warning.
 */
export function createKnownOffsetsStore(access: KnownOffsetsAccess): KnownOffsetsStore {
  const { zk, rootPath, onEvent } = access;
  const folder = opsPath(rootPath, "seen");
  const pathOf = (id: { tid: number; pid: number }) => `${folder}/${id.tid}_${id.pid}`;
  return {
    async read() {
      const found = new Map<string, LowerBounds>();
      const ignored: string[] = [];
      for (const name of (await zk.getChildren(folder)) ?? []) {
        const kept = await keptAt(zk, `${folder}/${name}`, name);
        if (kept === undefined) continue;
        if ("problem" in kept)
          ignored.push(`${folder}/${name} is invalid and ignored: ${kept.problem}`);
        else found.set(kept.key, kept.bounds);
      }
      for (const one of ignored.slice(0, WARNINGS_MAX)) {
        onEvent({ kind: "warning", text: `what an earlier run left in ZooKeeper at ${one}` });
      }
      if (ignored.length > WARNINGS_MAX) {
        const text = `${ignored.length - WARNINGS_MAX} more znodes below ${folder} are ignored`;
        onEvent({ kind: "warning", text });
      }
      return found;
    },
    remember: (id, bounds) =>
      repeated(access.clock, async () => {
        const data = encode(bounds, keptName(id));
        if (await zk.setData(pathOf(id), data)) return;
        await zk.create(pathOf(id), data, "persistent");
      }),
    forget: (id) =>
      repeated(access.clock, async () => {
        await zk.remove(pathOf(id));
      }),
  };
}

/** Reads one znode; undefined if it is gone. A znode with another name is not read. */
async function keptAt(
  zk: Pick<ZooKeeper, "getData">,
  path: string,
  name: string,
): Promise<
  { readonly key: string; readonly bounds: LowerBounds } | { readonly problem: string } | undefined
> {
  const [, tid, pid] = NAME.exec(name) ?? [];
  if (tid === undefined) return { problem: "its name is not of the form TID_PID" };
  const data = await zk.getData(path);
  if (data === undefined) return undefined;
  const checked = checkDocument(KNOWN_OFFSETS, data);
  if ("problem" in checked) return checked;
  return { key: replicaKey({ tid: Number(tid), pid: Number(pid) }), bounds: checked.value };
}

function encode(bounds: LowerBounds, partition: string): Buffer {
  const { term, offsets, lastOfLost, unproven, alive, parted } = bounds;
  const plain = (numbers: ReadonlyMap<string, bigint>) =>
    Object.fromEntries([...numbers].map(([endpoint, to]) => [endpoint, String(to)]));
  const content = {
    version: VERSION,
    partition,
    term: String(term),
    offsets: plain(offsets),
    ...(lastOfLost === undefined ? {} : { lastOfLost: plain(lastOfLost) }),
    ...(unproven === undefined ? {} : { unproven: [...unproven] }),
    ...(alive === undefined ? {} : { alive: Object.fromEntries(alive) }),
    ...(parted === undefined ? {} : { parted: plain(parted) }),
  };
  return Buffer.from(jsonText(content), "utf8");
}
