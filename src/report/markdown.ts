import { numberText } from "../model/counted.js";
import { durationText } from "../model/duration.js";
import { groupBy } from "../model/groups.js";
import { safe } from "../util/text.js";
import {
  isOpen,
  type PartitionRow,
  type PartitionText,
  partitionsText,
  type ReportDocument,
  statusText,
  type TabletCounts,
  type Todo,
} from "./document.js";
import { leadersText } from "./timeline.js";

/** Number of rows of a table that are shown; the others are counted. */
const ROWS_MAX = 20;
const COMMANDS_MAX = 8;
/** Number of ways to do one thing that are shown; the other formats list each with its partition. */
const WAYS_MAX = 4;

/**
 * A report as Markdown for a ticket: the verdict first, then what is left to do, then the facts.
 */
export function reportMarkdown(report: ReportDocument): string {
  const { command, verdict, run } = report;
  return `${[
    `# ${mark(verdict.result)} ${text(`${command}: ${verdict.headline}`)}`,
    ...(verdict.detail === "" ? [] : [text(verdict.detail)]),
    `${text(run.cluster)}, began ${text(`${run.beganLocal} (${run.timeZone})`)}${run.tookMs === null ? "" : `, took ${durationText(run.tookMs)}`}${verdict.exitCode === null ? "" : `, exit code ${verdict.exitCode} (${verdict.word})`}`,
    ...countLines(report),
    ...leftLines(report),
    ...textLines("Given up", report.givenUp),
    ...textLines("Rows at risk", report.atRisk),
    ...textLines("Rebuilt from the leader", report.rebuilt),
    ...openLines(report.partitions.filter(isOpen)),
    ...doneLines(report.partitions.filter((row) => !isOpen(row))),
    ...tabletLines(report),
    ...findingLines(report),
    ...runLines(report),
  ].join("\n\n")}\n`;
}

function mark(result: ReportDocument["verdict"]["result"]): string {
  return { ok: "✅", left: "⚠️", failed: "❌" }[result];
}

/** Escapes text of any origin for Markdown. */
function text(of: string): string {
  return safe(of)
    .replaceAll(/[\\`*_{}[\]<>#|~]/g, "\\$&")
    .replaceAll("&", "&amp;");
}

/** A table; with more rows than fit, how many more there are. */
function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const shown = rows.slice(0, ROWS_MAX).map(line);
  const more = rows.length - shown.length;
  return [
    line(titles),
    line(titles.map(() => "---")),
    ...shown,
    ...(more > 0 ? ["", `and ${numberText(more)} more`] : []),
  ].join("\n");
}

function countLines({ counts, autoFailover, run }: ReportDocument): string[] {
  const rows: string[][] = [];
  if (counts !== null) {
    const { partitions, healthy, recovered, unhealthy, needsDecision, serving } = counts;
    rows.push(
      ["partitions", `${numberText(partitions)} (${numberText(counts.replicas)} replicas)`],
      [recovered > 0 ? "healthy from the start" : "healthy", numberText(healthy)],
      ...(recovered > 0 ? [["recovered", numberText(recovered)]] : []),
      [
        "not healthy",
        `${numberText(unhealthy)}, ${numberText(partitions - serving)} not serving, ${numberText(needsDecision)} need a decision`,
      ],
    );
  }
  if (autoFailover !== null) {
    const { before, after, notRestored } = autoFailover;
    const now = after === null ? "not known" : after ? "on" : "off";
    rows.push([
      "auto\\_failover",
      notRestored === null
        ? `${now} (before: ${before ? "on" : "off"})`
        : `**could not be restored**: ${text(notRestored)}`,
    ]);
  }
  if (run.changes !== null) rows.push(["changes", numberText(run.changes)]);
  return rows.length === 0 ? [] : [table(["", ""], rows)];
}

function leftLines({ left, autoFailover }: ReportDocument): string[] {
  const restore = autoFailover?.restoreCommand ?? null;
  const first = restore === null ? [] : [`Restore auto\\_failover:\n\n${code(restore)}`];
  const items = [...first, ...left.slice(0, COMMANDS_MAX).map(todoText)];
  if (items.length === 0) return [];
  const more = left.length - COMMANDS_MAX;
  return ["## What to do next", ...items, ...(more > 0 ? [`and ${numberText(more)} more`] : [])];
}

