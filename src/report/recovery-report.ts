import { absenceDocument, absenceText } from "../diagnosis/absence-advice.js";
import { messageOf, OpsError } from "../errors.js";
import { adviceText, grouped } from "../model/advice.js";
import type { Endpoint } from "../model/cluster-state.js";
import { counted, suchAs, tally } from "../model/counted.js";
import { durationText } from "../model/duration.js";
import type { ReplicaEvidence } from "../model/evidence.js";
import { countBy } from "../model/groups.js";
import { givenUpCount, sumOfLosses } from "../model/loss.js";
import { partitionName } from "../model/partition-view.js";
import type { Problem } from "../model/problem.js";
import type { PartitionResult, RecoveryCommand, RunReport } from "../model/report.js";
import { grouping, type Lines } from "../model/work.js";
import { evidenceText } from "../policy/evidence.js";
import { jsonPieces, jsonText, lazyList, safe } from "../util/text.js";
import { countsOf, failureText } from "./recovery-rows.js";

/** Version of the JSON document. Fields may be added within a version; readers ignore unknown ones. */
const SCHEMA_VERSION = 1;

/** More lines about unhealthy partitions than this are grouped. */
const SCREEN_LINES = 16;
/** Up to this many partitions are shown one by one in any case. */
const FEW = 4;
/** Limit of the groups, tablets, notes and remedies that are shown then; the others are counted. */
const SHOWN_MAX = 6;
/** Number of partitions of a group that are named. */
const NAMES_MAX = 3;

/** True if something is left to do for a partition. */
function isUnhealthy(one: PartitionResult): boolean {
  return one.status === "unhealthy" || one.status === "needs-decision";
}

/** True if every partition of the report is healthy. */
export function isAllHealthy(report: RunReport): boolean {
  return !report.partitions.some(isUnhealthy);
}

/**
 * The report as one JSON document, in pieces. 64-bit values are decimal strings, times milliseconds.
 *
 * @param exitCode The exit code of the process.
 * @param rows The result of comparing rows; undefined if none were compared.
 */
export function reportJson(
  report: RunReport,
  exitCode: number,
  rows?: object | undefined,
): Generator<string> {
  return jsonPieces(
    {
      schemaVersion: SCHEMA_VERSION,
      command: report.command,
      exitCode,
      healthy: isAllHealthy(report),
      nameserver: report.leader,
      counts: countsOf(report),
      autoFailover: {
        before: report.autoFailover.before,
        after: report.autoFailover.after ?? null,
        notRestored: report.autoFailover.notRestored ?? null,
        ...(report.autoFailover.isLeftOff ? { leftOff: true } : {}),
      },
      ...(report.lost === undefined ? {} : { lost: report.lost }),
      changes: report.changes,
      calls: report.calls,
      tookMs: report.tookMs,
      sickTablets: report.absentTablets.map(({ endpoint, reason, absence }) => ({
        endpoint,
        reason,
        absence: absenceDocument(absence),
      })),
      ...(rows === undefined ? {} : { rows }),
      partitions: lazyList(report.partitions, partitionJson),
    },
    2,
  );
}

/** The JSON document of a run that ended early, after it had made changes. */
export function earlyEndJson(end: {
  readonly command: RecoveryCommand;
  readonly error: unknown;
  readonly notRestored: string | undefined;
  readonly restoreCommand: string;
  readonly exitCode: number;
}): string {
  const { error, notRestored } = end;
  return jsonText(
    {
      schemaVersion: SCHEMA_VERSION,
      command: end.command,
      exitCode: end.exitCode,
      healthy: false,
      error: {
        code: error instanceof OpsError ? error.code : "unexpected",
        message: messageOf(error),
        hint: "run the same command again to continue",
      },
      autoFailover: {
        notRestored: notRestored ?? null,
        restoreCommand: notRestored === undefined ? null : end.restoreCommand,
      },
    },
    2,
  );
}

function partitionJson(one: PartitionResult) {
  return {
    ...one.id,
    status: one.status,
    serving: one.isServing,
    leader: one.leader ?? null,
    problems: one.problems.map((problem) => ({ ...problem, endpoint: problem.endpoint ?? null })),
    failure: failureJson(one),
    notes: one.notes,
    evidence: one.evidence.map(evidenceJson),
    next: one.next.length === 0 ? null : adviceText(one.next),
  };
}

