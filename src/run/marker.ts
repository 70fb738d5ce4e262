import type { Clock } from "../model/clock.js";
import { checkDocument, type Zod } from "../util/document.js";
import type { GuardMarker } from "./guard.js";
import {
  encode,
  type MarkerContent,
  type OpsZooKeeper,
  OWNER_BOUNDS,
  ownerFields,
  type RunOwner,
} from "./owner.js";
import { repeated } from "./repeated.js";

/**
 * A run switches off only what was on, so `true` is the only value that a marker restores. A marker
 * with `false` was written by hand, and must not make a command switch auto_failover off.
 */
const MARKER = {
  ...OWNER_BOUNDS,
  schema: (z: Zod) =>
    z.object({
      ...ownerFields(z),
      original: z.literal(true),
      // Versions that do not know this field restore the value.
      leftOffSince: z.string().max(100).optional(),
    }),
};

/** The marker's znode, and how to write it. */
export interface MarkerAccess {
  readonly zk: OpsZooKeeper;
  readonly clock: Clock;
  readonly path: string;
}

/**
 * Reads the marker that a run leaves while it keeps auto_failover off.
 *
 * @returns Undefined if there is none.
 * @throws OpsError of ZooKeeper.
 */
export async function readMarker({ zk, path }: MarkerAccess): Promise<MarkerContent | undefined> {
  const data = await zk.getData(path);
  return data && contentOf(data);
}

function contentOf(data: Buffer): MarkerContent {
  const checked = checkDocument(MARKER, data);
  if ("problem" in checked) return { kind: "unreadable", problem: checked.problem };
  const { version: _, original, leftOffSince, ...owner } = checked.value;
  return { kind: "marker", owner, original, leftOffSince };
}

/**
 * The marker of one run, for its guard. Only to be used while the run holds the lock.
 *
 * @param leftOffSince The time since which an earlier run left the value off on purpose; undefined if none did.
 */
export function markerOf(
  access: MarkerAccess,
  owner: RunOwner,
  leftOffSince?: string,
): GuardMarker {
  const { zk, path } = access;
  return {
    write: (isLeftOff) =>
      repeated(access.clock, async () => {
        const since = isLeftOff ? { leftOffSince: leftOffSince ?? owner.time } : {};
        const data = encode(owner, { original: true, ...since });
        if (await zk.setData(path, data)) return;
        await zk.create(path, data, "persistent");
      }),
    // Another run may have taken the marker over; it then restores the value itself.
    remove: () =>
      removeMarker(access, (now) => now.kind === "marker" && now.owner.runId === owner.runId),
  };
}

/** Removes the marker if it has the expected content; a marker that is written in between stays. */
export function removeMarker(
  access: MarkerAccess,
  isExpected: (now: MarkerContent) => boolean,
): Promise<void> {
  return repeated(access.clock, async () => {
    await access.zk.removeIf(access.path, (data) => isExpected(contentOf(data)));
  });
}
