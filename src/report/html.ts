import { numberText } from "../model/counted.js";
import { durationText } from "../model/duration.js";
import {
  type AutoFailoverFacts,
  isOpen,
  type PartitionText,
  partitionsText,
  type ReportCounts,
  type ReportDocument,
  type TabletCounts,
  type TabletRow,
  type Todo,
} from "./document.js";
import { tableJson } from "./html-table.js";
import { html, moreHtml } from "./html-text.js";
import { timelineHtml } from "./html-timeline.js";
import { leadersText } from "./timeline.js";

/** Limit of the items of each kind (advice, partitions, log lines); the JSON report has all of them. */
const SHOWN_MAX = 50;
const IN_JSON = "more; the JSON report has them all";
const LOG_MAX = 200;
/** Longer lists of secondary information are folded at first. */
const UNFOLDED_MAX = 8;
/** Number of ways to do one thing that are shown; the list of partitions has each of them. */
const WAYS_MAX = 4;

/** The parts of the page that are the same in every report. */
export interface PageAssets {
  readonly css: string;
  readonly script: string;
  /** The SHA-256 of a text in base64, for the policy that forbids everything else. */
  readonly sha256: (text: string) => string;
}

/**
 * A report as one self-contained HTML page, without network access or other files. Text from the
 * cluster is escaped, and the page's policy runs no script but its own.
 */
