import { realClock, steadyWallTime } from "../cluster/real-clock.js";
import type { ZooKeeper } from "../cluster/zookeeper.js";
import { messageOf } from "../errors.js";
import type { OnEvent } from "../model/outcome.js";
import type { MutationCall, MutationHooks } from "../run/watch-mutations.js";
import { newRunId, processIdentity } from "../util/process-identity.js";
import { jsonText } from "../util/text.js";
import { within } from "../util/within.js";
import { type AppendFile, createAppendFile, type DurableLog, durableLog } from "./durable-log.js";
import { eventRecord } from "./event-record.js";
import { isSameRun } from "./read-runs.js";
import {
  type ClusterName,
  type EndRecord,
  JOURNAL_VERSION,
  type JournalRecord,
  type RunRecord,
  resultOf,
} from "./record.js";
import { redactArgs, redactFlags } from "./redact.js";
import { findUnfinished, resumeText } from "./resume.js";
import { deleteOldJournals, journalPath } from "./runs-folder.js";
import { type RunSummary, readRunSummary, writeRunSummary } from "./zk-history.js";

// How a command keeps a journal:
//
//   const journal = await openJournal({ command, id: owner.runId, zk, ... });
//   withRun({ cluster: watchMutations(cluster, journal.hooks), ... }) // includes the guard's calls
//   onEvent: (event) => { progress.onEvent(event); journal.onEvent(event); }
//   await journal.finish({ exitCode });      // on every exit path, before ZooKeeper is closed
//
// The journal wraps the cluster below the lock and the guard, so it records every changing call, ConfSet of
// the guard included. It never throws into the run, and a call waits at most 2 s for the disk: the recovery
// is more important than its journal.

/** Options of {@link openJournal}. */
export interface JournalOptions {
  /** Folder that holds the journals, see `defaultStateDir`. */
  readonly stateDir: string;
  /** Name of the command. */
  readonly command: string;
  /** The arguments as they were typed; secrets are removed here. */
  readonly argv: readonly string[];
  /** The flags in force; secrets are removed here. */
  readonly flags: object;
  readonly cluster: ClusterName;
  /** True if the user wants to continue an unfinished run. */
  readonly isResuming: boolean;
  /** The ZooKeeper that gets a summary of the run; left out: no summary is written. */
  readonly zk?: ZooKeeper | undefined;
  /** Receives notes for the user, one line each. */
  readonly note: (text: string) => void;
  /** Receives, at most once, the reason why the run has no journal any more. */
  readonly warn: (text: string) => void;
  /** Id of the run; a new one if left out. */
  readonly id?: string | undefined;
  /** Milliseconds since the epoch; the real time if left out. */
  readonly now?: (() => number) | undefined;
  /** Creates the file; the real file system if left out. */
  readonly createFile?: ((path: string) => Promise<AppendFile>) | undefined;
}

/** The journal of one run. */
export interface Journal {
  readonly id: string;
  /** Path of the file; undefined if it could not be created. */
  readonly path: string | undefined;
  /** For `watchMutations`. */
  readonly hooks: MutationHooks;
  readonly onEvent: OnEvent;
  /** Writes the end of the run; later calls do nothing. Bounded in time; never throws. */
  finish(end: { readonly exitCode: number; readonly detail?: string }): Promise<void>;
}

/** Number of journals that are kept. */
const KEPT_MAX = 200;
/**
 * Milliseconds that a call may wait until its intent is on the disk. Shorter than a ZooKeeper session timeout, so
 * a lock that was held before the wait is still held after it.
 */
const INTENT_MS = 2_000;
/** Milliseconds that the end of a run may wait for ZooKeeper; a stopped run has 5 s in total. */
const ZK_MS = 2_000;

/** Opens the journal of a run. Never throws: if the file cannot be created, the run continues without a journal. */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const now = options.now ?? steadyWallTime();
  const id = (options.id ?? newRunId(now())).replaceAll(/[^\w.-]/g, "_");
  const resumes = options.isResuming ? await unfinishedBefore(options) : undefined;
  const log = await openLog(options, id);
  const run: RunRecord = {
    kind: "run",
    journalVersion: JOURNAL_VERSION,
    id,
    time: timeText(now),
    ...processIdentity(),
    command: options.command,
    commandLine: redactArgs(options.argv),
    flags: redactFlags(options.flags),
    cluster: options.cluster,
    resumes,
  };
  if (log !== undefined) {
    await atMost(INTENT_MS, log.addDurably(line(run)));
    // The next run tries again what fails here.
    await atMost(INTENT_MS, deleteOldJournals(options.stateDir, KEPT_MAX));
  }
  return journalOf({ run, log, now, summary: summaryWriter(options, run) }, options.stateDir);
}

