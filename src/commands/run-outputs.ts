import { existsSync } from "node:fs";
import type { CommonFlags, OutputFlags } from "../cli/common-specs.js";
import { realClock, steadyWallTime } from "../cluster/real-clock.js";
import { isStop, messageOf, OpsError } from "../errors.js";
import { EXIT, exitCodeOf } from "../exit-codes.js";
import { eventRecord } from "../journal/event-record.js";
import { resultOf } from "../journal/record.js";
import { changing } from "../model/advice.js";
import type { OnEvent } from "../model/outcome.js";
import { changesIn } from "../report/activity.js";
import { NO_ROWS, type ReportDocument, type ResultRows } from "../report/document.js";
import { lastSuccessIn, metricsText } from "../report/metrics.js";
import type { TimedEvent } from "../report/timeline.js";
import { replaceFile } from "../util/replace-file.js";
import { clipped, jsonText, safe } from "../util/text.js";
import { readUserFile } from "../util/user-file.js";
import type { CommandIo } from "./command.js";
import { runPostHook } from "./post-hook.js";
import { makeReport, writeReport } from "./report-file.js";

/** Limit in bytes of an existing metrics file; this tool writes no larger ones. */
const METRICS_BYTES_MAX = 1_000_000;
/** Readable for all, because node_exporter runs as another user. */
const METRICS_MODE = 0o644;
/** Characters of a hook's variable; operating systems limit the size of all variables together. */
const VARIABLE_CHARS_MAX = 2_000;
/** Number of remedies in the document of a hook. */
const HOOK_LEFT_MAX = 20;

type ClusterFlags = Pick<CommonFlags, "zkCluster" | "zkRootPath" | "cluster">;

/** Receives the events and the result of a command, for report, metrics and hook. */
export interface RunOutputs {
  readonly onEvent: OnEvent;
  /**
   * @param id Id of the run in the history.
   * @param again The command that continues the run after a stop.
   */
  began(id: string, again: string): void;
  /** Sets the result; a later one replaces it. @param result Called only if a file or a hook needs it. */
  ended(result: () => ResultRows): void;
  /** Writes report and metrics at once, for `--watch`. */
  write(exitCode: number): void;
}

/**
 * Runs a command, then writes the report and the metrics and runs the hook that its flags request, also if the
 * command throws. At that time auto_failover is restored and the lock released. Failures here do not change the exit
 * code.
 *
 * @returns The result of `work`.
 * @throws The error of `work`.
 */
export async function withOutputs(
  flags: Partial<OutputFlags> & ClusterFlags,
  io: CommandIo,
  command: string,
  work: (outputs: RunOutputs) => Promise<number>,
): Promise<number> {
  const gathering = gather(flags, io, command);
  try {
    const exitCode = await work(gathering.outputs);
    await gathering.finish(exitCode, undefined);
    return exitCode;
  } catch (thrown) {
    await gathering.finish(exitCodeOf(thrown), thrown);
    throw thrown;
  }
}

function gather(flags: Partial<OutputFlags> & ClusterFlags, io: CommandIo, command: string) {
  const { report: path, textfile, postHook } = flags;
  const isWanted = path !== undefined || textfile !== undefined || postHook !== undefined;
  const nowMs = steadyWallTime();
  const beganMs = nowMs();
  const events: TimedEvent[] = [];
  let id: string | null = null;
  let again: string | undefined;
  let result: (() => ResultRows) | undefined;
  let isWritten = false;
  const reportOf = (exitCode: number, thrown: unknown): ReportDocument => {
    const { verdict, nameserver, calls, changes, ...rows } =
      result?.() ?? nothingKnown(thrown, again);
    const ended = thrown === undefined ? verdict : failed(thrown);
    return makeReport(flags, {
      ...rows,
      command,
      verdict: { ...ended, exitCode, word: wordOf(exitCode) },
      events,
      beganMs,
      endedMs: nowMs(),
      run: {
        id,
        cluster: reportedCluster(flags),
        nameserver,
        calls,
        changes: changes ?? (id === null ? null : changesIn(events)),
      },
    });
  };
  const write = (report: ReportDocument) => {
    isWritten = true;
    if (path !== undefined) writeReport(path, report, io);
    if (textfile !== undefined) writeMetrics(textfile, report, io);
  };
  const outputs: RunOutputs = {
    onEvent(event) {
      if (!isWanted) return;
      const atMs = nowMs();
      const record = eventRecord(event, new Date(atMs).toISOString());
      if (record !== undefined) events.push({ atMs, event: record });
    },
    began(runId, command) {
      id = runId;
      again = command;
    },
    ended(ending) {
      result = ending;
    },
    write(exitCode) {
      if (isWanted) write(reportOf(exitCode, undefined));
    },
  };
  return {
    outputs,
    /** Never throws, so that the result of the run is reported in any case. */
    async finish(exitCode: number, thrown: unknown) {
      if (!isWanted) return;
      try {
        const report = reportOf(exitCode, thrown);
        // After a signal, a watch has written its last result already.
        if (!(isWritten && io.signal.aborted)) write(report);
        if (postHook !== undefined) await runPostHook(postHook, hookFacts(report, path), io);
      } catch (error) {
        io.log.error(`the report of the run could not be made: ${messageOf(error)}`);
      }
    },
  };
}

