import { counted, suchAs, tally } from "../model/counted.js";
import { partitionName } from "../model/partition-view.js";
import type { Lines, Work } from "../model/work.js";
import { safe } from "../util/text.js";
import { type Plan, type PlannedPartition, refusalOf } from "./recovery-plan.js";

/** Number of groups that are shown; the partitions of the others are counted. */
const GROUPS_MAX = 6;
/** Number of partitions of a group that are named. */
const NAMES_MAX = 3;

/** Partitions with the same problems and the same first steps. */
interface Group {
  readonly problems: string;
  readonly action: string;
  readonly members: PlannedPartition[];
}

/**
 * A plan of many partitions on one screen. Partitions with the same problems and the same first steps
 * form a group; groups that are left alone come first, then the largest.
 *
 * @returns Lines; names from the cluster are made safe for a terminal.
 */
export function* planOverview({ partitions }: Pick<Plan, "partitions">): Lines {
  const groups = yield* groupsOf(partitions);
  const rest = groups.slice(GROUPS_MAX).reduce((sum, { members }) => sum + members.length, 0);
  yield* groups.slice(0, GROUPS_MAX).flatMap(groupLines);
  if (rest > 0) yield `${counted(rest, "more partition")} with other problems`;
  yield "each of them: --verbose; for programs: --output=json or --plan_out=FILE";
}

function* groupsOf(partitions: readonly PlannedPartition[]): Work<Group[]> {
  const groups = new Map<string, Group>();
  for (const one of partitions) {
    yield undefined;
    const refusal = refusalOf(one);
    const problems = tally(one.problems.map(({ code }) => code));
    const action =
      refusal === undefined ? tally(one.first.steps.map(({ kind }) => kind)) : "LEFT ALONE";
    const key = `${problems} | ${action}`;
    const group = groups.get(key) ?? { problems, action, members: [] };
    groups.set(key, group);
    group.members.push(one);
  }
  const isLeft = ({ action }: Group) => Number(action === "LEFT ALONE");
  return [...groups.values()].sort(
    (a, b) => isLeft(b) - isLeft(a) || b.members.length - a.members.length,
  );
}

function groupLines({ problems, action, members }: Group): string[] {
  const [one] = members;
  const names = suchAs(members, NAMES_MAX, ({ id }) => partitionName(id));
  const refusal = one && refusalOf(one);
  const later = one === undefined ? [] : one.rounds.slice(1).flatMap(({ steps }) => steps);
  const then =
    refusal === undefined && later.length > 0
      ? `, then ${tally(later.map(({ kind }) => kind))}`
      : "";
  return [
    `${counted(members.length, "partition")}, ${problems || "requested with --force"}: ${action}${then}`,
    `    ${safe(names)}${refusal === undefined ? "" : `; the first one: ${safe(refusal)}`}`,
  ];
}
