import type { EventRecord } from "../../src/journal/record.js";
import { type Advice, adviceText, changing } from "../../src/model/advice.js";
import { buildReport, type ReportParts } from "../../src/report/build.js";
import {
  EMPTY_ROW,
  NO_ROWS,
  type PartitionRow,
  type ReportDocument,
} from "../../src/report/document.js";
import type { TimedEvent } from "../../src/report/timeline.js";

/** When the runs of these reports begin. */
export const BEGAN_MS = Date.UTC(2026, 0, 2, 3, 4, 5);
const TABLETS = ["10.0.0.1:10921", "10.0.0.2:10921", "10.0.0.3:10921"];
const RECOVER =
  "openmldb-ops --cmd=recoverdata --zk_cluster=10.0.0.9:2181 --zk_root_path=/openmldb";

/** A row of a healthy partition. */
export function rowOf(partition: string, more: Partial<PartitionRow> = {}): PartitionRow {
  return {
    ...EMPTY_ROW,
    partition,
    status: "recovered",
    serving: true,
    leader: TABLETS[0] ?? null,
    ...more,
  };
}

/** A step that ended `atMs` after the begin. */
export function stepEnded(
  atMs: number,
  more: { partition: string; step: string; endpoint: string } & Partial<
    Extract<EventRecord, { kind: "step-ended" }>
  >,
): TimedEvent {
  return {
    atMs: BEGAN_MS + atMs,
    event: {
      kind: "step-ended",
      time: new Date(BEGAN_MS + atMs).toISOString(),
      why: "not-loaded",
      result: "done",
      detail: "",
      tookMs: 20,
      ...more,
    },
  };
}

/** The parts of a report without partitions. */
export function emptyParts(): ReportParts {
  return {
    command: "recoverdata",
    verdict: { result: "ok", word: "ok", exitCode: 0, headline: "all well", detail: "" },
    run: {
      id: "20260102T030405Z-1a2b3c4d",
      began: new Date(BEGAN_MS).toISOString(),
      ended: new Date(BEGAN_MS + 1_500).toISOString(),
      tookMs: 1_500,
      timeZone: "Asia/Shanghai",
      beganLocal: "2026-01-02 11:04:05",
      host: "ops-1",
      user: "ops",
      version: "0.1.0",
      commandLine: RECOVER,
      cluster: "10.0.0.9:2181/openmldb",
      nameserver: { before: "10.0.0.1:7527", after: "10.0.0.2:7527" },
      calls: 120,
      changes: 24,
    },
    ...NO_ROWS,
    events: [],
    beganMs: BEGAN_MS,
    parameters: [{ name: "zkRootPath", value: "/openmldb" }],
  };
}

const START = changing(`start tablet ${TABLETS[1]}, then run`, RECOVER, "server");
const GIVE_UP = changing(
  "to let a lead, giving up 3 entries",
  `${RECOVER} --accept_data_loss=db1.t:0`,
  "thought",
);

/** The remaining work of each partition that is not healthy. */
const ADVICE: readonly Advice[] = [[START, GIVE_UP], [START]];

const LEFT: readonly PartitionRow[] = [
  rowOf("db1.<script>alert(1)</script>:0", {
    status: "needs-decision",
    serving: false,
    leader: null,
    problems: [{ code: "unread", endpoint: TABLETS[1] ?? null, text: "may hold more" }],
    next: adviceText(ADVICE[0] ?? []),
    evidence: [`${TABLETS[0]}: loaded at 120`],
  }),
  rowOf("db1.t1:7", {
    status: "unhealthy",
    problems: [{ code: "tablet-offline", endpoint: TABLETS[1] ?? null, text: "kOffline for 65 s" }],
    next: adviceText(ADVICE[1] ?? []),
  }),
];

/**
 * A report of a recovery in which two partitions are left, one of a table called `<script>`.
 *
 * @param recovered The number of recovered partitions in addition, each with three steps.
 */
export function sampleReport(recovered: number): ReportDocument {
  const names = Array.from(
    { length: recovered },
    (_, index) => `production_${index % 7}.some_table_${index % 211}:${index}`,
  );
  const events = names.flatMap((partition, index) => eventsOf(partition, index));
  return buildReport({
    ...emptyParts(),
    partitionAdvice: ADVICE,
    verdict: {
      result: "failed",
      word: "partly",
      exitCode: 3,
      headline: `2 of ${recovered + 2} partitions are not healthy`,
      detail: "",
    },
    counts: {
      tablets: 3,
      tables: 2,
      partitions: recovered + 2,
      replicas: 3 * (recovered + 2),
      healthy: 0,
      recovered,
      unhealthy: 2,
      needsDecision: 1,
      serving: recovered + 1,
    },
    autoFailover: { before: true, after: true, notRestored: null, restoreCommand: null },
    partitions: [...names.map((name) => rowOf(name)), ...LEFT],
    tablets: TABLETS.map((endpoint, index) => ({
      endpoint,
      health: index === 1 ? "offline" : "ok",
      detail: index === 1 ? "kOffline for 65 s" : "",
      before: { replicas: 9, leaders: 3, alive: 9, loaded: 0 },
      after: { replicas: 9, leaders: index === 1 ? 0 : 4, alive: 9, loaded: 9 },
    })),
    events: [
      {
        atMs: BEGAN_MS,
        event: { kind: "note", time: "", text: "switching auto_failover off" },
      },
      {
        atMs: BEGAN_MS + 150,
        event: {
          kind: "note",
          time: "",
          text: "nameserver 10.0.0.2:7527 leads now, in place of 10.0.0.1:7527",
          nameserver: { from: "10.0.0.1:7527", to: "10.0.0.2:7527" },
        },
      },
      ...events,
    ],
  });
}

function eventsOf(partition: string, index: number): TimedEvent[] {
  const endpoint = TABLETS[index % 3] ?? "";
  const plan: EventRecord = {
    kind: "plan",
    time: "",
    partition,
    round: 1,
    leader: endpoint,
    steps: [
      { step: "load-follower", endpoint, why: "not-loaded" },
      { step: "promote", endpoint, why: "wrong-role" },
    ],
  };
  return [
    { atMs: BEGAN_MS + index, event: plan },
    stepEnded(index + 60, { partition, step: "load-follower", endpoint, detail: "10 rows" }),
    stepEnded(index + 90, { partition, step: "promote", endpoint }),
    stepEnded(index + 200, {
      partition,
      step: "recover-table",
      endpoint,
      result: index === 3 ? "failed" : "done",
      detail: "kRecoverTableOP 12",
    }),
  ];
}
