import type { Timeline } from "./timeline.js";

/** Version of the document. Fields may be added within a version; readers ignore unknown ones. */
export const REPORT_SCHEMA_VERSION = 1;

/**
 * What a run, or one look at a cluster, came to: plain data that `--report` writes as JSON, Markdown
 * or one HTML page. Numbers of 64 bits are decimal strings, times ISO 8601 in UTC or milliseconds.
 * Texts are as they came from the cluster: each face escapes them itself.
 */
export interface ReportDocument {
  readonly schemaVersion: typeof REPORT_SCHEMA_VERSION;
  readonly kind: "report";
  readonly command: string;
  readonly verdict: Verdict;
  readonly run: RunFacts;
  /** As the last look at the cluster showed it; null without one: an error ended the run before, or `history` tells of it. */
  readonly counts: ReportCounts | null;
  /** Null if it is not known. */
  readonly autoFailover: AutoFailoverFacts | null;
  /** What is left to do, each advice once, in the order in which to do it. */
  readonly left: readonly Todo[];
  /** What was given up under `--accept_data_loss`. */
  readonly givenUp: readonly PartitionText[];
  /** Replicas that were sent the leader's data, so that what they held before is gone. */
  readonly rebuilt: readonly PartitionText[];
  /** Partitions where acknowledged rows may be lost if the wrong replica leads. */
  readonly atRisk: readonly PartitionText[];
  readonly tablets: readonly TabletRow[];
  /** Partitions that are not plainly healthy, or that were worked on; what is left comes first. */
  readonly partitions: readonly PartitionRow[];
  readonly findings: readonly FindingRow[];
  readonly timeline: Timeline;
  /** Notes and warnings of the run, in order. */
  readonly log: readonly LogLine[];
  /** The flags in force, without secrets. */
  readonly parameters: readonly Parameter[];
}

/** How it ended. */
export interface Verdict {
  /**
   * `ok`: nothing is left to do. `left`: something is, and every partition serves. `failed`: partitions
   * do not serve, or the run ended early.
   */
  readonly result: "ok" | "left" | "failed";
  /** A word for the exit code, such as `partly`, or how a run without one stands. */
  readonly word: string;
  readonly exitCode: number | null;
  /** One sentence without final stop. */
  readonly headline: string;
  /** More of it, such as the error that ended the run; empty if there is nothing to add. */
  readonly detail: string;
}

/** Which run it was. */
export interface RunFacts {
  /** Id in the history; null for a command that keeps no journal. */
  readonly id: string | null;
  readonly began: string;
  readonly ended: string | null;
  readonly tookMs: number | null;
  /** IANA name of the time zone of the machine that wrote the report, such as `Asia/Shanghai`. */
  readonly timeZone: string;
  /** `began` in that time zone, for people. */
  readonly beganLocal: string;
  readonly host: string;
  readonly user: string;
  /** Version of this tool. */
  readonly version: string;
  /** The command line as it was typed, without secrets. */
  readonly commandLine: string;
  /** ZooKeeper servers and root path. */
  readonly cluster: string;
  /** Leader of the nameservers at the first look and at the last; null if not known. */
  readonly nameserver: { readonly before: string | null; readonly after: string | null };
  /** Calls to the cluster, and changes among them; null if they were not counted. */
  readonly calls: number | null;
  readonly changes: number | null;
}

/** How many of everything. */
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

/** What became of auto_failover. */
export interface AutoFailoverFacts {
  readonly before: boolean;
  readonly after: boolean | null;
  /** Why it could not be put back; null if it is as it was. */
  readonly notRestored: string | null;
  /** The command that puts it back; null if there is nothing to put back. */
  readonly restoreCommand: string | null;
}

/** One way to do something. */
export interface Way {
  /** In words, such as `start tablet 10.0.0.1:9527, then run`. */
  readonly what: string;
  /** The command to type; null if there is none. */
  readonly command: string | null;
  /** For how many partitions; 0 if it is about something else. */
  readonly partitions: number;
}

/** One thing to do. */
export interface Todo {
  /** What is advised first, then what would do too, for all of its partitions or for some. */
  readonly ways: readonly Way[];
}

/** A partition, such as `db1.t1:0`, and what is to be said of it. */
export interface PartitionText {
  readonly partition: string;
  readonly text: string;
}

/** What a tablet held. */
export interface TabletCounts {
  /** Replicas on record there. */
  readonly replicas: number;
  /** How many of them are flagged leader and alive. */
  readonly leaders: number;
  /** How many of them are flagged alive. */
  readonly alive: number;
  /** How many of them it has loaded; null if it could not be asked. */
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
  /** Whether it takes reads and writes; null if it was not looked at. */
  readonly serving: boolean | null;
  readonly leader: string | null;
  /** What was wrong at first, as problem codes with their numbers, such as `not-loaded x3`. */
  readonly was: readonly string[];
  /** What was done, such as `load-follower x3`. */
  readonly done: readonly string[];
  /** From its first step to the end of its last one; null if nothing was done. */
  readonly tookMs: number | null;
  /** What is wrong now. */
  readonly problems: readonly ProblemRow[];
  /** What was tried in vain, or why nothing was tried. */
  readonly failure: string | null;
  readonly notes: readonly string[];
  /** What is known of the log of each replica, if there is something to decide. */
  readonly evidence: readonly string[];
  readonly next: string | null;
}

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

/** Whether something is left to do about a partition. */
export function isOpen(row: PartitionRow): boolean {
  return !["recovered", "healthy", "done"].includes(row.status);
}