/** ZooKeeper servers and root path, preceded by the cluster's name if it has one. */
function reportedCluster({ zkCluster, zkRootPath, cluster }: ClusterFlags): string {
  const place = `${zkCluster.join(",")}${zkRootPath}`;
  return cluster === undefined ? place : `${cluster} (${place})`;
}

function wordOf(exitCode: number): string {
  return exitCode === EXIT.unhealthy ? "unhealthy" : resultOf(exitCode);
}

function failed(thrown: unknown): ResultRows["verdict"] {
  const headline = `ended early: ${messageOf(thrown)}`;
  const hint = thrown instanceof OpsError ? thrown.hint : undefined;
  return { result: "failed", headline, detail: hint ?? "" };
}

/** The result of a command that ended without one. */
function nothingKnown(thrown: unknown, again: string | undefined): ResultRows {
  return {
    verdict:
      thrown === undefined
        ? { result: "ok", headline: "nothing was changed", detail: "" }
        : failed(thrown),
    ...NO_ROWS,
    advice: again === undefined || !isStop(thrown) ? [] : [[changing("to continue", again)]],
    nameserver: { before: null, after: null },
    calls: null,
    changes: null,
  };
}

function writeMetrics(path: string, report: ReportDocument, io: Pick<CommandIo, "log">): void {
  try {
    const lastSuccessSeconds = existsSync(path)
      ? lastSuccessIn(readMetrics(path), report)
      : undefined;
    const nowSeconds = Math.floor(realClock.wallTime() / 1_000);
    replaceFile(path, metricsText(report, { nowSeconds, lastSuccessSeconds }), METRICS_MODE);
  } catch (error) {
    io.log.error(`the metrics could not be written to ${safe(path)}: ${messageOf(error)}`);
  }
}

function readMetrics(path: string): string {
  try {
    return readUserFile(path, { where: safe(path), maxBytes: METRICS_BYTES_MAX });
  } catch {
    return "";
  }
}

/** The input of the hook: the verdict and the counts, without partitions. */
function hookFacts(report: ReportDocument, path: string | undefined) {
  const { schemaVersion, command, verdict, run, counts, autoFailover, left } = report;
  const document = {
    schemaVersion,
    kind: "run-ended",
    command,
    verdict,
    run,
    counts,
    autoFailover,
    left: left.slice(0, HOOK_LEFT_MAX),
    givenUp: report.givenUp.length,
    atRisk: report.atRisk.length,
    report: path ?? null,
  };
  const number = (value: number | undefined) => (value === undefined ? "" : String(value));
  return {
    document: `${jsonText(document, 2)}\n`,
    variables: {
      OPENMLDB_OPS_RUN_COMMAND: command,
      OPENMLDB_OPS_RUN_RESULT: verdict.word,
      OPENMLDB_OPS_RUN_EXIT_CODE: number(verdict.exitCode ?? undefined),
      OPENMLDB_OPS_RUN_HEADLINE: safe(clipped(verdict.headline, VARIABLE_CHARS_MAX)),
      OPENMLDB_OPS_RUN_CLUSTER: safe(clipped(run.cluster, VARIABLE_CHARS_MAX)),
      OPENMLDB_OPS_RUN_ID: run.id ?? "",
      OPENMLDB_OPS_RUN_DURATION_MS: number(run.tookMs ?? undefined),
      OPENMLDB_OPS_RUN_RECOVERED: number(counts?.recovered),
      OPENMLDB_OPS_RUN_UNHEALTHY: number(counts?.unhealthy),
      OPENMLDB_OPS_RUN_NOT_SERVING: number(counts ? counts.partitions - counts.serving : undefined),
      OPENMLDB_OPS_RUN_REPORT: path ?? "",
    },
  };
}
