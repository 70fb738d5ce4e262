import { createHash, randomInt } from "node:crypto";
import type { CommonFlags } from "../cli/common-specs.js";
import { commandPrinter } from "../cli/printed-command.js";
import { DEEP_DEFAULTS, type VerifyFlags } from "../cli/verify-specs.js";
import type { Cluster } from "../cluster/cluster.js";
import { adviseOnRows } from "../diagnosis/rows-advice.js";
import { messageOf, OpsError, usageError } from "../errors.js";
import { RULES } from "../execution/rules.js";
import { EXIT } from "../exit-codes.js";
import { type ClusterState, replicaKey } from "../model/cluster-state.js";
import { counted } from "../model/counted.js";
import type { OnEvent } from "../model/outcome.js";
import { compareText, type PartitionView, viewingPartitions } from "../model/partition-view.js";
import type { RunReport } from "../model/report.js";
import type { NamedRow, PartitionRows, RowPosition, RowsReport } from "../model/rows.js";
import type { PrintCommand } from "../model/tool-command.js";
import { observe } from "../observe/cluster.js";
import { identifiedCluster } from "../observe/identified-cluster.js";
import { verifyRows } from "../observe/verify-rows.js";
import { isFree } from "../policy/free-tablets.js";
import { rowTask } from "../policy/rows-to-compare.js";
import { rowsCounts } from "../report/rows-report.js";
import { defaultStateDir } from "../util/process-identity.js";
import { inTurns } from "../util/yielding.js";
import type { ChangingRun } from "./changing-run.js";
import type { CommandIo } from "./command.js";
import { type RowsStore, rowsStore } from "./rows-store.js";

/** The flags of a deep verification. */
export type DeepFlags = Pick<
  VerifyFlags,
  "bytesPerSecond" | "concurrency" | "sample" | "showsKeys"
> &
  CommonFlags;

/** The partitions to compare and all tablets, as they were observed. */
export interface DeepSubject {
  readonly views: readonly PartitionView[];
  readonly tablets: ClusterState["tablets"];
}

/** Range of the random positions of samples, which differ in each run so that repeated samples cover more rows. */
const RANDOM_MAX = 2 ** 32;
/** Number of hexadecimal digits of a key's hash that are shown. */
const HASH_DIGITS = 16;

/** Options of {@link deepVerify}. */
interface DeepRun {
  readonly flags: DeepFlags;
  readonly signal: AbortSignal;
  /** Receives the progress. */
  readonly onEvent: OnEvent;
  /** Results of an earlier run, by `replicaKey`; none if left out. */
  readonly known?: ReadonlyMap<string, PartitionRows<NamedRow>>;
  /** Receives the result of each partition. */
  readonly onCompared?: (one: PartitionRows<NamedRow>) => void;
}

/**
 * Compares the rows of all replicas of the partitions, and reports progress.
 *
 * @throws The reason of the signal.
 */
export async function deepVerify(
  connected: Cluster,
  { views, tablets }: DeepSubject,
  { flags, signal, onEvent, known = new Map(), onCompared }: DeepRun,
): Promise<RowsReport> {
  const cluster = identifiedCluster(connected);
  const began = cluster.clock.now();
  const name = rowNames(flags.showsKeys);
  const compared = new Map(known);
  await verifyRows(views.filter(({ id }) => !known.has(replicaKey(id))).map(rowTask), {
    cluster,
    rules: RULES,
    signal,
    bytesPerSecond: flags.bytesPerSecond,
    concurrency: flags.concurrency,
    sample: flags.sample,
    random: () => randomInt(RANDOM_MAX) / RANDOM_MAX,
    onProgress: (rows) => onEvent({ kind: "rows", rows }),
    onCompared(one) {
      const named = withNames(one, name);
      compared.set(replicaKey(one.id), named);
      onCompared?.(named);
    },
  });
  return {
    partitions: views.flatMap(({ id }) => compared.get(replicaKey(id)) ?? []),
    resumed: known.size,
    sample: flags.sample,
    tookMs: cluster.clock.now() - began,
    adviceOf: adviceOn(views, tablets, commandPrinter(flags)),
  };
}

function adviceOn(
  views: readonly PartitionView[],
  tablets: ClusterState["tablets"],
  print: PrintCommand,
): RowsReport["adviceOf"] {
  return (one) => {
    const view = views.find((of) => replicaKey(of.id) === replicaKey(one.id));
    const spare =
      view === undefined ? [] : [...tablets.keys()].filter((to) => isFree({ tablets }, view, to));
    return adviseOnRows(one, { id: one.id, spare: spare.sort(compareText), print });
  };
}

