import { steadyWallTime } from "../cluster/real-clock.js";
import type { ZooKeeper } from "../cluster/zookeeper.js";
import { messageOf } from "../errors.js";
import type { OnEvent } from "../model/outcome.js";
import type { MutationCall, MutationHooks } from "../run/watch-mutations.js";
import { newRunId, whoami } from "../util/process-identity.js";
import { jsonText } from "../util/text.js";
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
import { forgetOld, journalPath } from "./runs-folder.js";
import { type RunInShort, readRunInShort, writeRunInShort } from "./zk-history.js";

// How a command keeps a journal:
//
//   const journal = await keepJournal(flags, io, { command, id: owner.runId, zk });
//   withRun({ cluster: watchMutations(cluster, journal.hooks), ... }) // so the guard is seen too
//   onEvent: (event) => { progress.onEvent(event); journal.onEvent(event); }
//   await journal.finish({ exitCode });      // on every way out, before ZooKeeper is closed
//
// The journal watches the cluster itself, below the lock and the guard: it records the calls that
// are made, ConfSet of the guard included. Nothing here ever throws into the run, and a call never
// waits for the disk for more than 2 s: an operator who recovers a cluster at night wants the
// recovery, with a journal if there can be one.

/** How a journal is opened. */
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
  /** Whether the user wants to continue a run that did not end well. */
  readonly isResuming: boolean;
  /** Where the run in short goes too; left out: nowhere. */
  readonly zk?: ZooKeeper | undefined;
  /** Told what the user should know, one line each. */
  readonly note: (text: string) => void;
  /** Told, once, that there is no journal any more, and why. */
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
  /** Path of the file; undefined if there could be none. */
  readonly path: string | undefined;
  /** For `watchMutations`. */
  readonly hooks: MutationHooks;
  readonly onEvent: OnEvent;
  /** Writes the end of the run; only the first call counts. Bounded, never throws. */
  finish(end: { readonly exitCode: number; readonly detail?: string }): Promise<void>;
}

/** How many journals are kept. */
const KEPT_MAX = 200;
/**
 * How long a call may wait until its intent is on the disk. Shorter than any session of ZooKeeper
 * lasts: a lock that was held before the wait is still held after it.
 */
const INTENT_MS = 2_000;
/** How long the end of a run may wait for ZooKeeper; a run that is stopped has 5 s for everything. */
const ZK_MS = 2_000;

/** Opens the journal of a run that begins now. Never throws: without a file the run goes on. */
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
    ...whoami(),
    command: options.command,
    commandLine: redactArgs(options.argv),
    flags: redactFlags(options.flags),
    cluster: options.cluster,
    ...(resumes !== undefined && { resumes }),
  };
  if (log !== undefined) {
    await atMost(INTENT_MS, log.addDurably(line(run)));
    await atMost(INTENT_MS, forgetOldest(options.stateDir));
  }
  return journalOf({ run, log, now, inShort: shortWriter(options, run) }, options.stateDir);
}

interface Parts {
  readonly run: RunRecord;
  readonly log: DurableLog | undefined;
  readonly now: () => number;
  readonly inShort: ShortWriter;
}

function journalOf({ run, log, now, inShort }: Parts, stateDir: string): Journal {
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
        // Runs that change nothing would soon push the others out.
        if (counts.intents === 1) inShort.write(undefined);
        const { method, target, args } = call;
        const intent = {
          kind: "intent",
          time: timeText(now),
          call: id,
          method,
          target,
          args,
        } as const;
        if (log !== undefined) await atMost(INTENT_MS, log.addDurably(line(intent)));
      },
      async after(call, outcome) {
        counts[outcome.ok ? "done" : "failed"] += 1;
        const id = calls.get(call) ?? call.id;
        const error = outcome.ok ? {} : { error: messageOf(outcome.error) };
        // On its way to the disk at once, but no step waits for it: without it the cluster is looked at.
        void log?.addDurably(
          line({ kind: "outcome", time: timeText(now), call: id, isOk: outcome.ok, ...error }),
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
        ...(detail !== undefined && { detail }),
      };
      void log?.addDurably(line(end));
      if (counts.intents > 0) inShort.write(end);
      await Promise.all([log && atMost(INTENT_MS, log.close()), inShort.written()]);
    },
  };
}

/** One line of JSON that a terminal can show as well. */
function line(value: JournalRecord | RunInShort): string {
  return `${jsonText(value)}\n`;
}

function timeText(now: () => number): string {
  return new Date(now()).toISOString();
}

/** Looks for a run to continue, and tells. @returns Its id. */
async function unfinishedBefore(options: JournalOptions): Promise<string | undefined> {
  const { stateDir, cluster, command, note, zk } = options;
  const endElsewhere = async (run: RunRecord) => {
    if (zk === undefined) return undefined;
    const { id } = run;
    const short = await readRunInShort(zk, cluster.zkRootPath, { id, note });
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
  const giveUp = (reason: string) =>
    warn(
      `no journal is kept of this run: ${reason}; the run continues without one (see --state_dir)`,
    );
  try {
    return durableLog(await createFile(journalPath(stateDir, id)), giveUp);
  } catch (error) {
    giveUp(messageOf(error));
    return undefined;
  }
}

/** Removes all but the newest journals. Too many do no harm today, and the next run tries again. */
async function forgetOldest(stateDir: string): Promise<void> {
  await forgetOld(stateDir, KEPT_MAX).catch(() => undefined);
}

interface ShortWriter {
  /** Writes the run as it is now, in the background. */
  write(end: EndRecord | undefined): void;
  /** Resolves when all writes have ended, or have taken too long. */
  written(): Promise<void>;
}

/** Writes the run in short to ZooKeeper. A ZooKeeper that fails is worth a note only. */
function shortWriter({ zk, cluster, note }: JournalOptions, run: RunRecord): ShortWriter {
  let work: Promise<void> = Promise.resolve();
  return {
    write(end) {
      if (zk === undefined) return;
      const text = line({ run: { ...run, flags: {} }, end });
      work = work
        .then(() => writeRunInShort(zk, cluster.zkRootPath, run.id, text))
        .catch((error: unknown) => {
          if (end !== undefined) {
            note(`ZooKeeper does not get the history of this run: ${messageOf(error)}`);
          }
        });
    },
    written: () => atMost(ZK_MS, work),
  };
}

/** Waits for `work`, which never fails, but no longer than `ms` milliseconds. */
async function atMost(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, limit]);
  clearTimeout(timer);
}