interface Parts {
  readonly run: RunRecord;
  readonly log: DurableLog | undefined;
  readonly now: () => number;
  readonly summary: SummaryWriter;
}

function journalOf({ run, log, now, summary }: Parts, stateDir: string): Journal {
  const counts = { intents: 0, done: 0, failed: 0 };
  // Several watched clusters may share a journal, and each counts its calls from 1.
  const calls = new WeakMap<MutationCall, string>();
  let isFinished = false;
  return {
    id: run.id,
    path: log && journalPath(stateDir, run.id),
    hooks: {
      async before(call) {
        counts.intents += 1;
        const id = `c${counts.intents}`;
        calls.set(call, id);
        // Only runs with changes get a summary: the others would soon displace them.
        if (counts.intents === 1) summary.write(undefined);
        if (log === undefined) return;
        const { method, target, args } = call;
        const time = timeText(now);
        const intent = line({ kind: "intent", time, call: id, method, target, args });
        await atMost(INTENT_MS, log.addDurably(intent));
      },
      async after(call, outcome) {
        counts[outcome.ok ? "done" : "failed"] += 1;
        const id = calls.get(call) ?? call.id;
        const error = outcome.ok ? undefined : messageOf(outcome.error);
        // Not awaited: a step need not wait for its outcome record. Without it, the cluster shows the effect.
        void log?.addDurably(
          line({ kind: "outcome", time: timeText(now), call: id, isOk: outcome.ok, error }),
        );
      },
    },
    onEvent(event) {
      const record = eventRecord(event, timeText(now));
      if (record !== undefined) log?.add(line(record));
    },
    async finish({ exitCode, detail }) {
      if (isFinished) return;
      isFinished = true;
      const end: EndRecord = {
        kind: "end",
        time: timeText(now),
        result: resultOf(exitCode),
        exitCode,
        counts: { ...counts },
        detail,
      };
      void log?.addDurably(line(end));
      if (counts.intents > 0) summary.write(end);
      await Promise.all([log && atMost(INTENT_MS, log.close()), summary.written()]);
    },
  };
}

/** A record as one line of JSON, with control characters escaped. */
function line(value: JournalRecord | RunSummary): string {
  return `${jsonText(value)}\n`;
}

function timeText(now: () => number): string {
  return new Date(now()).toISOString();
}

/** Looks for a run to continue, and reports it as a note. @returns Its id; undefined if there is none. */
async function unfinishedBefore(options: JournalOptions): Promise<string | undefined> {
  const { stateDir, cluster, command, note, zk } = options;
  const endElsewhere = async (run: RunRecord) => {
    if (zk === undefined) return undefined;
    const { id } = run;
    const short = await readRunSummary(zk, cluster.zkRootPath, { id, note });
    return short !== undefined && isSameRun(short.run, run) ? short.end : undefined;
  };
  try {
    const found = await findUnfinished(stateDir, { cluster, command }, endElsewhere);
    if (found === undefined) {
      note("there is no unfinished run of this cluster in the journal: this is a new run");
      return undefined;
    }
    note(resumeText(found));
    return found.run.id;
  } catch (error) {
    note(`earlier runs cannot be read (${messageOf(error)}): this is a new run`);
    return undefined;
  }
}

async function openLog(options: JournalOptions, id: string): Promise<DurableLog | undefined> {
  const { stateDir, warn, createFile = createAppendFile } = options;
  const reportFailure = (reason: string) =>
    warn(
      `no journal is kept of this run: ${reason}; the run continues without one (see --state_dir)`,
    );
  try {
    return durableLog(await createFile(journalPath(stateDir, id)), reportFailure);
  } catch (error) {
    reportFailure(messageOf(error));
    return undefined;
  }
}

interface SummaryWriter {
  /** Writes the summary in the background. */
  write(end: EndRecord | undefined): void;
  /** Resolves when all writes have ended, at the latest after {@link ZK_MS}. */
  written(): Promise<void>;
}

/** Returns the writer of the summary in ZooKeeper. A failure becomes a note. */
function summaryWriter({ zk, cluster, note }: JournalOptions, run: RunRecord): SummaryWriter {
  let work: Promise<void> = Promise.resolve();
  return {
    write(end) {
      if (zk === undefined) return;
      const text = line({ run: { ...run, flags: {} }, end });
      work = work
        .then(() => writeRunSummary(zk, cluster.zkRootPath, run.id, text))
        .catch((error: unknown) => {
          if (end !== undefined) {
            note(`the summary of this run could not be written to ZooKeeper: ${messageOf(error)}`);
          }
        });
    },
    written: () => atMost(ZK_MS, work),
  };
}

/** Waits for `work`, but no longer than `ms` milliseconds. Its failure is ignored. */
function atMost(ms: number, work: Promise<void>): Promise<void> {
  return within(realClock, ms, "the journal", work).catch(() => undefined);
}
