import { countBy } from "../model/groups.js";
import type { ReportDocument } from "./document.js";

/** One value of a metric, with the labels that only it has. */
interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A metric in the exposition format of Prometheus. */
interface Metric {
  readonly name: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

const LAST_SUCCESS = "openmldb_ops_last_success_timestamp_seconds";

/** The inputs of the metrics in addition to the report. */
export interface MetricsOptions {
  /** Seconds since the epoch. */
  readonly nowSeconds: number;
  /**
   * Time at which a run of this command last ended with exit code 0, see {@link lastSuccessIn}; undefined if none did.
   */
  readonly lastSuccessSeconds: number | undefined;
}

/**
 * The metrics of a run in the text format of Prometheus, for node_exporter's textfile collector. All
 * are gauges, labelled with the command and the cluster.
 */
export function metricsText(report: ReportDocument, options: MetricsOptions): string {
  const common = { command: report.command, cluster: report.run.cluster };
  return metricsOf(report, options)
    .filter(({ samples }) => samples.length > 0)
    .map(({ name, help, samples }) =>
      [
        `# HELP ${name} ${escaped(help)}`,
        `# TYPE ${name} gauge`,
        ...samples.map(({ labels, value }) => sampleLine(name, { ...common, ...labels }, value)),
        "",
      ].join("\n"),
    )
    .join("");
}

/**
 * Time of the last successful run, from metrics that were written earlier.
 *
 * @param text The output of {@link metricsText}, or any other text.
 */
export function lastSuccessIn(text: string, report: ReportDocument): number | undefined {
  const labels = { command: report.command, cluster: report.run.cluster };
  const start = sampleLine(LAST_SUCCESS, labels, 0).slice(0, -1);
  const line = text.split("\n").find((one) => one.startsWith(start));
  const value = Number(line?.slice(start.length));
  return line !== undefined && Number.isFinite(value) && value > 0 ? value : undefined;
}

function metricsOf(report: ReportDocument, options: MetricsOptions): Metric[] {
  return [...runMetrics(report, options), ...clusterMetrics(report)];
}

function runMetrics(report: ReportDocument, options: MetricsOptions): Metric[] {
  const { verdict, run, givenUp, atRisk } = report;
  const isSuccess = verdict.exitCode === 0;
  const lastSuccess = isSuccess ? options.nowSeconds : options.lastSuccessSeconds;
  return [
    one("run_exit_code", "Exit code of the last run.", verdict.exitCode),
    one("run_success", "Whether the last run ended with exit code 0.", isSuccess ? 1 : 0),
    one("run_timestamp_seconds", "When the last run ended.", options.nowSeconds),
    one("run_duration_seconds", "How long the last run took.", seconds(run.tookMs)),
    one("last_success_timestamp_seconds", "When a run last ended with exit code 0.", lastSuccess),
    one("run_changes", "Changes that the last run made.", run.changes),
    one("run_calls", "Calls that the last run made to the cluster.", run.calls),
    one("rows_at_risk", "Replicas whose rows are at risk.", atRisk.length),
    one("given_up", "Partitions in which entries were given up.", givenUp.length),
    {
      name: "openmldb_ops_info",
      help: "Version of openmldb-ops.",
      samples: [{ labels: { version: run.version }, value: 1 }],
    },
  ];
}

function clusterMetrics({ counts, autoFailover, tablets, findings }: ReportDocument): Metric[] {
  return [
    {
      name: "openmldb_ops_partitions",
      help: "Partitions by state; recovered ones are healthy now.",
      samples:
        counts === null
          ? []
          : [
              sample("state", "healthy", counts.healthy),
              sample("state", "recovered", counts.recovered),
              sample("state", "unhealthy", counts.unhealthy - counts.needsDecision),
              sample("state", "needs_decision", counts.needsDecision),
            ],
    },
    one(
      "partitions_not_serving",
      "Partitions that take neither reads nor writes.",
      counts && counts.partitions - counts.serving,
    ),
    one("replicas", "Replicas on record.", counts?.replicas),
    one("tables", "Tables.", counts?.tables),
    {
      name: "openmldb_ops_tablets",
      help: "Tablets by health.",
      samples: sortedCounts(tablets.map((tablet) => tablet.health)).map(([health, count]) =>
        sample("health", health, count),
      ),
    },
    {
      name: "openmldb_ops_findings",
      help: "Findings of inspect by level.",
      samples: sortedCounts(findings.map((finding) => finding.level)).map(([level, count]) =>
        sample("level", level, count),
      ),
    },
    one(
      "auto_failover",
      "Whether auto_failover is on.",
      autoFailover?.after == null ? null : Number(autoFailover.after),
    ),
    one(
      "auto_failover_not_restored",
      "Whether the last run could not restore auto_failover.",
      autoFailover && Number(autoFailover.notRestored !== null),
    ),
  ];
}

/** A metric with one value; without one if it is not known. */
function one(name: string, help: string, value: number | null | undefined): Metric {
  const samples = value === null || value === undefined ? [] : [{ value }];
  return { name: `openmldb_ops_${name}`, help, samples };
}

function sample(label: string, text: string, value: number): Sample {
  return { labels: { [label]: text }, value };
}

function sortedCounts(words: readonly string[]): [word: string, count: number][] {
  return [...countBy(words)].sort(([a], [b]) => (a < b ? -1 : 1));
}

function seconds(ms: number | null): number | null {
  return ms === null ? null : ms / 1_000;
}

function sampleLine(name: string, labels: Readonly<Record<string, string>>, value: number): string {
  const pairs = Object.entries(labels).map(
    ([label, text]) => `${label}="${escaped(text).replaceAll('"', '\\"')}"`,
  );
  return `${name}{${pairs.join(",")}} ${value}`;
}

/** The format has one line for each sample. */
function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}
