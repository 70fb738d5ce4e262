import { commandText } from "../cli/printed-command.js";
import type { HistoryFlags } from "../cli/tool-specs.js";
import { connectZooKeeper } from "../cluster/zookeeper-client.js";
import { messageOf, usageError } from "../errors.js";
import { EXIT } from "../exit-codes.js";
import {
  clusterText,
  durationOf,
  listText,
  plansOf,
  type RunLine,
  runLine,
  runText,
  statusOf,
  stepsOf,
  summaryLine,
} from "../journal/describe.js";
import { callsOf, type ReadRun, readRun } from "../journal/read-runs.js";
import { journalRows } from "../journal/report-rows.js";
import { listRunIds } from "../journal/runs-folder.js";
import { type RunSummary, readRunSummaries } from "../journal/zk-history.js";
import { NO_ROWS } from "../report/document.js";
import { defaultStateDir } from "../util/process-identity.js";
import { jsonPieces, safe } from "../util/text.js";
import type { CommandIo } from "./command.js";
import { zooKeeperOptions } from "./connect.js";
import { makeReport, type ReportInput, writeReport } from "./report-file.js";
import { ended, print, tableScreen } from "./write.js";

const SCHEMA_VERSION = 1;

/** Limit of listed runs; a machine normally keeps fewer journals. */
const LISTED_MAX = 1_000;
/** Bytes of all journals together that are read as a whole for a list. */
const LIST_BYTES = 64 * 2 ** 20;

/**
 * Lists the runs of this tool, newest first, or shows one of them. Changes nothing.
 *
 * @returns 0; 4 if ZooKeeper was named and cannot be read, after showing the runs with a journal.
 * @throws OpsError `usage` if no run, or more than one, has the given id.
 */
export async function run(flags: HistoryFlags, io: CommandIo): Promise<number> {
  const stateDir = flags.stateDir ?? defaultStateDir();
  const inZooKeeper = await runsInZooKeeper(flags, io);
  const ids = await journalIds(stateDir, io);
  const known: Known = {
    stateDir,
    ids,
    inZooKeeper: new Map(inZooKeeper?.map((one) => [one.run.id, one])),
  };
  const exitCode = inZooKeeper === undefined ? EXIT.refused : EXIT.ok;
  if (flags.id === undefined) await list(known, flags, io);
  else await showOne(flags.id, known, { flags, io });
  return exitCode;
}

async function list(known: Known, flags: HistoryFlags, io: CommandIo): Promise<void> {
  const { stateDir, ids, inZooKeeper } = known;
  const lines: RunLine[] = [];
  let bytesLeft = LIST_BYTES;
  for (const id of ids.slice(0, LISTED_MAX)) {
    io.signal.throwIfAborted();
    const read = await readRun(stateDir, id, bytesLeft);
    if (!read.isPart) bytesLeft -= read.size;
    lines.push(runLine(read, inZooKeeper.get(id)));
  }
  const others = [...inZooKeeper.values()].filter((one) => !ids.includes(one.run.id));
  const all = [...lines, ...others.map(summaryLine)].sort(newestFirst);
  await print(
    io,
    flags.output === "json"
      ? ended(jsonPieces({ schemaVersion: SCHEMA_VERSION, runs: all.map(lineJson) }))
      : listText(all, tableScreen(flags, io)),
  );
  if (ids.length > LISTED_MAX) {
    io.log.info(`${ids.length - LISTED_MAX} older runs are not listed`);
  }
}

function newestFirst(a: RunLine, b: RunLine): number {
  return keyOf(a) < keyOf(b) ? 1 : -1;
}

function keyOf({ run, id }: RunLine): string {
  // Both begin with the time; an id has no milliseconds. A damaged journal has the id only.
  const time = run?.time.replaceAll(/[-:Z]/g, "") ?? id.replace(/Z.*$/, ".000");
  return `${time}${id}`;
}

async function journalIds(stateDir: string, io: CommandIo): Promise<string[]> {
  try {
    return await listRunIds(stateDir);
  } catch (error) {
    io.log.warn(`the journals in ${safe(stateDir)} cannot be listed: ${safe(messageOf(error))}`);
    return [];
  }
}

