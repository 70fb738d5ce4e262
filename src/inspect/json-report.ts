import { absenceDocument } from "../diagnosis/absence-advice.js";
import { adviceText } from "../model/advice.js";
import type { Op } from "../model/cluster-state.js";
import { problemRow } from "../model/problem.js";
import { lazyList } from "../util/text.js";
import type { TabletLoad } from "./distribution.js";
import type { InspectFacts } from "./facts.js";
import { countLevel, type Inspection } from "./inspection.js";
import type { PartitionReport, ReplicaReportLine } from "./partition-report.js";
import type { Effort } from "./text-report.js";

/** Version of the JSON document. Fields may be added within a version; readers must ignore unknown fields. */
export const INSPECT_SCHEMA_VERSION = 1;

/** The counts as the documents of inspect and verify have them. */
export function countsJson({ facts, counts, findings }: Inspection) {
  return {
    nameservers: facts.nameservers.length,
    tablets: facts.state.tablets.size,
    tables: counts.tables,
    partitions: counts.partitions,
    replicas: counts.replicas,
    healthy: counts.partitions - counts.unhealthy,
    unhealthy: counts.unhealthy,
    serving: counts.partitions - counts.down,
    errors: countLevel(findings, "error"),
    warnings: countLevel(findings, "warning"),
    notes: countLevel(findings, "note"),
  };
}

/**
 * The health report as a document for `jsonPieces`, which writes bigint values as decimal strings. Durations are
 * milliseconds.
 *
 * @param exitCode The exit code of the process (with `--watch`: the one it would have without).
 */
export function inspectionJson(inspection: Inspection, effort: Effort, exitCode: number) {
  const { facts } = inspection;
  const { db, table } = facts.scope;
  return {
    schemaVersion: INSPECT_SCHEMA_VERSION,
    command: "inspect",
    time: new Date(facts.nowMs).toISOString(),
    exitCode,
    healthy: inspection.isHealthy,
    scope: { db: db ?? null, table: table ?? null },
    counts: countsJson(inspection),
    zooKeeper: facts.zooKeeper.map(({ host, silence }) => ({
      host,
      answers: silence === undefined,
      silence: silence ?? null,
    })),
    nameservers: facts.nameservers.map(({ endpoint, isLeader, silence }) => ({
      endpoint,
      role: isLeader ? "leader" : "standby",
      answers: silence === undefined,
      silence: silence ?? null,
    })),
    tablets: inspection.tablets.map(tabletJson),
    autoFailover: facts.state.autoFailover,
    lock: lockJson(facts),
    marker: markerJson(facts),
    findings: inspection.findings.map(({ code, level, subject, text, effect, next }) => ({
      code,
      level,
      subject,
      text,
      effect,
      next: next === undefined ? null : adviceText(next),
    })),
    partitions: lazyList(inspection.partitions, partitionJson),
    calls: effort.calls,
    tookMs: effort.tookMs,
  };
}

function tabletJson(one: TabletLoad) {
  const { endpoint, health, detail, absence, state, ageMs, isRegistered, isStartup } = one;
  return {
    endpoint,
    health,
    detail: detail === "" ? null : detail,
    absence: absence === undefined ? null : absenceDocument(absence),
    state: state ?? null,
    ageMs: ageMs ?? null,
    registered: isRegistered,
    firstSession: isStartup,
    replicas: one.replicas,
    loaded: one.loaded ?? null,
    leaders: one.leaders,
  };
}

function lockJson({ lock }: InspectFacts) {
  if (lock === undefined) return null;
  return lock === "unknown" ? { owner: null } : { owner: lock };
}

function markerJson({ marker }: InspectFacts) {
  if (marker === undefined) return null;
  return marker.kind === "unreadable"
    ? { owner: null, original: null }
    : { owner: marker.owner, original: marker.original };
}

function partitionJson(one: PartitionReport) {
  return {
    ...one.id,
    grade: one.grade,
    serving: one.grade !== "down",
    leader: one.leader ?? null,
    problems: one.problems.map(problemRow),
    effect: one.effect,
    replicas: one.replicas.map(replicaJson),
    ops: one.ops.map(opJson),
    next: adviceText(one.next),
  };
}

function replicaJson({ view, zooKeeper, disagrees }: ReplicaReportLine) {
  const { endpoint, claim, tablet, tabletDetail, report } = view;
  return {
    endpoint,
    nameserver: {
      role: claim.isLeader ? "leader" : "follower",
      alive: claim.isAlive,
      offset: claim.offset ?? null,
      records: claim.recordCount ?? null,
    },
    tablet: {
      health: tablet,
      detail: tabletDetail === "" ? null : tabletDetail,
      absence: view.absence === undefined ? null : absenceDocument(view.absence),
      loaded: report !== undefined,
      role: report?.role ?? null,
      state: report?.state ?? null,
      offset: report?.offset ?? null,
      records: report?.recordCount ?? null,
    },
    zooKeeper: {
      registered: zooKeeper.isRegistered,
      role: zooKeeper.flags === undefined ? null : zooKeeper.flags.isLeader ? "leader" : "follower",
      alive: zooKeeper.flags?.isAlive ?? null,
    },
    disagrees,
  };
}

function opJson({ id, type, status, task, startTime, endTime }: Op) {
  return { id, type, status, task, startTime, endTime };
}
