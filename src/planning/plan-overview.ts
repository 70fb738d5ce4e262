import { counted, suchAs, tally } from "../model/counted.js";
import { partitionName } from "../model/partition-view.js";
import type { Lines, Work } from "../model/work.js";
import { safe } from "../util/text.js";
import { type Plan, type PlannedPartition, refusalOf } from "./recovery-plan.js";

/** Groups that are shown; the partitions of others are counted. */
const GROUPS_MAX = 6;
/** Names that stand for their group. */
const NAMES_MAX = 3;

/** Partitions with the same problems, for which the same is done. */
interface Group {
  readonly problems: string;
  readonly deed: string;
  readonly members: PlannedPartition[];
}

/**
 * A plan of many partitions on one screen: those with the same problems and the same first steps are one group,
 * what is left alone first, then the largest.
 *
 * @returns Names from the cluster are made safe for a terminal.
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
    const deed =
      refusal === undefined ? tally(one.first.steps.map(({ kind }) => kind)) : "LEFT ALONE";
    const key = `${problems} | ${deed}`;
    const group = groups.get(key) ?? { problems, deed, members: [] };
    groups.set(key, group);
    group.members.push(one);
  }
  const isLeft = ({ deed }: Group) => Number(deed === "LEFT ALONE");
  return [...groups.values()].sort(
    (a, b) => isLeft(b) - isLeft(a) || b.members.length - a.members.length,
  );
}

function groupLines({ problems, deed, members }: Group): string[] {
  const [one] = members;
  const names = suchAs(members, NAMES_MAX, ({ id }) => partitionName(id));
  const refusal = one && refusalOf(one);
  const later = one === undefined ? [] : one.rounds.slice(1).flatMap(({ steps }) => steps);
  const then =
    refusal === undefined && later.length > 0
      ? `, then ${tally(later.map(({ kind }) => kind))}`
      : "";
  return [
    `${counted(members.length, "partition")}, ${problems || "asked for by --force"}: ${deed}${then}`,
    `    ${safe(names)}${refusal === undefined ? "" : `; the first one: ${safe(refusal)}`}`,
  ];
}