export function reportHtml(report: ReportDocument, assets: PageAssets): string {
  const { css, script, sha256 } = assets;
  const policy = [
    "default-src 'none'",
    `style-src 'sha256-${sha256(css)}'`,
    `script-src 'sha256-${sha256(script)}'`,
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>${html(`${report.command}: ${report.verdict.headline}`)}</title>
<style>${css}</style>
</head>
<body>
<main>
${pageParts(report).join("\n")}
</main>
<script type="application/json" id="data">${tableJson(report.partitions)}</script>
<script>${script}</script>
</body>
</html>
`;
}

function pageParts(report: ReportDocument): string[] {
  return [
    headerHtml(report),
    tilesHtml(report),
    ...leftSection(report),
    ...textsSection("Given up", "given-up", report.givenUp),
    ...textsSection("Rows at risk", "at-risk", report.atRisk),
    ...textsSection("Rebuilt from the leader", "rebuilt", report.rebuilt),
    ...findingsSection(report),
    ...section("Timeline", "timeline", timelineHtml(report.timeline)),
    ...section("Tablets", "tablets", tabletsHtml(report.tablets)),
    ...partitionsSection(report),
    ...logSection(report),
    ...parametersSection(report),
    footerHtml(report),
  ];
}

function section(title: string, id: string, body: string): string[] {
  if (body === "") return [];
  return [`<section id="${id}"><h2>${title}</h2>\n${body}</section>`];
}

const ICONS = {
  ok: '<path d="M5 12.5l4.5 4.5L19 7.5"/>',
  left: '<path d="M12 6v7"/><path d="M12 17v.5"/>',
  failed: '<path d="M7 7l10 10"/><path d="M17 7L7 17"/>',
} as const;

function headerHtml({ command, verdict, run }: ReportDocument): string {
  const facts = [
    ["cluster", run.cluster],
    ["began", `${run.beganLocal} (${run.timeZone})`],
    ...(run.tookMs === null ? [] : [["took", durationText(run.tookMs)]]),
    ...(verdict.exitCode === null ? [] : [["exit code", `${verdict.exitCode}`]]),
    ["by", `${run.user} on ${run.host}`],
  ];
  return [
    `<header class="${verdict.result}">`,
    `<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">${ICONS[verdict.result]}</svg>`,
    `<div><p class="command">openmldb-ops ${html(command)}</p>`,
    `<h1>${html(capital(verdict.headline))}</h1>`,
    verdict.detail === "" ? "" : `<p class="detail">${html(verdict.detail)}</p>`,
    `<dl class="facts">${facts.map(([name, value]) => `<div><dt>${name}</dt><dd>${html(value ?? "")}</dd></div>`).join("")}</dl>`,
    "</div></header>",
  ].join("");
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function tilesHtml({ counts, autoFailover, run }: ReportDocument): string {
  const tiles = [
    ...(counts === null ? [] : countTiles(counts)),
    ...(run.changes === null ? [] : [tile(numberText(run.changes), "changes made")]),
    ...(autoFailover === null ? [] : [autoFailoverTile(autoFailover)]),
  ];
  return tiles.length === 0 ? "" : `<dl class="tiles">${tiles.join("")}</dl>`;
}

function tile(value: string, label: string, kind = ""): string {
  return `<div class="tile ${kind}"><dd>${value}</dd><dt>${label}</dt></div>`;
}

function countTiles(counts: ReportCounts): string[] {
  const { partitions, healthy, recovered, unhealthy, needsDecision, serving } = counts;
  const bad = (count: number, label: string) =>
    tile(numberText(count), label, count > 0 ? "bad" : "");
  return [
    tile(numberText(partitions), "partitions"),
    tile(numberText(healthy), recovered > 0 ? "healthy before" : "healthy", "good"),
    ...(recovered > 0 ? [tile(numberText(recovered), "recovered", "good")] : []),
    bad(unhealthy, "not healthy"),
    bad(partitions - serving, "not serving"),
    ...(needsDecision > 0 ? [bad(needsDecision, "need a decision")] : []),
  ];
}

function autoFailoverTile({ before, after, notRestored }: AutoFailoverFacts): string {
  if (notRestored !== null) return tile("off", "auto_failover, NOT restored", "bad");
  return tile((after ?? before) ? "on" : "off", "auto_failover");
}

function leftSection({ left, autoFailover }: ReportDocument): string[] {
  const restore = autoFailover?.restoreCommand ?? null;
  const way = { what: "restore auto_failover", command: restore, partitions: 0 };
  const all: Todo[] = restore === null ? [...left] : [{ ways: [way] }, ...left];
  if (all.length === 0) return [];
  const items = all.slice(0, SHOWN_MAX).map(todoHtml);
  return section(
    "What to do next",
    "left",
    `<ol class="todo">${items.join("")}</ol>${moreHtml(all.length - items.length, IN_JSON)}`,
  );
}

function todoHtml({ ways }: Todo): string {
  const lines = ways.slice(0, WAYS_MAX).map((way, index) => {
    const { what, command } = way;
    const words = what === "" ? "run" : what;
    const text = index === 0 ? capital(words) : `Or: ${words}`;
    const partitions = partitionsText(way);
    const count = partitions && ` <span class="count">${partitions}</span>`;
    const block =
      command === null
        ? ""
        : `<div class="copy"><pre><code>${commandHtml(command)}</code></pre><button type="button" class="copy-button">Copy</button></div>`;
    return `<p>${html(text)}${count}</p>${block}`;
  });
  const rest = moreHtml(
    ways.length - WAYS_MAX,
    "other ways; the list of partitions below has each",
  );
  return `<li>${lines.join("")}${rest}</li>`;
}

/** A command that breaks between its words if possible, and never after the dashes of a flag. */
function commandHtml(command: string): string {
  return html(command)
    .split(" ")
    .map((word) => `<span>${word.replace(/^--\w/, "<b>$&</b>")}</span>`)
    .join(" ");
}

function textsSection(title: string, id: string, texts: readonly PartitionText[]): string[] {
  if (texts.length === 0) return [];
  const rows = texts
    .slice(0, SHOWN_MAX)
    .map(
      ({ partition, text }) =>
        `<tr><th scope="row">${html(partition)}</th><td>${html(text)}</td></tr>`,
    );
  const rest = moreHtml(texts.length - rows.length, IN_JSON);
  const isShort = texts.length <= UNFOLDED_MAX;
  return folded(
    `${title} <span class="count">${numberText(texts.length)}</span>`,
    id,
    `<table class="plain"><tbody>${rows.join("")}</tbody></table>${rest}`,
    isShort,
  );
}

/** A section that can be folded. */
function folded(title: string, id: string, body: string, isUnfolded: boolean): string[] {
  const open = isUnfolded ? " open" : "";
  return [
    `<section id="${id}"><details${open}><summary><h2>${title}</h2></summary>${body}</details></section>`,
  ];
}

function findingsSection({ findings }: ReportDocument): string[] {
  const items = findings
    .slice(0, SHOWN_MAX)
    .map(
      ({ level, code, subject, text, effect }) =>
        `<li class="${html(level)}"><span class="badge">${html(level)}</span> <strong>${html(subject)}</strong>: ${html(text)} <code>${html(code)}</code><br><span class="faint">${html(effect)}</span></li>`,
    );
  if (items.length === 0) return [];
  return section(
    `Findings <span class="count">${numberText(findings.length)}</span>`,
    "findings",
    `<ul class="findings">${items.join("")}</ul>${moreHtml(findings.length - items.length, "more")}`,
  );
}

function tabletsHtml(tablets: readonly TabletRow[]): string {
  if (tablets.length === 0) return "";
  const hasBefore = tablets.some((one) => one.before !== null);
  const hasAfter = tablets.some((one) => one.after !== null);
  const cell = (of: TabletRow, key: keyof TabletCounts) => {
    const [before, after] = [of.before?.[key] ?? "-", of.after?.[key] ?? "-"];
    if (!hasBefore || !hasAfter)
      return `<td class="number" data-label="${key}">${hasAfter ? after : before}</td>`;
    const change = before === after ? "same" : "changed";
    return `<td class="number" data-label="${key}"><span class="before">${before}</span><span class="arrow" aria-label="then">→</span><span class="${change}">${after}</span></td>`;
  };
  const rows = tablets.map(
    (one) =>
      `<tr><th scope="row">${html(one.endpoint)}</th><td><span class="dot ${html(one.health)}"></span>${html(one.health)}${one.detail === "" ? "" : `<span class="faint"> ${html(one.detail)}</span>`}</td>${(["replicas", "loaded", "alive", "leaders"] as const).map((key) => cell(one, key)).join("")}</tr>`,
  );
  const caption = !hasBefore
    ? ""
    : `<p class="faint">Before the run${hasAfter ? " → after it" : "; it ended before it observed the cluster again"}.</p>`;
  return `${caption}<div class="scroll"><table class="tablets"><thead><tr><th>tablet</th><th>state</th><th class="number">replicas</th><th class="number">loaded</th><th class="number">alive</th><th class="number">leaders</th></tr></thead><tbody>${rows.join("")}</tbody></table></div>`;
}

function partitionsSection({ partitions, counts }: ReportDocument): string[] {
  if (partitions.length === 0) return [];
  const open = partitions.filter(isOpen).length;
  // The partitions of an operation may have been healthy from the start too.
  const isOperation = partitions.some((row) => row.status === "done" || row.status === "not-done");
  const healthy =
    counts === null || counts.healthy === 0 || isOperation
      ? ""
      : `; the ${numberText(counts.healthy)} others were healthy from the start`;
  const body = [
    `<p class="faint">${numberText(partitions.length)} listed, ${numberText(open)} with something left to do${healthy}.</p>`,
    '<div class="controls"><input type="search" id="search" placeholder="Search: table, endpoint, problem ..." aria-label="Search partitions">',
    '<select id="status" aria-label="Show"></select><span id="found" role="status"></span></div>',
    '<table id="list"><thead><tr></tr></thead><tbody></tbody></table>',
    '<button type="button" id="more" hidden></button>',
    "<noscript><p>The list needs JavaScript; the Markdown and JSON reports have it too.</p></noscript>",
  ];
  return section("Partitions", "partitions", body.join("\n"));
}

function logSection({ log }: ReportDocument): string[] {
  if (log.length === 0) return [];
  const beganMs = log[0]?.atMs ?? 0;
  const lines = log
    .slice(0, LOG_MAX)
    .map(
      ({ atMs, level, text }) =>
        `<li class="${level}"><time>+${durationText(atMs - beganMs)}</time> ${html(text)}</li>`,
    );
  const rest = moreHtml(log.length - lines.length, "more lines");
  const isShort = log.length <= UNFOLDED_MAX;
  return folded(
    `Log <span class="count">${numberText(log.length)}</span>`,
    "log",
    `<ol class="log">${lines.join("")}</ol>${rest}`,
    isShort,
  );
}

function parametersSection({ parameters, run, timeline }: ReportDocument): string[] {
  const leaders = leadersText(run.nameserver, timeline);
  const rows = [
    ["command line", run.commandLine],
    ...(run.id === null ? [] : [["run", run.id]]),
    ["began (UTC)", run.began],
    ...(run.ended === null ? [] : [["ended (UTC)", run.ended]]),
    ...(leaders === undefined ? [] : [["leader of the nameservers", leaders]]),
    ...(run.calls === null ? [] : [["calls to the cluster", numberText(run.calls)]]),
    ["openmldb-ops", run.version],
    ...parameters.map(({ name, value }) => [name, value]),
  ];
  const body = rows
    .map(
      ([name, value]) =>
        `<tr><th scope="row">${html(name ?? "")}</th><td>${html(value ?? "")}</td></tr>`,
    )
    .join("");
  return folded("Run", "parameters", `<table class="plain"><tbody>${body}</tbody></table>`, false);
}

function footerHtml({ run }: ReportDocument): string {
  return `<footer>Written by openmldb-ops ${html(run.version)} on ${html(run.host)}. Times are relative to the start of the run, ${html(run.began)}. This page loads nothing from other sources.</footer>`;
}
