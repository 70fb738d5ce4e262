import {
  adviceText,
  byFirstWay,
  grouped,
  type Needs,
  NO_ADVICE,
  wayText,
} from "../model/advice.js";
import { counted } from "../model/counted.js";
import { ageText, durationText } from "../model/duration.js";
import { flatMapped, grouping, type Work } from "../model/work.js";
import { maxOf, minOf } from "../util/extremes.js";
import { type Cell, table } from "../util/table.js";
import { type Color, paint, safe } from "../util/text.js";
import { type Screen, wrapped } from "../util/wrap.js";
import type { TabletLoad } from "./distribution.js";
import { countLevel, type Inspection } from "./inspection.js";
import { type Finding, type Level, subjectText, type Turn } from "./rule.js";
import { partitionLines } from "./text-partition.js";

/** Number of partitions and tablets that are shown, worst first; JSON has all of them. */
const PARTITIONS_MAX = 20;
const TABLETS_MAX = 20;
/** Number of findings that are shown for each code. */
const FINDINGS_MAX = 5;
const LABEL_WIDTH = 9;

/** The colour of findings by their level. */
export const LEVEL_COLORS: Readonly<Record<Level, Color>> = {
  error: "bad",
  warning: "doubtful",
  note: "faint",
};

/** The duration of an inspection in milliseconds, and its number of calls. */
export interface Effort {
  readonly tookMs: number;
  readonly calls: number;
}

/**
 * The health report as text: servers, unhealthy partitions (worst first), findings, advice, and the verdict as the
 * last line. Yields between partitions.
 *
 * @returns Lines without line ends. Control characters in names from the cluster are escaped.
 */
export function* inspectionText(
  inspection: Inspection,
  effort: Effort,
  screen: Screen,
): Work<string[]> {
  return [
    ...serverLines(inspection),
    "",
    ...tabletLines(inspection, screen.hasColor),
    ...partitionBlocks(inspection, screen),
    ...(yield* findingLines(inspection, screen)),
    ...spaced(yield* nextLines(inspection)),
    "",
    verdictLine(inspection, effort, screen.hasColor),
  ];
}

/** The lines with an empty line before them; empty if there are none. */
function spaced(lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ["", ...lines];
}

/** One line each for ZooKeeper, the nameservers and auto_failover. */
export function serverLines({ facts }: Inspection): string[] {
  const { zooKeeper, nameservers, state } = facts;
  return [
    `ZooKeeper   ${zooKeeper.map(({ host, silence }) => `${safe(host)} ${silence === undefined ? "answers" : "DOES NOT ANSWER"}`).join(", ")}`,
    `nameserver  ${nameservers.map(({ endpoint, isLeader, silence }) => `${safe(endpoint)} ${silence === undefined ? (isLeader ? "leads" : "stands by") : "DOES NOT ANSWER"}`).join(", ")}`,
    `auto_failover is ${state.autoFailover ? "on" : "off"}`,
  ];
}

/** The table of tablets. If there are more than `most`: only unhealthy or incomplete ones, and a summary line. */
export function tabletLines(
  { tablets }: Inspection,
  hasColor: boolean,
  most = TABLETS_MAX,
): string[] {
  const bad = tablets.filter((one) => one.health !== "ok" || one.loaded !== one.replicas);
  const isLong = tablets.length > most;
  const shown = (isLong ? bad : tablets).slice(0, most);
  const rows = shown.map((one): Cell[] => [
    one.endpoint,
    { text: stateText(one), color: one.health === "ok" ? "good" : "bad" },
    one.ageMs === undefined ? "-" : ageText(one.ageMs),
    String(one.replicas),
    one.loaded === undefined || one.loaded === one.replicas
      ? String(one.loaded ?? "-")
      : { text: String(one.loaded), color: "bad" },
    String(one.leaders),
  ]);
  const text = table(
    [
      { title: "tablet" },
      { title: "state" },
      { title: "for", align: "right" },
      { title: "replicas", align: "right" },
      { title: "loaded", align: "right" },
      { title: "leaders", align: "right" },
    ],
    rows,
    hasColor,
  );
  return [
    ...(rows.length === 0 ? [] : text.trimEnd().split("\n")),
    ...(isLong ? [summary(tablets, bad.length, shown.length)] : []),
  ];
}

function stateText({ health, state, isRegistered }: TabletLoad): string {
  const word = state ?? "unknown";
  if (health === "silent") return `${word}, SILENT`;
  return isRegistered === (health === "ok")
    ? word
    : `${word}, ${isRegistered ? "registered" : "NOT REGISTERED"}`;
}

/** The summary line of many tablets. */
function summary(tablets: readonly TabletLoad[], bad: number, shown: number): string {
  const well = tablets.filter((one) => one.health === "ok");
  const range = (what: "replicas" | "leaders") => {
    const counts = well.map((one) => one[what]);
    return `${minOf(counts)} to ${maxOf(counts)} ${what}`;
  };
  const spread =
    well.length === 0 ? "" : `; each holds ${range("replicas")} and ${range("leaders")}`;
  const rest = bad > shown ? `; ${bad - shown} more with faults (--output=json)` : "";
  return `${tablets.length} tablets, ${well.length} healthy and answering${spread}${rest}`;
}

function partitionBlocks({ partitions }: Inspection, screen: Screen): string[] {
  if (partitions.length === 0) return [];
  const shown = partitions.slice(0, PARTITIONS_MAX);
  const more = partitions.length - shown.length;
  return [
    ...shown.flatMap((one, index) => ["", ...partitionLines(one, index + 1, screen)]),
    ...(more > 0 ? ["", `and ${more} more partitions (--output=json shows all)`] : []),
  ];
}

