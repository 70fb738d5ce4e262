import { createHash, randomInt } from "node:crypto";
import { commandPrinter } from "../cli/printed-command.js";
import type { VerifyFlags } from "../cli/verify-specs.js";
import type { Cluster } from "../cluster/cluster.js";
import { messageOf, OpsError } from "../errors.js";
import { RULES } from "../execution/rules.js";
import type { Inspection } from "../inspect/inspection.js";
import type { PartitionId } from "../model/cluster-state.js";
import type { PartitionView } from "../model/partition-view.js";
import type { NamedRow, PartitionRows, RowPosition, RowsReport } from "../model/rows.js";
import { identifiedCluster } from "../observe/identified-cluster.js";
import { type RowsProgress, verifyRows } from "../observe/verify-rows.js";
import { adviseOnRows } from "../policy/advise-on-rows.js";
import { rowTask } from "../policy/rows-to-compare.js";
import { defaultStateDir } from "../util/process-identity.js";
import { safe } from "../util/text.js";
import type { CommandIo } from "./command.js";
import { idText, type RowsStore, rowsStore } from "./rows-store.js";

/** What a deep verification needs of the flags. */
export type DeepFlags = Pick<
  VerifyFlags,
  "bytesPerSecond" | "concurrency" | "sample" | "showsKeys" | "resume" | "db" | "table" | "pids"
> &
  Omit<VerifyFlags, "isDeep">;

/** How often progress is told. */
const TELL_MS = 10_000;
/** An estimate from less time is worth nothing. */
const ESTIMATE_MS = 15_000;
/** Places of a sample are chosen anew each time, so that many samples see more than one. */
const RANDOM_MAX = 2 ** 32;
/** Digits of a key's hash that are shown. */
const HASH_DIGITS = 16;

/**
 * Compares the rows of all replicas of the partitions that an inspection looked at, and tells how far it is. What was
 * compared is kept until all is, so that `--resume` can go on after a signal.
 *
 * @param isWanted Narrows the partitions further.
 * @throws The reason of a signal.
 */
export async function deepVerify(
  connected: Cluster,
  inspection: Inspection,
  {
    flags,
    io,
    isWanted = () => true,
  }: {
    readonly flags: DeepFlags;
    readonly io: CommandIo;
    readonly isWanted?: ((id: PartitionId) => boolean) | undefined;
  },
): Promise<RowsReport> {
  const cluster = identifiedCluster(connected);
  const began = cluster.clock.now();
  const views = inspection.facts.views.filter(({ id }) => isWanted(id));
  const store = quietStore(flags, io);
  const known = flags.resume
    ? resumed(views, store, io)
    : new Map<string, PartitionRows<NamedRow>>();
  store.begin([...known.values()]);
  const tasks = views.filter(({ id }) => !known.has(idText(id))).map(rowTask);
  const progress = tellProgress(io, cluster);
  const name = rowNames(flags.showsKeys);
  const compared = new Map(known);
  try {
    await verifyRows(tasks, {
      cluster,
      rules: RULES,
      signal: io.signal,
      bytesPerSecond: flags.bytesPerSecond,
      concurrency: flags.concurrency,
      sample: flags.sample,
      random: () => randomInt(RANDOM_MAX) / RANDOM_MAX,
      onProgress: progress.at,
      onCompared(one) {
        const named = withNames(one, name);
        compared.set(idText(one.id), named);
        if (one.status !== "not-comparable") store.add(named);
      },
    });
  } catch (error) {
    if (io.signal.aborted) io.log.info(`to go on: ${resumeCommand(flags)}`);
    throw error;
  } finally {
    progress.stop();
  }
  store.end();
  return {
    partitions: views.flatMap(({ id }) => compared.get(idText(id)) ?? []),
    resumed: known.size,
    sample: flags.sample,
    tookMs: cluster.clock.now() - began,
    adviceOf: adviceOn(inspection, flags),
  };
}

function adviceOn(inspection: Inspection, flags: DeepFlags): RowsReport["adviceOf"] {
  const print = commandPrinter(flags);
  const healthy = inspection.tablets
    .filter((one) => one.health === "ok")
    .map((one) => one.endpoint);
  const { views } = inspection.facts;
  return (one) => {
    const { id } = one;
    const view = views.find((of) => idText(of.id) === idText(id));
    const holders = new Set(view?.replicas.map((replica) => replica.endpoint));
    const spare = healthy.filter((endpoint) => !holders.has(endpoint));
    return adviseOnRows(one, { id, spare, print });
  };
}

