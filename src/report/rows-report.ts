import { adviceText } from "../model/advice.js";
import { numberText } from "../model/counted.js";
import { partitionName } from "../model/partition-view.js";
import type { NamedRow, PartitionRows, RowGroup, RowsReport, Sample } from "../model/rows.js";
import { safe } from "../util/text.js";
import type { FindingRow, ResultRows } from "./document.js";

/** Number of partitions that are shown on the screen; JSON lists all. */
const SHOWN_MAX = 20;

/** The number of partitions by result. */
export interface RowsCounts {
  readonly partitions: number;
  readonly same: number;
  readonly different: number;
  readonly notComparable: number;
  readonly single: number;
}

function partitionsThatAre(status: PartitionRows["status"], { partitions }: RowsReport) {
  return partitions.filter((one) => one.status === status);
}

function total({ partitions }: RowsReport, what: "rows" | "expired" | "bytes"): number {
  return partitions.reduce((sum, one) => sum + one[what], 0);
}

/** Counts the partitions by result. */
export function rowsCounts(report: RowsReport): RowsCounts {
  const count = (status: PartitionRows["status"]) => partitionsThatAre(status, report).length;
  return {
    partitions: report.partitions.length,
    same: count("same"),
    different: count("different"),
    notComparable: count("not-comparable"),
    single: count("single"),
  };
}

/** The result of a deep verification in one line. */
function rowsHeadline(report: RowsReport): string {
  const { partitions, same, different, notComparable, single } = rowsCounts(report);
  const found = [
    different > 0 ? `rows of ${different} of ${partitions} partitions DIFFER` : "no rows differ",
    notComparable > 0 ? `${notComparable} could not be compared now` : "",
    same > 0 ? `${same} compared equal` : "",
    single > 0 ? `${single} with one replica` : "",
  ].filter((one) => one !== "");
  const how = [
    `${numberText(total(report, "rows"))} rows of leaders compared`,
    `${(total(report, "bytes") / 1e6).toFixed(1)} MB read`,
    sampleText(report.sample),
    report.resumed > 0 ? `${report.resumed} partitions from the previous run` : "",
    `${(report.tookMs / 1_000).toFixed(1)} s`,
  ].filter((one) => one !== "");
  return `${found.join(", ")} (${how.join(", ")})`;
}

function sampleText(sample: Sample | undefined): string {
  if (sample === undefined) return "";
  return "rows" in sample
    ? `a sample of ${numberText(sample.rows)} rows of each index`
    : `a sample of ${sample.percent} % of each index`;
}

/** The result of a deep verification on one screen. Names and keys are made safe. */
export function rowsText(report: RowsReport): readonly string[] {
  const different = partitionsThatAre("different", report);
  const undecided = partitionsThatAre("not-comparable", report);
  return [
    `rows: ${rowsHeadline(report)}`,
    ...different.slice(0, SHOWN_MAX).flatMap((one) => differenceLines(one, report)),
    ...moreLine(different.length, "differ"),
    ...undecided
      .slice(0, SHOWN_MAX)
      .map((one) => `  ${safe(partitionName(one.id))}: not comparable now: ${reasonsText(one)}`),
    ...moreLine(undecided.length, "could not be compared now"),
    ...notWalkedLine(report),
  ];
}

function notWalkedLine({ partitions }: RowsReport): readonly string[] {
  const [first, ...more] = partitions.filter((one) => one.notWalked.length > 0);
  if (first === undefined) return [];
  const others = more.length === 0 ? "" : `, and so in ${more.length} more partitions`;
  return [
    `  not read: ${safe(partitionName(first.id))}: ${safe(first.notWalked.join("; "))}${others}`,
  ];
}

function moreLine(count: number, what: string): readonly string[] {
  return count > SHOWN_MAX
    ? [`  ... and ${count - SHOWN_MAX} more that ${what}: see --output=json`]
    : [];
}

function differenceLines(one: PartitionRows<NamedRow>, { adviceOf }: RowsReport): string[] {
  const advice = adviceText(adviceOf(one));
  return [
    `  ${safe(partitionName(one.id))}, led by ${safe(one.leader ?? "-")}:`,
    ...differenceTexts(one).map((text) => `    ${safe(text)}`),
    ...(one.reasons.length === 0 ? [] : [`    some could not be compared: ${reasonsText(one)}`]),
    ...(advice === "" ? [] : [`    -> ${safe(advice)}`]),
  ];
}

