import { absenceAdvice, blockerAdvice } from "../diagnosis/absence-advice.js";
import { ifLost } from "../diagnosis/verdict.js";
import { type Absence, registrationOf } from "../model/absence.js";
import { type Advice, changing, doing, followed } from "../model/advice.js";
import { type Endpoint, isOpActive } from "../model/cluster-state.js";
import { ageText } from "../model/duration.js";
import { recoverAgain } from "../model/tool-command.js";
import { isRemoved, type TabletLoad } from "./distribution.js";
import type { Case, Rule, RuleFacts } from "./rule.js";

/** Milliseconds for which a tablet with some replicas not loaded counts as restarted; later they count as missing. */
const RECENT_MS = 600_000n;

/** The replicas that the record places on a tablet, in words. */
function holds({ replicas, leaders }: TabletLoad): string {
  return `${replicas} replicas on record there, ${leaders} of them leaders`;
}

/** True if all tables are inspected. Otherwise a tablet without replicas means nothing. */
function isWhole({ scope, views }: RuleFacts): boolean {
  return scope.db === undefined && scope.table === undefined && views.length > 0;
}

/** Creates a rule about single tablets; `text` is undefined for a tablet that it does not concern. */
function tabletRule({
  text: textOf,
  next,
  ...rule
}: Omit<Rule, "find"> & {
  text(tablet: TabletLoad, facts: RuleFacts): string | undefined;
  next?(tablet: TabletLoad, facts: RuleFacts): Advice | undefined;
}): Rule {
  return {
    ...rule,
    find: (facts) =>
      facts.loads.flatMap((tablet): Case[] => {
        const text = textOf(tablet, facts);
        const subject = { kind: "tablet" as const, endpoint: tablet.endpoint };
        return text === undefined ? [] : [{ subject, text, next: next?.(tablet, facts) }];
      }),
  };
}

/** True if the nameserver knows the tablet and does not count it as healthy. */
const isOffline = (tablet: TabletLoad) => tablet.health === "offline" && tablet.state !== undefined;

function adviceOnAbsence({ print }: RuleFacts, endpoint: Endpoint, absence: Absence): Advice {
  const again = recoverAgain({ cmd: "recoverdata" }, print);
  if (absence.kind === "lost") return [changing("run", again({ lost: [endpoint] }))];
  const see = absenceAdvice(endpoint, absence, print);
  return [...followed(see, "then run", again()), ...ifLost({ endpoint, absence }, again)];
}

/** The advice on an absent tablet, with the recovery that follows. */
function absentTabletAdvice({ endpoint, absence }: TabletLoad, facts: RuleFacts) {
  return absence && adviceOnAbsence(facts, endpoint, absence);
}

/** The advice on a tablet that is registered but does not answer, with the recovery that follows. */
function silentAdvice({ endpoint, replicas }: TabletLoad, { state, print }: RuleFacts) {
  const view = state.tablets.get(endpoint);
  return (
    view &&
    followed(
      blockerAdvice(state.topology, view, replicas > 0, print),
      "then run",
      print({ cmd: "recoverdata" }),
    )
  );
}

/** The number of active ops. */
function waitingOps({ state }: RuleFacts): number {
  return state.ops.filter(isOpActive).length;
}

