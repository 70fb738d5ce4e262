import type { Advice } from "../model/advice.js";
import { numberText } from "../model/counted.js";
import type { Timeline } from "./timeline.js";

/** Version of the document. Fields may be added within a version; readers ignore unknown ones. */
export const REPORT_SCHEMA_VERSION = 1;

/**
 * The result of a run, or of one observation of a cluster: plain data that `--report` writes as JSON,
 * Markdown or one HTML page. 64-bit numbers are decimal strings, times ISO 8601 in UTC or milliseconds.
 * Texts are as they came from the cluster; each output format escapes them.
 */
export interface ReportDocument {
  readonly schemaVersion: typeof REPORT_SCHEMA_VERSION;
  readonly kind: "report";
  readonly command: string;
  readonly verdict: Verdict;
  readonly run: RunFacts;
  /**
   * From the last observation of the cluster; null without one: an error ended the run before, or
   * `history` made the report.
   */
  readonly counts: ReportCounts | null;
  /** Null if it is not known. */
  readonly autoFailover: AutoFailoverFacts | null;
  /** What is left to do, without duplicates, in the order in which to do it. */
  readonly left: readonly Todo[];
  /** What was given up under `--accept_data_loss`. */
  readonly givenUp: readonly PartitionText[];
  /** Replicas that received a copy of the leader's data, so that their earlier data is gone. */
  readonly rebuilt: readonly PartitionText[];
  /** Partitions where acknowledged rows may be lost if the wrong replica leads. */
  readonly atRisk: readonly PartitionText[];
  readonly tablets: readonly TabletRow[];
  /**
   * Partitions that are not healthy, or that were changed; those with something left to do come first.
   */
  readonly partitions: readonly PartitionRow[];
  readonly findings: readonly FindingRow[];
  readonly timeline: Timeline;
  /** Notes and warnings of the run, in order. */
  readonly log: readonly LogLine[];
  /** The flags in force, without secrets. */
  readonly parameters: readonly Parameter[];
}

/** The result of the run. */
export interface Verdict {
  /**
   * `ok`: nothing is left to do. `left`: something is, and every partition serves. `failed`: partitions
   * do not serve, or the run ended early.
   */
  readonly result: "ok" | "left" | "failed";
  /** A word for the exit code, such as `partly`, or for the state of a run without one. */
  readonly word: string;
  readonly exitCode: number | null;
  /** One sentence without a full stop. */
  readonly headline: string;
  /** Details, such as the error that ended the run; empty if there are none. */
  readonly detail: string;
}

/** The facts of the run. */
export interface RunFacts {
  /** Id in the history; null for a command that keeps no journal. */
  readonly id: string | null;
  /** Time at which the run began. */
  readonly began: string;
  readonly ended: string | null;
  readonly tookMs: number | null;
  /** IANA name of the time zone of the machine that wrote the report, such as `Asia/Shanghai`. */
  readonly timeZone: string;
  /** `began` in that time zone, in readable form. */
  readonly beganLocal: string;
  readonly host: string;
  readonly user: string;
  /** Version of this tool. */
  readonly version: string;
  /** The command line as it was typed, without secrets. */
  readonly commandLine: string;
  /** ZooKeeper servers and root path. */
  readonly cluster: string;
  /** Leader of the nameservers at the first and the last observation; null if unknown. */
  readonly nameserver: { readonly before: string | null; readonly after: string | null };
  /** Calls to the cluster, and changes among them; null if they were not counted. */
  readonly calls: number | null;
  readonly changes: number | null;
}

/** Counts of the cluster. */
export interface ReportCounts {
  readonly tablets: number;
  readonly tables: number;
  readonly partitions: number;
  readonly replicas: number;
  /** Partitions that were healthy from the start. */
  readonly healthy: number;
  readonly recovered: number;
  readonly unhealthy: number;
  readonly needsDecision: number;
  readonly serving: number;
}

/** The state of auto_failover. */
export interface AutoFailoverFacts {
  readonly before: boolean;
  readonly after: boolean | null;
  /** Why it could not be restored; null if it is as it was. */
  readonly notRestored: string | null;
  /** The command that restores it; null if there is nothing to restore. */
  readonly restoreCommand: string | null;
}

/** One way to do something. */
export interface Way {
  /** In words, such as `start tablet 10.0.0.1:9527, then run`. */
  readonly what: string;
  /** The command to type; null if there is none. */
  readonly command: string | null;
  /** For how many partitions; 0 if it does not concern partitions. */
  readonly partitions: number;
}

