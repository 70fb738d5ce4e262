import { OpsError } from "../errors.js";
import type { Clock } from "../model/clock.js";
import type { GuardMarker } from "./guard.js";
import { decode, encode, type OpsZooKeeper, type RunOwner } from "./owner.js";

/** How long writing may go on when connections break; the client's own bound holds for each try. */
const WRITE_MS = 5_000;
const PAUSE_MS = 200;

/** What the persistent note about auto_failover says. */
export type MarkerContent =
  /** `original` is the value that has to be put back; `owner` is who switched it off. */
  | { readonly kind: "marker"; readonly owner: RunOwner; readonly original: boolean }
  /** There is something, but it does not say what has to be put back. */
  | { readonly kind: "unreadable" };

/** Where the note is, and how to write it. */
export interface MarkerAccess {
  readonly zk: OpsZooKeeper;
  readonly clock: Clock;
  readonly path: string;
}

/**
 * Reads the note that a run leaves while it keeps auto_failover off.
 *
 * @returns Undefined if there is none.
 * @throws OpsError of ZooKeeper.
 */
export async function readMarker({ zk, path }: MarkerAccess): Promise<MarkerContent | undefined> {
  const data = await zk.getData(path);
  if (data === undefined) return undefined;
  const content = decode(data);
  const original = content?.fields["original"];
  return content === undefined || typeof original !== "boolean"
    ? { kind: "unreadable" }
    : { kind: "marker", owner: content.owner, original };
}

/**
 * The note of one run, for its guard. To be used by who holds the lock only.
 *
 * @param original The value that has to be put back.
 */
export function markerOf(access: MarkerAccess, owner: RunOwner, original: boolean): GuardMarker {
  const { zk, path } = access;
  const data = encode(owner, { original });
  return {
    write: () =>
      repeated(access, async () => {
        if (await zk.setData(path, data)) return;
        await zk.create(path, data, "persistent");
      }),
    async remove() {
      const now = await repeated(access, () => readMarker(access));
      // Another run may have taken it over, which puts the value back itself.
      if (now?.kind === "marker" && now.owner.runId === owner.runId) await removeMarker(access);
    },
  };
}

/** Removes the note; nothing happens if there is none. */
export function removeMarker(access: MarkerAccess): Promise<void> {
  return repeated(access, async () => {
    await access.zk.remove(access.path);
  });
}

/** All of this may be repeated: a second time it changes nothing. */
async function repeated<T>({ clock }: MarkerAccess, work: () => Promise<T>): Promise<T> {
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