/** Rules about ZooKeeper, nameservers and tablets. */
export const SERVER_RULES: readonly Rule[] = [
  {
    code: "tablets-lost",
    level: "note",
    effect: "none yet: this is what recovery with --lost would do",
    find: ({ lostLines = [] }) => lostLines.map((text) => ({ subject: { kind: "cluster" }, text })),
  },
  {
    code: "zookeeper-host-silent",
    level: "error",
    effect: "the cluster works as long as a majority of ZooKeeper's servers does",
    find: ({ zooKeeper }) =>
      zooKeeper
        .filter(({ silence }) => silence !== undefined)
        .map(
          ({ host, silence }): Case => ({
            subject: { kind: "zookeeper", host },
            text: `cannot be reached: ${silence}`,
            next: [doing(`start ZooKeeper ${host}`, "server")],
          }),
        ),
  },
  {
    code: "nameserver-silent",
    level: "error",
    effect: "it cannot take over if the leader fails",
    find: ({ nameservers }) =>
      nameservers
        .filter(({ silence }) => silence !== undefined)
        .map(
          ({ endpoint, silence }): Case => ({
            subject: { kind: "nameserver", endpoint },
            text: `registered in ZooKeeper, but does not answer: ${silence}`,
            next: [doing(`check nameserver ${endpoint}; restart it if it hangs`, "server")],
          }),
        ),
  },
  {
    code: "nameserver-registered-twice",
    level: "warning",
    turn: "before",
    effect: "none if it goes away within seconds: a reconnect leaves the old znode for a while",
    find: ({ nameservers }) =>
      nameservers
        .filter(({ znodes }) => znodes > 1)
        .map(
          ({ endpoint, znodes }): Case => ({
            subject: { kind: "nameserver", endpoint },
            text: `holds ${znodes} znodes under leader`,
            next: [doing(`if that persists, restart nameserver ${endpoint}`, "server")],
          }),
        ),
  },
  {
    code: "no-standby",
    level: "note",
    effect: "if the nameserver fails, no op runs until it is back; partitions keep serving",
    find: ({ nameservers }) =>
      nameservers.length === 1
        ? [{ subject: { kind: "cluster" }, text: "only one nameserver, no standby" }]
        : [],
  },
  tabletRule({
    code: "tablet-offline",
    level: "error",
    effect: "its replicas serve nothing",
    text: (tablet, facts) =>
      isOffline(tablet) && !isRemoved(tablet)
        ? `${tablet.state} for ${ageText(tablet.ageMs ?? 0n)}${tablet.loaded === undefined && facts.state.tablets.get(tablet.endpoint)?.reports !== undefined ? ", although it answers" : ""}; ${holds(tablet)}`
        : undefined,
    next: absentTabletAdvice,
  }),
  tabletRule({
    code: "tablet-removed",
    level: "warning",
    effect: "none: nothing is on record there",
    text: (tablet) =>
      isRemoved(tablet)
        ? `${tablet.state} for ${ageText(tablet.ageMs ?? 0n)}, no replica on record there`
        : undefined,
    next: () => [doing("start it, or ignore it: nameservers list it until they restart", "server")],
  }),
  tabletRule({
    // No call shows what is on the disk of a tablet with nothing loaded: GetTermPair and GetManifest answer the
    // same with and without a directory (OpenMLDB 0.9).
    code: "tablet-unused",
    level: "note",
    effect: "old data on its disk is not used: where there is an old copy, no replica is added",
    text: (tablet, facts) =>
      tablet.health === "ok" && tablet.replicas === 0 && isWhole(facts)
        ? `registered for ${ageText(tablet.ageMs ?? 0n)}, no replica on record there`
        : undefined,
  }),
  tabletRule({
    code: "tablet-silent",
    level: "error",
    effect:
      "it may be serving clients that reach it; nothing of its partitions is changed from here meanwhile",
    text: (tablet) =>
      tablet.health === "silent" && tablet.absence?.kind !== "not-what-it-says"
        ? `${tablet.detail}; ${holds(tablet)}`
        : undefined,
    next: silentAdvice,
  }),
  tabletRule({
    code: "tablet-foreign",
    level: "error",
    effect: "nothing is sent to it; the tablet of that name may be serving at another address",
    text: ({ absence, ...tablet }) =>
      absence?.kind === "not-what-it-says"
        ? `${absence.mismatch}; ${holds({ absence, ...tablet })}`
        : undefined,
    next: absentTabletAdvice,
  }),
  tabletRule({
    code: "ops-blocked",
    level: "error",
    effect: "an op ends only when every tablet that the nameserver counts as healthy has answered",
    text: (tablet, facts) =>
      tablet.absence?.kind === "unreachable" && waitingOps(facts) > 0
        ? `${waitingOps(facts)} ops do not end while it is registered as ${registrationOf(facts.state.topology, tablet.endpoint)} and does not answer`
        : undefined,
    next: silentAdvice,
  }),
  tabletRule({
    code: "tablet-unknown",
    level: "error",
    effect: "nothing can be placed or recovered there",
    text: (tablet) =>
      tablet.state === undefined && tablet.isRegistered
        ? `registered in ZooKeeper, but the nameserver does not know it; ${holds(tablet)}`
        : undefined,
    next: () => [doing("wait some seconds if it has just started; else restart it", "server")],
  }),
  tabletRule({
    code: "tablet-gone",
    level: "error",
    effect: "the replicas on record there are not reachable anywhere",
    text: (tablet) =>
      tablet.state === undefined && !tablet.isRegistered
        ? `known to neither ZooKeeper nor the nameserver; ${holds(tablet)}`
        : undefined,
    next: absentTabletAdvice,
  }),
  tabletRule({
    code: "tablet-not-registered",
    level: "warning",
    turn: "before",
    effect: "the nameserver will mark it offline within seconds",
    text: (tablet) =>
      tablet.health === "ok" && !tablet.isRegistered
        ? "answers and is healthy for the nameserver, but ZooKeeper does not hold its znode"
        : undefined,
    next: ({ endpoint }) => [doing(`check the ZooKeeper session of tablet ${endpoint}`, "server")],
  }),
  tabletRule({
    code: "tablet-restarted",
    level: "warning",
    effect: "a restarted tablet loads nothing by itself",
    // Its partitions have the advice.
    text: (tablet) => {
      const { loaded, replicas } = tablet;
      if (loaded === undefined || loaded >= replicas) return undefined;
      const isRecent = tablet.isStartup && (tablet.ageMs ?? 0n) < RECENT_MS;
      if (loaded > 0 && !isRecent) return undefined;
      return `started again, healthy for ${ageText(tablet.ageMs ?? 0n)}: ${loaded} of ${replicas} replicas are loaded`;
    },
  }),
];