/** How the replicas of a partition differ, one line for each index and each set of replicas. */
function differenceTexts({ differences }: PartitionRows<NamedRow>): string[] {
  return differences.flatMap(({ index, groups }) =>
    groups.map((group) => `${index === undefined ? "" : `index ${index}: `}${groupText(group)}`),
  );
}

function groupText({ have, lack, isCopy, rows, examples }: RowGroup<NamedRow>): string {
  const what = rows === 1 ? "1 row" : `${numberText(rows)} rows`;
  const where = isCopy
    ? `${what} more often on ${have.join(", ")} than on ${lack.join(", ")}`
    : `${what} on ${have.join(", ")} and not on ${lack.join(", ")}`;
  const keys = examples.map(
    ({ hash, key, ts }) => `key ${key === undefined ? `#${hash}` : JSON.stringify(key)} at ${ts}`,
  );
  return keys.length === 0 ? where : `${where}; such as ${keys.join(", ")}`;
}

function reasonsText({ reasons }: PartitionRows<unknown>): string {
  const [first = "", ...more] = reasons;
  return `${safe(first)}${more.length === 0 ? "" : `, and ${more.length} more reasons`}`;
}

/** A deep verification as part of a JSON document. */
export function rowsJson(report: RowsReport) {
  return {
    counts: rowsCounts(report),
    sample: report.sample ?? null,
    resumed: report.resumed,
    rowsCompared: total(report, "rows"),
    rowsExpired: total(report, "expired"),
    bytesRead: total(report, "bytes"),
    tookMs: Math.round(report.tookMs),
    different: partitionsThatAre("different", report).map((one) => ({
      ...one.id,
      leader: one.leader ?? null,
      followers: one.followers,
      differences: one.differences.map(({ index, groups }) => ({
        index: index ?? null,
        groups: groups.map(({ have, lack, isCopy, rows, examples }) => ({
          have,
          lack,
          moreOften: isCopy,
          rows,
          keys: examples.map(({ hash, key = null, ts }) => ({ hash, key, ts: String(ts) })),
        })),
      })),
      reasons: one.reasons,
      next: adviceText(report.adviceOf(one)) || null,
    })),
    notWalked: report.partitions
      .filter((one) => one.notWalked.length > 0)
      .map((one) => ({ ...one.id, indexes: one.notWalked })),
    notComparable: partitionsThatAre("not-comparable", report).map((one) => ({
      ...one.id,
      reasons: one.reasons,
    })),
  };
}

/** The result of a command with that of a deep verification; unchanged without one. */
export function withRows(result: ResultRows, rows: RowsReport | undefined): ResultRows {
  if (rows === undefined) return result;
  const { verdict } = result;
  const different = partitionsThatAre("different", rows);
  const isLeft = verdict.result === "ok" && different.length + rowsCounts(rows).notComparable > 0;
  return {
    ...result,
    verdict: {
      ...verdict,
      result: isLeft ? "left" : verdict.result,
      headline: `${verdict.headline}; ${rowsHeadline(rows)}`,
    },
    findings: [...rowsFindings(rows), ...result.findings],
    advice: [...result.advice, ...different.map((one) => rows.adviceOf(one))],
  };
}

/** A deep verification as findings of a report. */
function rowsFindings(report: RowsReport): readonly FindingRow[] {
  return report.partitions.flatMap((one): FindingRow[] => {
    const subject = partitionName(one.id);
    if (one.status === "different") {
      return [
        {
          level: "error",
          code: "rows-differ",
          subject,
          text: differenceTexts(one).join("; "),
          effect: "which rows a query sees depends on the replica that leads",
        },
      ];
    }
    if (one.status !== "not-comparable") return [];
    return [
      {
        level: "warning",
        code: "rows-not-comparable",
        subject,
        text: one.reasons.join("; "),
        effect: "whether its replicas hold the same rows is not known",
      },
    ];
  });
}