function* findingLines({ findings }: Inspection, screen: Screen): Work<string[]> {
  const byCode = yield* grouping(findings, (one) => one.code);
  return spaced([...byCode.values()].flatMap((group) => findingGroup(group, screen)));
}

function findingGroup(group: readonly Finding[], screen: Screen): string[] {
  const [first] = group;
  if (first === undefined) return [];
  const rest = " ".repeat(LABEL_WIDTH);
  const level = first.level.padEnd(LABEL_WIDTH);
  const more = group.length - FINDINGS_MAX;
  const lines = group
    .slice(0, FINDINGS_MAX)
    .flatMap((one) =>
      wrapped(
        `${safe(subjectText(one.subject))}: ${safe(one.text)} [${one.code}]`,
        { first: level, rest },
        screen,
      ),
    );
  return [
    // Colour after wrapping, because wrapping counts characters.
    ...lines.map((line) =>
      line.startsWith(level)
        ? `${paint(level, LEVEL_COLORS[first.level], screen.hasColor)}${line.slice(LABEL_WIDTH)}`
        : line,
    ),
    ...(more > 0 ? [`${rest}and ${more} more [${first.code}]`] : []),
    ...wrapped(safe(first.effect), { first: `${rest}effect: `, rest }, screen),
  ];
}

/**
 * The advice, each text once, in the order in which to follow it: findings to deal with before a recovery, then
 * partitions (by their numbers in the list), then the other findings.
 */
export function* nextLines(
  { partitions, findings }: Inspection,
  most = PARTITIONS_MAX,
): Work<string[]> {
  const numbers = partitions.map((_, index) => index + 1);
  const groups = yield* grouped(numbers, (number) => partitions[number - 1]?.next ?? NO_ADVICE);
  const known = new Set(groups.map(({ advice }) => adviceText(advice)));
  const turnOf = (one: Advised) => TURNS.indexOf(one.first.way.needs);
  const advised = byFirstWay(groups).sort((a, b) => turnOf(a) - turnOf(b));
  const forFindings = function* (turn: Turn): Work<string[]> {
    const lines = yield* flatMapped(findings, ({ level, turn: own, next = NO_ADVICE }) => {
      if (level === "note" || own !== turn) return [];
      const text = adviceText(next);
      return text === "" || known.has(text) ? [] : [`next: ${safe(text)}`];
    });
    return [...new Set(lines)];
  };
  return [
    ...shortened(yield* forFindings("before"), most),
    ...shortened(advised.map(adviceLines), most),
    ...shortened(yield* forFindings("after"), most),
  ];
}

/** The order of advice: commands that can be run at once, then work on servers, then decisions. */
const TURNS: readonly Needs[] = ["nothing", "server", "thought"];

/** Advice with the same first remedy; partitions by their numbers in the list. */
type Advised = ReturnType<typeof byFirstWay<number>>[number];

/** One line for each remedy, so that its command can be copied. */
function adviceLines({ first, others }: Advised): string {
  const ways = others.slice(0, PARTITIONS_MAX).map(({ way, of }) => {
    const which = of.length === first.of.length ? "" : ` (${numbersText(of)})`;
    return `  or${which}, ${safe(wayText(way))}`;
  });
  const more = others.length - ways.length;
  const rest = more > 0 ? [`  and ${more} more alternatives (--output=json shows all)`] : [];
  const next = `next (${numbersText(first.of)}): ${safe(wayText(first.way))}`;
  return [next, ...ways, ...rest].join("\n");
}

/** The first `most` lines, and the number of further ones. */
function shortened(lines: readonly string[], most: number): string[] {
  const more = lines.length - most;
  const shown = lines.slice(0, most).flatMap((line) => line.split("\n"));
  return more > 0 ? [...shown, `and ${more} more to do (--output=json shows all)`] : shown;
}

/** Numbers as ranges, such as `1-3, 7`; only the count if there are more than five ranges. */
function numbersText(numbers: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const one of [...numbers].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] === one - 1) last[1] = one;
    else runs.push([one, one]);
  }
  if (runs.length > 5) return `${numbers.length} partitions`;
  return runs.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`)).join(", ");
}

/** The verdict on one line. */
export function verdictText(inspection: Inspection): string {
  const { counts, findings, isHealthy } = inspection;
  const size = `${counted(counts.partitions, "partition")}, ${counted(counts.replicas, "replica")}`;
  const errors = countLevel(findings, "error");
  const warnings = countLevel(findings, "warning");
  const also = warnings === 0 ? "" : `, ${counted(warnings, "warning")}`;
  if (isHealthy) return `all healthy${also} (${size})`;
  const partitionsText =
    counts.unhealthy === 0
      ? "partitions are healthy, but servers are NOT"
      : `${counted(counts.unhealthy, "partition")} NOT healthy, ${counts.down} of them not serving`;
  const servers = errors === 0 ? "" : `, ${counted(errors, "error")}`;
  return `${partitionsText}${servers}${also}; ${counts.partitions - counts.unhealthy} healthy (${size})`;
}

/** The verdict with duration and number of calls. */
export function verdictLine(inspection: Inspection, effort: Effort, hasColor: boolean): string {
  const spent = `${durationText(effort.tookMs)}, ${counted(effort.calls, "call")}`;
  const text = `inspect: ${verdictText(inspection).replace(/\)$/, `; ${spent})`)}`;
  return paint(text, inspection.isHealthy ? "good" : "bad", hasColor);
}