function evidenceJson(one: ReplicaEvidence) {
  const text = (value: bigint | undefined) => (value === undefined ? null : String(value));
  const { snapshot } = one;
  return {
    endpoint: one.endpoint,
    wasLeader: one.wasLeader,
    wasAlive: one.wasAlive,
    offset: {
      loaded: text(one.loaded),
      nameserver: text(one.claimed),
      earlierRun: text(one.remembered),
    },
    snapshot:
      snapshot === undefined
        ? null
        : { term: String(snapshot.term), offset: String(snapshot.offset) },
    records: { loaded: text(one.records.loaded), nameserver: text(one.records.claimed) },
  };
}

function failureJson({ failure }: PartitionResult) {
  if (failure === undefined) return null;
  const { step, endpoint, detail } = failure;
  return { step, endpoint: endpoint ?? null, detail };
}

/**
 * The report in words: absent tablets, unhealthy partitions with cause and next command, and the
 * verdict as the last line. Many partitions in the same state form one group. Names are made safe for a
 * terminal.
 */
export function* reportText(
  report: RunReport,
  {
    isVerbose = false,
    isLogSeen = false,
  }: {
    /** True if everything is shown one by one, whatever its length. */
    readonly isVerbose?: boolean;
    /** True if the log is shown above it on the same terminal. */
    readonly isLogSeen?: boolean;
  } = {},
): Lines {
  const most = isVerbose ? Number.POSITIVE_INFINITY : SHOWN_MAX;
  const unhealthy = report.partitions.filter(isUnhealthy);
  const absent = new Set(report.absentTablets.map((one) => one.endpoint));
  yield* first(report.absentTablets, most, "tablets that are not healthy", (one) => [
    `tablet ${safe(one.endpoint)} is ${safe(absenceText(one.absence, one.reason))}`,
  ]);
  yield undefined;
  const notes = report.partitions.flatMap(({ id, notes }) => notes.map((note) => ({ id, note })));
  yield* first(notes, most, "notes", ({ id, note }) => [
    `${safe(partitionName(id))}  ${safe(note)}`,
  ]);
  if (isVerbose || isOneScreen(unhealthy, absent)) {
    for (const one of unhealthy) yield* partitionLines(one, absent);
  } else yield* groupLines(unhealthy);
  const advised = yield* grouped(unhealthy, (one) => one.next);
  yield* first(advised, most, "different next commands", ({ advice, of }) => [
    `next (${counted(of.length, "partition")}): ${safe(adviceText(advice))}`,
  ]);
  yield undefined;
  yield* decisionLines(report);
  yield* lostLines(report);
  yield* guardLines(report, isLogSeen);
  yield verdict(report, unhealthy);
}

/** The lines of the first ones, and how many more there are. */
function first<T>(
  all: readonly T[],
  most: number,
  what: string,
  linesOf: (one: T) => string[],
): string[] {
  const lines = all.slice(0, most).flatMap(linesOf);
  const more = all.length - most;
  if (more <= 0) return lines;
  return [...lines, `and ${more} more ${what} (--verbose shows all)`];
}

/** True if there are few partitions or all fit a screen; stops counting once they do not. */
function isOneScreen(
  unhealthy: readonly PartitionResult[],
  absent: ReadonlySet<Endpoint>,
): boolean {
  if (unhealthy.length <= FEW) return true;
  let lines = 0;
  for (const one of unhealthy) {
    lines += partitionLines(one, absent).length;
    if (lines > SCREEN_LINES) return false;
  }
  return true;
}

/** Groups partitions in the same state with the same problems, worst first. */
function* groupLines(unhealthy: readonly PartitionResult[]): Lines {
  const groups = yield* grouping(worstFirst(unhealthy), (one) => {
    const serving = one.isServing ? "serving, not healthy" : stateOf(one);
    return `${serving}: ${tally(one.problems.map(({ code }) => code))}`;
  });
  yield* first([...groups], SHOWN_MAX, "groups of partitions", ([title, members]) => [
    `${counted(members.length, "partition")} ${title}`,
    `    ${safe(suchAs(members, NAMES_MAX, ({ id }) => partitionName(id)))}`,
  ]);
  yield "each of them: --verbose; for programs: --output=json";
}

function stateOf({ status }: PartitionResult): string {
  return status === "needs-decision" ? "NEEDS A DECISION, not serving" : "NOT SERVING";
}