/**
 * {@link deepVerify} for the command `verify`: stores the results until all partitions are compared, so that
 * `--resume` can continue after a signal.
 *
 * @throws OpsError `usage` if `--resume` finds a file that it cannot read; the reason of the signal.
 */
export async function resumableDeepVerify(
  cluster: Cluster,
  subject: DeepSubject,
  {
    flags,
    io,
    onEvent,
  }: { readonly flags: VerifyFlags; readonly io: CommandIo; readonly onEvent: OnEvent },
): Promise<RowsReport> {
  const store = storeOf(flags, io);
  const known = flags.resume ? resumed(subject.views, store, io) : new Map();
  store.begin([...known.values()]);
  let compared = known.size;
  try {
    const report = await deepVerify(cluster, subject, {
      flags,
      signal: io.signal,
      onEvent,
      known,
      onCompared(one) {
        compared += 1;
        if (one.status !== "not-comparable") store.add(one);
      },
    });
    store.end();
    return report;
  } catch (error) {
    if (io.signal.aborted) {
      io.log.info(`${compared} of ${counted(subject.views.length, "partition")} compared`);
      io.log.info(`to continue: ${resumeCommand(flags)}`);
    }
    throw error;
  }
}

function storeOf(flags: VerifyFlags, io: CommandIo): RowsStore {
  const { zkCluster, zkRootPath, db = null, table = null, sample = null, showsKeys } = flags;
  const pids = flags.pids === undefined || flags.pids === "all" ? null : flags.pids;
  const cluster = { zkCluster, zkRootPath };
  return rowsStore(
    flags.stateDir ?? defaultStateDir(),
    { cluster, db, table, pids, sample, showsKeys },
    (why) => io.log.warn(`--resume will not work: what was compared cannot be kept: ${why}`),
  );
}

function resumed(
  views: readonly PartitionView[],
  store: RowsStore,
  io: CommandIo,
): Map<string, PartitionRows<NamedRow>> {
  const { partitions, note } = store.read();
  if (note !== undefined) throw usageError(note, "leave out --resume");
  const wanted = new Set(views.map(({ id }) => replicaKey(id)));
  const known = partitions.filter(({ id }) => wanted.has(replicaKey(id)));
  io.log.info(
    known.length === 0
      ? "there is no run to continue: all partitions are compared"
      : `${known.length} of ${views.length} partitions were compared by the previous run`,
  );
  return new Map(known.map((one) => [replicaKey(one.id), one]));
}

function resumeCommand(flags: VerifyFlags): string {
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

/** Returns the function that names a row by part of the SHA-256 of its key, and by the key with `--show_keys`. */
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

/** The result of comparing rows after a recovery: the rows, or the error that ended it early. */
export interface DeepEnd {
  readonly rows?: RowsReport;
  readonly error?: OpsError;
}

/** Compares the rows of the reported partitions with the defaults of `verify --deep`. Never throws an OpsError. */
export async function deepAfterRecovery(
  { partitions }: RunReport,
  { opened, signal, onEvent }: ChangingRun,
  flags: Omit<DeepFlags, keyof typeof DEEP_DEFAULTS>,
  io: CommandIo,
): Promise<DeepEnd> {
  const worked = new Set(partitions.map(({ id }) => replicaKey(id)));
  try {
    const state = await observe(identifiedCluster(opened.cluster), { signal, onEvent });
    const views = await inTurns(viewingPartitions(state));
    const subject = {
      views: views.filter(({ id }) => worked.has(replicaKey(id))),
      tablets: state.tablets,
    };
    return {
      rows: await deepVerify(opened.cluster, subject, {
        flags: { ...flags, ...DEEP_DEFAULTS },
        signal,
        onEvent,
      }),
    };
  } catch (error) {
    if (!(error instanceof OpsError)) throw error;
    io.log.warn(`the comparison of rows did not finish: ${messageOf(error)}`);
    return { error };
  }
}

/** The exit code of a recovery combined with the result of comparing rows. */
export function withDeepExit(exitCode: number, { rows, error }: DeepEnd = {}): number {
  if (exitCode === EXIT.notRestored) return exitCode;
  return error === undefined ? withRowsExit(exitCode, rows) : EXIT.partly;
}

/** The exit code of a command combined with the result of comparing rows, if there is one. */
export function withRowsExit(exitCode: number, rows: RowsReport | undefined): number {
  if (rows === undefined) return exitCode;
  const { different, notComparable } = rowsCounts(rows);
  if (different > 0) return EXIT.unhealthy;
  return notComparable > 0 && exitCode === EXIT.ok ? EXIT.partly : exitCode;
}
