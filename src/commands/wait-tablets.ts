import type { WaitFlags } from "../cli/common-specs.js";
import type { Cluster } from "../cluster/cluster.js";
import { messageOf, OpsError, refused } from "../errors.js";
import type { Endpoint } from "../model/cluster-state.js";
import { durationText } from "../model/duration.js";
import type { OnEvent } from "../model/outcome.js";
import { clipped, safe } from "../util/text.js";
import { within } from "../util/within.js";

/** Poll interval in milliseconds. */
const POLL_MS = 1_000;
/** Number of characters of the list of missing tablets that a message shows. */
const NAMES_CHARS_MAX = 300;

/** Options of {@link waitForTablets}. */
export interface WaitOptions {
  readonly flags: WaitFlags;
  /** Tablets that the operator declared lost; they are not waited for. */
  readonly lost?: readonly Endpoint[];
  /** Receives a note each time that the missing tablets change. */
  readonly onEvent: OnEvent;
  /** Aborts the wait with its reason. */
  readonly signal: AbortSignal;
}

/** The tablets that hold replicas by the record, and those of them that are not registered. */
interface Registered {
  readonly ofRecord: readonly Endpoint[];
  readonly missing: readonly Endpoint[];
}

/**
 * Waits until as many tablets as `--wait_tablets` says are registered in ZooKeeper, of those that hold
 * replicas in the nameserver's record. Without the flag it returns at once. Changes nothing. While no
 * nameserver leads, or ZooKeeper does not answer, it keeps waiting.
 *
 * @throws OpsError `time-limit` when `--wait_timeout` has passed, `refused` if the record names fewer
 *   tablets than requested, and any lasting error of a read.
 */
export async function waitForTablets(
  cluster: Pick<Cluster, "clock" | "topology" | "showTable">,
  { flags, lost = [], onEvent, signal }: WaitOptions,
): Promise<void> {
  const { waitTablets: wanted, waitTimeoutMs } = flags;
  if (wanted === undefined) return;
  const { clock } = cluster;
  const end = clock.now() + waitTimeoutMs;
  let reported: string | undefined;
  /** The missing tablets by the last read that succeeded. */
  let known: string | undefined;
  for (;;) {
    const left = end - clock.now();
    const found = await readTablets(cluster, lost, left, signal);
    signal.throwIfAborted();
    if (!("silence" in found) && isEnough(found, wanted)) return;
    const what = "silence" in found ? found.silence : missingText(found, wanted);
    if (!("silence" in found)) known = what;
    if (clock.now() >= end) throw timeIsUp(known ?? what, waitTimeoutMs);
    if (what !== reported) {
      onEvent({ kind: "note", text: `waiting for tablets: ${what}` });
      onEvent({ kind: "phase", phase: "waiting-for-tablets", detail: what });
    }
    reported = what;
    await clock.sleep(Math.max(0, Math.min(POLL_MS, end - clock.now())), signal);
  }
}

/** Reads registrations and record once; `silence` is the reason of a transient failure. */
async function readTablets(
  cluster: Pick<Cluster, "clock" | "topology" | "showTable">,
  lost: readonly Endpoint[],
  leftMs: number,
  signal: AbortSignal,
): Promise<Registered | { readonly silence: string }> {
  try {
    const reads = Promise.all([cluster.topology(), cluster.showTable()]);
    const [topology, tables] = await within(
      cluster.clock,
      Math.max(leftMs, POLL_MS),
      "the nameserver",
      reads,
      signal,
    );
    const holders = tables.flatMap((table) =>
      table.partitions.flatMap((partition) => partition.replicas.map(({ endpoint }) => endpoint)),
    );
    const ofRecord = [...new Set(holders)].filter((one) => !lost.includes(one)).sort();
    const registered = new Set(topology.tablets);
    return { ofRecord, missing: ofRecord.filter((one) => !registered.has(one)) };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof OpsError) || !isTransient(error)) throw error;
    return { silence: messageOf(error) };
  }
}

function isTransient({ retryable, code }: OpsError): boolean {
  return retryable || code === "deadline" || code === "unreachable" || code === "no-leader";
}

/** @throws OpsError `refused` if the record names fewer tablets than that. */
function isEnough({ ofRecord, missing }: Registered, wanted: number | "all"): boolean {
  if (wanted === "all") return missing.length === 0;
  if (wanted > ofRecord.length) {
    throw refused(
      `--wait_tablets=${wanted}, but only ${ofRecord.length} tablets hold replicas by the nameserver's record`,
      "give a smaller number, or --wait_tablets=all",
      ofRecord.map((one) => `on record: ${one}`),
    );
  }
  return ofRecord.length - missing.length >= wanted;
}

function missingText({ ofRecord, missing }: Registered, wanted: number | "all"): string {
  const have = ofRecord.length - missing.length;
  const of = wanted === "all" ? ofRecord.length : wanted;
  return `${have} of ${of} are registered; missing: ${safe(clipped(missing.join(", "), NAMES_CHARS_MAX))}`;
}

function timeIsUp(what: string, waitTimeoutMs: number): OpsError {
  return new OpsError({
    code: "time-limit",
    message: `tablets are still missing after ${durationText(waitTimeoutMs)}: ${what}; nothing was changed`,
    hint: "start them, give a longer --wait_timeout, or run without --wait_tablets",
  });
}