/** The summaries in ZooKeeper; empty if no ZooKeeper is named, undefined if it cannot be read. */
async function runsInZooKeeper(
  flags: HistoryFlags,
  io: CommandIo,
): Promise<readonly RunSummary[] | undefined> {
  if (flags.zkCluster.length === 0 || flags.zkRootPath === undefined) return [];
  try {
    const zk = await connectZooKeeper(zooKeeperOptions(flags, { signal: io.signal }));
    try {
      return await readRunSummaries(zk, flags.zkRootPath, (text) => io.log.warn(safe(text)));
    } finally {
      await zk.close();
    }
  } catch (error) {
    io.signal.throwIfAborted();
    io.log.warn(`the runs recorded in ZooKeeper are not shown: ${safe(messageOf(error))}`);
    return undefined;
  }
}

interface Known {
  readonly stateDir: string;
  /** Ids of the runs with a journal. */
  readonly ids: readonly string[];
  /** By id. */
  readonly inZooKeeper: ReadonlyMap<string, RunSummary>;
}

async function showOne(
  wanted: string,
  { stateDir, ids, inZooKeeper }: Known,
  { flags, io }: { readonly flags: HistoryFlags; readonly io: CommandIo },
): Promise<void> {
  const id = oneId(wanted, [...new Set([...ids, ...inZooKeeper.keys()])]);
  const read = ids.includes(id) ? await readRun(stateDir, id) : undefined;
  const short = inZooKeeper.get(id);
  const line = read === undefined ? short && summaryLine(short) : runLine(read, short);
  if (line === undefined) return;
  if (flags.report !== undefined) {
    writeReport(flags.report, makeReport(flags, inputOf(line, read)), io);
  }
  await print(
    io,
    flags.output === "json"
      ? ended(jsonPieces({ schemaVersion: SCHEMA_VERSION, run: runJson(line, read) }))
      : [runText(line, read, io.hasColor)],
  );
}

/** Converts a past run to the input of its report. */
function inputOf(line: RunLine, read: ReadRun | undefined): ReportInput {
  const { changes, ...rows } = journalRows(line, read);
  const { run, id } = line;
  return {
    ...rows,
    command: run?.command ?? "unknown",
    ...NO_ROWS,
    run: {
      id,
      cluster: run === undefined ? "unknown" : clusterText(run),
      nameserver: { before: null, after: null },
      calls: null,
      changes,
      host: run?.host ?? "unknown",
      user: run?.user ?? "unknown",
      version: run?.version ?? "unknown",
      commandLine: commandText(run?.commandLine ?? []),
    },
    ranWith: run?.flags ?? {},
  };
}

/** Finds the id that equals or begins with `wanted`. @throws OpsError `usage` unless there is exactly one. */
function oneId(wanted: string, ids: readonly string[]): string {
  const found = ids.includes(wanted) ? [wanted] : ids.filter((id) => id.startsWith(wanted));
  const [id, second] = found;
  if (id !== undefined && second === undefined) return id;
  throw usageError(
    id === undefined
      ? `there is no run ${safe(wanted)}`
      : `${found.length} runs begin with ${safe(wanted)}`,
    "the command history lists the runs (with the same --state_dir and --zk_cluster)",
  );
}

function lineJson(line: RunLine) {
  const { id, run, end, counts, source, notes } = line;
  return {
    id,
    time: run?.time ?? null,
    command: run?.command ?? null,
    result: statusOf(line),
    exitCode: end?.exitCode ?? null,
    durationMs: durationOf(line) ?? null,
    counts: end?.counts ?? counts ?? null,
    host: run?.host ?? null,
    user: run?.user ?? null,
    pid: run?.pid ?? null,
    cluster: run?.cluster ?? null,
    source,
    notes,
  };
}

function runJson(line: RunLine, read: ReadRun | undefined) {
  const { run, end } = line;
  return {
    ...lineJson(line),
    version: run?.version ?? null,
    commandLine: run?.commandLine ?? null,
    flags: run?.flags ?? null,
    resumes: run?.resumes ?? null,
    detail: end?.detail ?? null,
    journal: read?.path ?? null,
    plan: read && plansOf(read),
    steps: read && stepsOf(read),
    calls: read && callsOf(read),
  };
}
