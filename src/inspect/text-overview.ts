import { groupBy } from "../model/groups.js";
import { tableName } from "../model/partition-name.js";
import { grouping, type Work } from "../model/work.js";
import { paint, safe } from "../util/text.js";
import type { Screen } from "../util/wrap.js";
import { GRADES, type Grade } from "./grade.js";
import type { Inspection } from "./inspection.js";
import type { PartitionReport } from "./partition-report.js";
import { type Finding, subjectText } from "./rule.js";
import { GRADE_TITLES } from "./text-partition.js";
import {
  type Effort,
  inspectionText,
  LEVEL_COLORS,
  nextLines,
  serverLines,
  tabletLines,
  verdictLine,
} from "./text-report.js";

// Limits that keep the overview within 24 lines of 80 columns, together with servers, advice and verdict.
const TABLETS_MAX = 4;
const GROUPS_MAX = 4;
const FINDINGS_MAX = 2;
const ADVICE_MAX = 3;
/** Number of tables that are named in a line; the others are counted. */
const TABLES_MAX = 3;

/** Up to this number, partitions are shown one by one without `--verbose`, if they fit the terminal. */
const DETAILED_MAX = 3;
/** Lines of a terminal that are left free: the shell's prompt takes one, and the verdict may wrap to a second. */
const ROWS_FREE = 2;

/** Partitions with the same grade and the same causes. */
interface Group {
  readonly grade: Grade;
  readonly cause: string;
  /** In the order of the reports. */
  readonly members: readonly PartitionReport[];
}

/**
 * The text of `inspect`: few partitions one by one, or {@link overviewText} if there are many or if they do not fit
 * the terminal. Yields between partitions.
 *
 * @param isDetailed True if all partitions are to be shown one by one (`--verbose`).
 */
export function* inspectionScreen(
  inspection: Inspection,
  effort: Effort,
  screen: Screen & {
    /** Lines of the terminal; infinite without one. */
    readonly rows: number;
  },
  isDetailed: boolean,
): Work<string[]> {
  const isFew = inspection.partitions.length <= DETAILED_MAX;
  if (!isDetailed && !isFew) return yield* overviewText(inspection, effort, screen);
  const oneByOne = yield* inspectionText(inspection, effort, screen);
  const isOverfull = oneByOne.length > screen.rows - ROWS_FREE;
  return isOverfull && !isDetailed ? yield* overviewText(inspection, effort, screen) : oneByOne;
}

/**
 * The whole cluster on one screen, whatever its size: servers, the first groups of partitions by grade and cause
 * (one line each), the first findings, the advice, and the verdict as the last line.
 *
 * @returns Lines without line ends. Control characters in names from the cluster are escaped.
 */
function* overviewText(inspection: Inspection, effort: Effort, screen: Screen): Work<string[]> {
  return [
    ...serverLines(inspection),
    "",
    ...tabletsInShort(inspection, screen),
    "",
    ...(yield* groupLines(inspection.partitions, screen)),
    ...findingLines(inspection.findings, screen),
    ...(yield* nextLines(inspection, ADVICE_MAX)),
    verdictLine(inspection, effort, screen.hasColor),
  ];
}

/** The table of tablets; if there are many, only unhealthy ones and a summary line. */
function tabletsInShort(inspection: Inspection, screen: Screen): string[] {
  const lines = tabletLines(inspection, screen.hasColor, TABLETS_MAX);
  const isLong = inspection.tablets.length > TABLETS_MAX;
  return lines.map((line, at) => (isLong && at === lines.length - 1 ? cut(line, screen) : line));
}

function* groupLines(partitions: readonly PartitionReport[], screen: Screen): Work<string[]> {
  const groups = yield* groupsOf(partitions);
  const shown = groups.slice(0, GROUPS_MAX);
  const width = String(partitions.length).length;
  const lines = shown.map((group) => {
    const [title, color] = GRADE_TITLES[group.grade];
    const head = `${String(group.members.length).padStart(width)} ${title}`;
    const text = cut(`${head}: ${group.cause}; ${tablesText(group)}`, screen);
    return paint(head, color, screen.hasColor) + text.slice(head.length);
  });
  const rest = groups.slice(GROUPS_MAX).reduce((sum, { members }) => sum + members.length, 0);
  return [
    ...lines,
    ...(rest > 0 ? [`${String(rest).padStart(width)} more, for other causes`] : []),
    cut("each of them: --verbose; one table: --db=DB --table=TABLE; all: --output=json", screen),
  ];
}

function* groupsOf(partitions: readonly PartitionReport[]): Work<Group[]> {
  const groups: Group[] = [];
  for (const grade of GRADES) {
    const ofGrade = partitions.filter((one) => one.grade === grade);
    const byCause = [...(yield* grouping(ofGrade, causeOf))].sort(
      ([, a], [, b]) => b.length - a.length,
    );
    for (const [cause, members] of byCause) groups.push({ grade, cause, members });
  }
  return groups;
}

/** The causes with the number of replicas each concerns, without figures that differ between partitions. */
function causeOf({ problems, replicas }: PartitionReport): string {
  const byCode = new Map<string, { count: number; words: string }>();
  for (const { code, text } of problems) {
    const known = byCode.get(code);
    const words = /\d/.test(text) || (known !== undefined && known.words !== text) ? code : text;
    byCode.set(code, { count: (known?.count ?? 0) + 1, words });
  }
  return [...byCode.values()]
    .map(({ count, words }) => {
      const which = count >= replicas.length ? "every replica" : `${count} of its replicas`;
      return `${which} ${safe(words)}`;
    })
    .join(", ");
}

function tablesText({ members }: Group): string {
  const tables = groupBy(members, ({ id }) => id.tid);
  const first = [...tables.values()]
    .slice(0, TABLES_MAX)
    .flatMap((of) => of.slice(0, 1).map(({ id }) => `${safe(tableName(id))} (${of.length})`))
    .join(", ");
  const more = tables.size - TABLES_MAX;
  return more > 0 ? `${first} and ${more} more tables` : first;
}

function findingLines(findings: readonly Finding[], screen: Screen): string[] {
  const worth = findings.filter((one) => one.level !== "note");
  const lines = worth.slice(0, FINDINGS_MAX).map(({ level, subject, text, code }) => {
    const line = cut(`${level}: ${safe(subjectText(subject))}: ${safe(text)} [${code}]`, screen);
    return paint(level, LEVEL_COLORS[level], screen.hasColor) + line.slice(level.length);
  });
  const more = worth.length - lines.length;
  return [...lines, ...(more > 0 ? [`and ${more} more warnings and errors`] : [])];
}

/** Shortens a text to one line of the screen. Width is counted in UTF-16 units; a wide line may still wrap. */
function cut(text: string, { columns }: Screen): string {
  return text.length <= columns ? text : `${text.slice(0, columns - 3)}...`;
}
