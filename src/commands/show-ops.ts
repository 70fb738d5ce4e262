import type { ShowOpStatusFlags } from "../cli/show-specs.js";
import type { Cluster } from "../cluster/cluster.js";
import { messageOf, OpsError } from "../errors.js";
import { EXIT } from "../exit-codes.js";
import { isOpActive, type Op } from "../model/cluster-state.js";
import { counted } from "../model/counted.js";
import type { OnEvent } from "../model/outcome.js";
import { assertOpPlaces, type OpOptions, selectOps, shownOps } from "../show/ops.js";
import { within } from "../util/within.js";
import type { CommandIo } from "./command.js";
import { type Answer, showCommand } from "./show.js";

/** Poll interval in milliseconds; the nameserver updates its ops every 2 s. */
const POLL_MS = 1_000;

/**
 * Shows the nameserver's ops, and with `--wait` waits first until none of them is queued or running.
 *
 * @returns 0; with `--wait` 3 if an op failed or was cancelled, 7 after the time limit.
 * @throws OpsError `refused` for an unknown database, table, partition or op.
 */
export const showOpStatus = showCommand<ShowOpStatusFlags>(
  "showopstatus",
  async (cluster, { flags, io, onEvent }) => {
    const { db, table } = flags;
    const pids = flags.pid === "all" ? [] : flags.pid;
    const options: OpOptions = { db, table, pids, words: flags.filter, ids: flags.opId };
    const [ops, tables, databases] = await Promise.all([
      cluster.showOpStatus(),
      cluster.showTable(),
      cluster.showDatabase(),
    ]);
    assertOpPlaces({ ops, tables, databases }, options);
    if (flags.wait) return waited(cluster, ops, options, { flags, io, onEvent });
    const empty = ops.length === 0 ? "the nameserver lists no op" : "no op matches";
    return shownOps(selectOps(ops, options), cluster.clock.wallTime(), empty);
  },
);

/** Waits for ops by their ids, because an op that has ended may no longer match the status filter. */
async function waited(
  cluster: Cluster,
  first: readonly Op[],
  options: OpOptions,
  {
    flags,
    io,
    onEvent,
  }: { readonly flags: ShowOpStatusFlags; readonly io: CommandIo; readonly onEvent: OnEvent },
): Promise<Answer> {
  const { clock } = cluster;
  const end = flags.timeoutMs === 0 ? Number.POSITIVE_INFINITY : clock.now() + flags.timeoutMs;
  const seen = new Map<bigint, Op>();
  const named = new Set(options.ids);
  let ops = first;
  for (;;) {
    for (const op of selectOps(ops, options)) {
      // Ops named by id count in any state; other ops count if they were seen before they ended.
      if (isOpActive(op) || named.has(op.id)) seen.set(op.id, op);
    }
    for (const op of ops) if (seen.has(op.id)) seen.set(op.id, op);
    const active = activeOf(seen, ops);
    if (active.length === 0) return answer([...seen.values()], clock.wallTime(), false);
    if (clock.now() >= end) {
      io.log.error(
        `time limit reached: ${active.length} of ${seen.size} ops are still queued or running; run the same command again to keep waiting`,
      );
      return answer([...seen.values()], clock.wallTime(), true);
    }
    const detail = `${seen.size - active.length} of ${counted(seen.size, "op")} have ended`;
    onEvent({ kind: "phase", phase: "waiting-for-ops", detail });
    onEvent({ kind: "ops", ops: active });
    await clock.sleep(Math.max(1, Math.min(POLL_MS, end - clock.now())), io.signal);
    ops = await opsNow(cluster, ops, end, io);
  }
}

/** The ops that have not ended. An op that is no longer listed was deleted, so it has ended. */
function activeOf(seen: ReadonlyMap<bigint, Op>, ops: readonly Op[]): Op[] {
  const listed = new Set(ops.map((op) => op.id));
  return [...seen.values()].filter((op) => isOpActive(op) && listed.has(op.id));
}

/** The ops now; the previous ones if they cannot be read, for example during a change of the leading nameserver. */
async function opsNow(
  cluster: Cluster,
  before: readonly Op[],
  end: number,
  io: CommandIo,
): Promise<readonly Op[]> {
  try {
    const call = cluster.showOpStatus();
    if (end === Number.POSITIVE_INFINITY) return await call;
    return await within(cluster.clock, end - cluster.clock.now(), "the nameserver", call);
  } catch (thrown) {
    io.signal.throwIfAborted();
    if (!(thrown instanceof OpsError) || thrown.code === "rejected") throw thrown;
    io.log.warn(`the ops cannot be read now: ${messageOf(thrown)}`);
    return before;
  }
}

function answer(ops: readonly Op[], now: number, isLate: boolean): Answer {
  const shown = shownOps(
    [...ops].sort((a, b) => (a.id < b.id ? -1 : 1)),
    now,
    "no op is queued or running",
  );
  const isBad = ops.some((op) => !isOpActive(op) && op.status !== "done");
  const ended = isBad ? EXIT.partly : EXIT.ok;
  return { ...shown, exitCode: isLate ? EXIT.timeLimit : ended };
}
