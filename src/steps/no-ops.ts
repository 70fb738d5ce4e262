import type { Cluster } from "../cluster/cluster.js";
import { OpsError } from "../errors.js";
import { isOpActive } from "../model/cluster-state.js";
import type { OnEvent } from "../model/outcome.js";
import type { Limits } from "./step-context.js";

const POLL_MS = 250;

/**
 * Waits until no op of the nameserver is queued or running.
 *
 * @throws OpsError `deadline` if nothing moves for `opTimeoutMs`.
 */
export async function noOps(
  cluster: Pick<Cluster, "clock" | "showOpStatus">,
  options: { readonly limits: Limits; readonly signal: AbortSignal; readonly onEvent?: OnEvent },
): Promise<void> {
  const { clock } = cluster;
  const { limits, signal, onEvent } = options;
  let last = "";
  let movedAt = clock.now();
  for (;;) {
    signal.throwIfAborted();
    const active = (await cluster.showOpStatus()).filter(isOpActive);
    const [first] = active;
    if (first === undefined) return;
    const now = active.map((op) => `${op.id}${op.status}${op.task}`).join();
    if (last === "") {
      const text = `waiting for ${active.length} ops of the nameserver that are under way`;
      onEvent?.({ kind: "note", text });
    }
    if (now !== last) movedAt = clock.now();
    last = now;
    if (clock.now() - movedAt > limits.opTimeoutMs) {
      throw new OpsError({
        code: "deadline",
        message: `op ${first.id} (${first.type}) stands still in task ${first.task} for ${limits.opTimeoutMs / 1000} s`,
        hint: `end it with cancelop --op_id=${first.id}, or give it longer with --op_timeout`,
      });
    }
    await clock.sleep(POLL_MS, signal);
  }
}