/** Partitions that take no writes first, among these those that need a decision. */
function worstFirst(unhealthy: readonly PartitionResult[]): PartitionResult[] {
  const rank = (one: PartitionResult) =>
    (one.isServing ? 2 : 0) + (one.status === "needs-decision" ? 0 : 1);
  return [0, 1, 2, 3].flatMap((wanted) => unhealthy.filter((one) => rank(one) === wanted));
}

function partitionLines(one: PartitionResult, absent: ReadonlySet<Endpoint>): string[] {
  const serving = one.isServing ? `led by ${one.leader}` : stateOf(one);
  return [
    `${safe(partitionName(one.id))}  ${safe(serving)}`,
    ...one.problems.map((problem) => {
      const where = problem.endpoint === undefined ? "" : `${safe(problem.endpoint)}: `;
      return `    ${where}${safe(problemText(problem, absent))} [${problem.code}]`;
    }),
    ...(one.failure === undefined ? [] : [`    ${safe(failureText(one.failure))}`]),
    ...one.evidence.map((known) => `    ${safe(known.endpoint)}: ${safe(evidenceText(known))}`),
  ];
}

/** A tablet's problem is described once, not again for each of its replicas. */
function problemText({ code, endpoint, text }: Problem, absent: ReadonlySet<Endpoint>): string {
  if (endpoint === undefined || !absent.has(endpoint)) return text;
  if (code === "tablet-offline") return "its tablet is offline, see above";
  if (code === "tablet-foreign") return "another tablet answers at its address, see above";
  return code === "tablet-silent" ? "its tablet does not answer, see above" : text;
}

/** Open decisions: their number, what is at risk, by cause; and how to make all at once. */
function decisionLines({ partitions, decide }: RunReport): string[] {
  const open = partitions.flatMap(({ status, failure }) =>
    status === "needs-decision" && failure?.decision !== undefined ? [failure.decision] : [],
  );
  if (open.length < 2) return [];
  const causes = countBy(
    open.map(({ code, endpoint }) => (endpoint === undefined ? code : `${code} at ${endpoint}`)),
  );
  const sum = sumOfLosses(open.flatMap(({ loss }) => loss ?? []));
  const each = [...causes].slice(0, SHOWN_MAX).map(([cause, count]) => `${count} ${safe(cause)}`);
  return [
    `${open.length} decisions are open, ${givenUpCount(sum)} at risk: ${each.join(", ")}`,
    ...(decide === undefined
      ? []
      : [
          `next, to decide them together: ${safe(decide.write)}`,
          `  then fill in each choice, and: ${safe(decide.apply)}`,
        ]),
  ];
}

/** How to restore the replica number of tables once lost tablets are off the record. */
function lostLines({ lost }: RunReport): string[] {
  if (lost === undefined || lost.shortPartitions === 0) return [];
  return [
    `${counted(lost.shortPartitions, "partition")} with fewer replicas than the table specifies`,
    `next, to add the missing replicas: ${safe(lost.addMissing)}`,
  ];
}

function guardLines(report: RunReport, isLogSeen: boolean): string[] {
  const { before, notRestored, isLeftOff } = report.autoFailover;
  if (notRestored !== undefined) {
    return [`auto_failover COULD NOT BE RESTORED to true: ${safe(notRestored)}`];
  }
  if (isLeftOff) {
    return [
      "auto_failover is left off on purpose: partitions need a decision; recoverdata restores it when none needs one",
    ];
  }
  // The log shows that the value was switched.
  const isTold = isLogSeen && before && report.changes > 0;
  return isTold ? [] : [`auto_failover is ${before ? "on" : "off"}, as before`];
}

function verdict(report: RunReport, unhealthy: readonly PartitionResult[]): string {
  const recovered = report.partitions.filter((one) => one.status === "recovered").length;
  const well = report.partitionCount - unhealthy.length;
  const size = `${counted(report.partitionCount, "partition")}, ${counted(report.replicas, "replica")}`;
  const effort = `${durationText(report.tookMs)}, ${counted(report.calls, "call")}`;
  if (unhealthy.length === 0) {
    const how = recovered === 0 ? ", nothing to do" : `, ${recovered} recovered`;
    return `${report.command}: all healthy (${size}${how}; ${effort})`;
  }
  const down = unhealthy.filter((one) => !one.isServing).length;
  return `${report.command}: ${counted(unhealthy.length, "partition")} NOT healthy, ${down} of them not serving; ${well} healthy, ${recovered} of them recovered (${size}; ${effort})`;
}