/** One thing to do. */
export interface Todo {
  /** The advised way first, then alternatives, for all of its partitions or for some. */
  readonly ways: readonly Way[];
}

/** A text about a partition, such as `db1.t1:0`. */
export interface PartitionText {
  readonly partition: string;
  readonly text: string;
}

/** The replicas of a tablet. */
export interface TabletCounts {
  /** Replicas on record there. */
  readonly replicas: number;
  /** Of these, how many are flagged leader and alive. */
  readonly leaders: number;
  /** Of these, how many are flagged alive. */
  readonly alive: number;
  /** Of these, how many it has loaded; null if it could not be read. */
  readonly loaded: number | null;
}

/** One tablet before and after. */
export interface TabletRow {
  readonly endpoint: string;
  /** `ok`, `offline`, `silent`, or `unknown`. */
  readonly health: string;
  /** Why it is not `ok`; empty if it is. */
  readonly detail: string;
  readonly before: TabletCounts | null;
  readonly after: TabletCounts | null;
}

/** A problem of a partition. */
export interface ProblemRow {
  readonly code: string;
  readonly endpoint: string | null;
  readonly text: string;
}

/** One partition. */
export interface PartitionRow {
  readonly partition: string;
  /** `recovered`, `healthy`, `unhealthy`, `needs-decision`, or with actions `done` and `not-done`. */
  readonly status: string;
  /** True if it takes reads and writes; null if it was not observed. */
  readonly serving: boolean | null;
  readonly leader: string | null;
  /** The problems at the start, as codes with their numbers, such as `not-loaded x3`. */
  readonly was: readonly string[];
  /** The steps that were done, such as `load-follower x3`. */
  readonly done: readonly string[];
  /** From its first step to the end of its last one; null if nothing was done. */
  readonly tookMs: number | null;
  /** The problems now. */
  readonly problems: readonly ProblemRow[];
  /** The failed attempt, or why nothing was attempted. */
  readonly failure: string | null;
  readonly notes: readonly string[];
  /** What is known of the log of each replica, if a decision is needed. */
  readonly evidence: readonly string[];
  readonly next: string | null;
}

/** The fields of a row of which nothing is known. */
export const EMPTY_ROW = {
  serving: null,
  leader: null,
  was: [],
  done: [],
  tookMs: null,
  problems: [],
  failure: null,
  notes: [],
  evidence: [],
  next: null,
} satisfies Partial<PartitionRow>;

/** A finding about servers, tables or the cluster. */
export interface FindingRow {
  readonly level: string;
  readonly code: string;
  readonly subject: string;
  readonly text: string;
  readonly effect: string;
}

/** A line of the run's log. */
export interface LogLine {
  readonly atMs: number;
  readonly level: "note" | "warning";
  readonly text: string;
}

/** A flag and its value. */
export interface Parameter {
  readonly name: string;
  readonly value: string;
}

/** True if something is left to do for a partition. */
export function isOpen(row: PartitionRow): boolean {
  return !["recovered", "healthy", "done"].includes(row.status);
}

/** The state of a partition in words, as far as it was observed. */
export function statusText({ status, serving }: PartitionRow): string {
  if (status === "needs-decision") return "needs a decision";
  if (status === "unhealthy") {
    if (serving === null) return "not finished";
    return serving ? "serving, not healthy" : "not serving";
  }
  return status.replace("-", " ");
}

/** The number of partitions that a way concerns, such as `3 partitions`; empty if it concerns none. */
export function partitionsText({ partitions }: Way): string {
  if (partitions === 0) return "";
  return `${numberText(partitions)} partition${partitions === 1 ? "" : "s"}`;
}

/** The part of a report that comes from the result of a command; the events of its run add the rest. */
export interface ResultRows
  extends Pick<ReportDocument, "counts" | "autoFailover" | "partitions" | "tablets" | "findings">,
    Pick<RunFacts, "nameserver" | "calls" | "changes"> {
  /** The exit code and its word are those of the command. */
  readonly verdict: Omit<Verdict, "exitCode" | "word">;
  /** Advice that concerns no single partition, in the order in which to follow it. */
  readonly advice: readonly Advice[];
  /** Advice for one partition each. */
  readonly partitionAdvice: readonly Advice[];
}

/** The rows of a run without a known result. */
export const NO_ROWS = {
  counts: null,
  autoFailover: null,
  advice: [],
  partitionAdvice: [],
  partitions: [],
  tablets: [],
  findings: [],
} satisfies Partial<ResultRows>;
