import type { Op } from "../model/cluster-state.js";
import { partitionName } from "../model/partition-view.js";
import { table } from "../util/table.js";
import { type Color, paint, safe } from "../util/text.js";
import { type Screen, wrapped } from "../util/wrap.js";
import type { Grade } from "./grade.js";
import { startText } from "./op-age.js";
import type { PartitionReport, ReplicaReportLine } from "./partition-report.js";

/** Number of replicas that are shown for a partition. */
const REPLICAS_MAX = 20;
const INDENT = "    ";

/** Title and colour of each grade. */
export const GRADE_TITLES: Readonly<Record<Grade, readonly [string, Color]>> = {
  down: ["NOT SERVING", "bad"],
  "at-risk": ["ROWS AT RISK", "bad"],
  "one-left": ["ONE REPLICA LEFT", "doubtful"],
  degraded: ["followers missing", "doubtful"],
  untidy: ["untidy", "doubtful"],
};

/**
 * The text of one unhealthy partition.
 *
 * @param index Its number in the list, from 1.
 * @returns Lines without line ends. Control characters are escaped.
 */
export function partitionLines(report: PartitionReport, index: number, screen: Screen): string[] {
  const [title, color] = GRADE_TITLES[report.grade];
  const labelled = (label: string, text: string) =>
    wrapped(
      text,
      { first: `${INDENT}${label.padEnd(6)}  `, rest: `${INDENT}${" ".repeat(8)}` },
      screen,
    );
  const led = report.leader === undefined ? "" : `, led by ${safe(report.leader)}`;
  return [
    `${index}. ${safe(partitionName(report.id))}  ${paint(title, color, screen.hasColor)}${led}`,
    ...causes(report).flatMap((text, at) => labelled(at === 0 ? "cause" : "", text)),
    ...labelled("effect", safe(report.effect)),
    ...replicaTable(report.replicas, screen.hasColor),
    ...disagreements(report.replicas).flatMap((text) => labelled("ZooKeeper", text)),
    ...report.ops.flatMap((op) => labelled("op", safe(opText(op)))),
  ];
}

/** The problems as lines; equal problems of several replicas share a line. */
function causes({ problems, replicas }: PartitionReport): string[] {
  const groups = new Map<string, { text: string; code: string; endpoints: string[] }>();
  for (const { code, text, endpoint } of problems) {
    const key = `${code} ${text}`;
    const group = groups.get(key) ?? { text, code, endpoints: [] };
    if (endpoint !== undefined) group.endpoints.push(endpoint);
    groups.set(key, group);
  }
  return [...groups.values()].map(({ text, code, endpoints }) => {
    const isAll = endpoints.length > 2 && endpoints.length === replicas.length;
    const where = isAll ? `all ${replicas.length} replicas` : endpoints.map(safe).join(", ");
    return `${where === "" ? "" : `${where}: `}${safe(text)} [${code}]`;
  });
}

function replicaTable(lines: readonly ReplicaReportLine[], hasColor: boolean): string[] {
  const shown = lines.slice(0, REPLICAS_MAX);
  const text = table(
    [
      { title: "replica" },
      { title: "nameserver" },
      { title: "offset", align: "right" },
      { title: "rows", align: "right" },
      { title: "tablet" },
      { title: "offset", align: "right" },
      { title: "rows", align: "right" },
    ],
    shown.map(({ view: { endpoint, claim, tablet, report } }) => [
      endpoint,
      claim.isAlive
        ? `${roleOf(claim)} alive`
        : { text: `${roleOf(claim)} DEAD`, color: "doubtful" as const },
      number(claim.offset),
      number(claim.recordCount),
      tablet === "ok"
        ? report === undefined
          ? { text: "not loaded", color: "bad" as const }
          : `${report.role ?? "?"} ${report.state}`
        : { text: tablet, color: "bad" as const },
      number(report?.offset),
      number(report?.recordCount),
    ]),
    hasColor,
  );
  const more = lines.length - shown.length;
  return [
    ...text
      .trimEnd()
      .split("\n")
      .map((line) => `${INDENT}${line}`),
    ...(more > 0 ? [`${INDENT}and ${more} more replicas`] : []),
  ];
}

function roleOf({ isLeader }: { readonly isLeader: boolean }): string {
  return isLeader ? "leader" : "follower";
}

function number(value: bigint | undefined): string {
  return value === undefined ? "-" : String(value);
}

/** The facts in ZooKeeper about the replicas for which it disagrees with the nameserver. */
function disagreements(lines: readonly ReplicaReportLine[]): string[] {
  return lines
    .filter((one) => one.disagrees)
    .map(({ view, zooKeeper }) => {
      const { flags, isRegistered } = zooKeeper;
      const stored =
        flags === undefined
          ? "no record of it"
          : `recorded as ${roleOf(flags)} ${flags.isAlive ? "alive" : "DEAD"}`;
      return `${safe(view.endpoint)}: tablet ${isRegistered ? "" : "not "}registered, ${stored}`;
    });
}

function opText(op: Op): string {
  const when = op.startTime === 0n ? "" : `, ${startText(op)}`;
  const task = op.task === "-" || op.task === "" ? "" : ` at ${op.task}`;
  return `${op.type} ${op.id}: ${op.status}${task}${when}`;
}