/** A store that cannot be written is told once, and changes nothing else. */
function quietStore(flags: DeepFlags, io: CommandIo): RowsStore {
  const { zkCluster, zkRootPath, db = null, table = null, sample = null, showsKeys } = flags;
  const pids = flags.pids === undefined || flags.pids === "all" ? null : flags.pids;
  const store = rowsStore(flags.stateDir ?? defaultStateDir(), {
    cluster: { zkCluster, zkRootPath },
    db,
    table,
    pids,
    sample,
    showsKeys,
  });
  let isBroken = false;
  const guarded = (work: () => void) => {
    if (isBroken) return;
    try {
      work();
    } catch (error) {
      isBroken = true;
      io.log.warn(`--resume will not work: what was compared cannot be kept: ${messageOf(error)}`);
    }
  };
  return {
    read: store.read,
    begin: (kept) => guarded(() => store.begin(kept)),
    add: (one) => guarded(() => store.add(one)),
    end: () => guarded(() => store.end()),
  };
}

function resumed(
  views: readonly PartitionView[],
  store: RowsStore,
  io: CommandIo,
): Map<string, PartitionRows<NamedRow>> {
  const { partitions, note } = store.read();
  if (note !== undefined)
    throw new OpsError({ code: "usage", message: note, hint: "leave out --resume" });
  const wanted = new Set(views.map(({ id }) => idText(id)));
  const known = partitions.filter(({ id }) => wanted.has(idText(id)));
  io.log.info(
    known.length === 0
      ? "there is no run to go on with: all partitions are compared"
      : `${known.length} of ${views.length} partitions were compared by the run before`,
  );
  return new Map(known.map((one) => [idText(one.id), one]));
}

function resumeCommand(flags: DeepFlags): string {
  const { db, table, pids, showsKeys, sample } = flags;
  return commandPrinter(flags)({
    cmd: "verify",
    deep: true,
    resume: true,
    db,
    table,
    pid: pids,
    sample: sample && ("rows" in sample ? String(sample.rows) : `${sample.percent}%`),
    show_keys: showsKeys,
  });
}

/** Names rows by a part of the SHA-256 of their keys, and by the keys themselves if that is wanted. */
function rowNames(showsKeys: boolean): (at: RowPosition) => NamedRow {
  const utf8 = new TextDecoder("utf-8", { fatal: true });
  const keyOf = (pk: Uint8Array) => {
    try {
      return utf8.decode(pk);
    } catch {
      return `0x${Buffer.from(pk).toString("hex")}`;
    }
  };
  return ({ pk, ts }) => ({
    hash: createHash("sha256").update(pk).digest("hex").slice(0, HASH_DIGITS),
    key: showsKeys ? keyOf(pk) : undefined,
    ts,
  });
}

function withNames(
  one: PartitionRows,
  name: (at: RowPosition) => NamedRow,
): PartitionRows<NamedRow> {
  return {
    ...one,
    differences: one.differences.map(({ index, groups }) => ({
      index,
      groups: groups.map((group) => ({
        ...group,
        examples: group.examples.map(name),
      })),
    })),
  };
}

function tellProgress(io: CommandIo, { clock }: Cluster) {
  const began = clock.now();
  let last: RowsProgress | undefined;
  const timer = setInterval(() => {
    if (last !== undefined) io.log.info(safe(progressText(last, clock.now() - began)));
  }, TELL_MS);
  timer.unref();
  return {
    at(progress: RowsProgress) {
      last = progress;
    },
    stop: () => clearInterval(timer),
  };
}

/**
 * How far a deep verification is, and how long it may take: from the pace so far and the rows that are left, both
 * estimates.
 */
export function progressText(progress: RowsProgress, elapsedMs: number): string {
  const { through, of, rows, expectedRows } = progress;
  const percent = expectedRows === 0 ? 100 : Math.floor((rows / expectedRows) * 100);
  const leftMs = rows === 0 ? Number.NaN : ((expectedRows - rows) * elapsedMs) / rows;
  const isKnown = elapsedMs >= ESTIMATE_MS && Number.isFinite(leftMs);
  const left = isKnown ? `, about ${leftText(leftMs)} left` : "";
  return `rows: ${rows.toLocaleString("en-US")} of about ${expectedRows.toLocaleString("en-US")} read (${percent} %), ${through} of ${of} partitions through${left}`;
}

function leftText(ms: number): string {
  const seconds = Math.ceil(ms / 1_000);
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}