function todoText({ ways }: Todo): string {
  const more = ways.length - WAYS_MAX;
  const lines = ways.slice(0, WAYS_MAX).map((way, index) => {
    const { what, command } = way;
    const partitions = partitionsText(way);
    const count = partitions && ` (${partitions})`;
    const line = `${index === 0 ? "- " : "- or "}${text(what === "" ? "run" : what)}${count}`;
    return command === null ? line : `${line}:\n\n${code(command)}`;
  });
  return [...lines, ...(more > 0 ? [`- and ${numberText(more)} other ways`] : [])].join("\n\n");
}

/** A command as a block of code: indented, so that nothing in it can end the block. */
function code(command: string): string {
  return `      ${safe(command)}`;
}

function textLines(title: string, texts: readonly PartitionText[]): string[] {
  if (texts.length === 0) return [];
  const rows = texts.map((one) => [text(one.partition), text(one.text)]);
  return [`## ${title}: ${numberText(texts.length)}`, table(["partition", "what"], rows)];
}

function openLines(rows: readonly PartitionRow[]): string[] {
  if (rows.length === 0) return [];
  const cells = rows.map((row) => [
    text(row.partition),
    statusText(row),
    text(row.leader ?? "-"),
    text(causeOf(row)),
  ]);
  return [
    `## Partitions with something left: ${numberText(rows.length)}`,
    table(["partition", "result", "leader", "cause"], cells),
  ];
}

function causeOf({ problems, failure, was }: PartitionRow): string {
  const [first] = problems;
  const more = problems.length > 1 ? `; and ${problems.length - 1} more` : "";
  const problem =
    first === undefined ? was.join(", ") : `${first.endpoint ?? ""} ${first.text}${more}`.trim();
  return failure === null ? problem : `${problem}; ${failure}`;
}

/** What was recovered, table by table: the same work on many partitions is one line. */
function doneLines(rows: readonly PartitionRow[]): string[] {
  if (rows.length === 0) return [];
  const groups = groupBy(rows, ({ partition, status, was, done }) =>
    JSON.stringify([partition.replace(/:\d+$/, ""), status, was, done]),
  );
  const cells = [...groups.values()].map((group) => {
    const [first] = group;
    const slowest = group.reduce((max, one) => Math.max(max, one.tookMs ?? 0), 0);
    return [
      text((first?.partition ?? "").replace(/:\d+$/, "")),
      numberText(group.length),
      first?.status ?? "",
      text(first?.was.join(", ") ?? ""),
      text(first?.done.join(", ") || "-"),
      durationText(slowest),
    ];
  });
  return [
    `## Done: ${numberText(rows.length)}`,
    table(["table", "partitions", "result", "was wrong", "done", "took at most"], cells),
  ];
}

function tabletLines({ tablets }: ReportDocument): string[] {
  if (tablets.length === 0) return [];
  const change = (
    before: TabletCounts | null,
    after: TabletCounts | null,
    key: keyof TabletCounts,
  ) => {
    const [from, to] = [before?.[key] ?? "-", after?.[key] ?? "-"];
    if (before === null) return String(to);
    return after === null || from === to ? String(from) : `${from} → **${to}**`;
  };
  const rows = tablets.map(({ endpoint, health, detail, before, after }) => [
    text(endpoint),
    text(detail === "" ? health : `${health}: ${detail}`),
    ...(["replicas", "loaded", "alive", "leaders"] as const).map((key) =>
      change(before, after, key),
    ),
  ]);
  const isBefore = tablets.every((one) => one.after === null);
  const title = isBefore ? "## Tablets before the run" : "## Tablets";
  return [title, table(["tablet", "state", "replicas", "loaded", "alive", "leaders"], rows)];
}

function findingLines({ findings }: ReportDocument): string[] {
  if (findings.length === 0) return [];
  const rows = findings.map((one) => [
    one.level,
    text(one.subject),
    text(`${one.text} [${one.code}]`),
  ]);
  return [`## Findings: ${numberText(findings.length)}`, table(["", "subject", "what"], rows)];
}

function runLines({ run, timeline }: ReportDocument): string[] {
  const leaders = leadersText(run.nameserver, timeline);
  const rows = [
    ["command", text(run.commandLine)],
    ...(run.id === null ? [] : [["run", text(run.id)]]),
    ["began (UTC)", run.began],
    ...(leaders === undefined ? [] : [["leader of the nameservers", text(leaders)]]),
    ["by", text(`${run.user} on ${run.host}`)],
    ["openmldb-ops", text(run.version)],
  ];
  return ["## Run", table(["", ""], rows)];
}
