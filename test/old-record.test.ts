import { describe, expect, test } from "vitest";
import { RULES } from "../src/execution/rules.js";
import type { PartitionView } from "../src/model/partition-view.js";
import { NO_ATTEMPTS } from "../src/planning/attempt-history.js";
import { planDirect } from "../src/planning/direct.js";
import { planDocumented } from "../src/planning/documented.js";
import { checkLeaderChange } from "../src/policy/check-leader-change.js";
import { evidenceOf } from "../src/policy/evidence.js";
import { oldRecord } from "../src/policy/old-record.js";
import { whyNotOverwrite } from "../src/policy/what-may-be-overwritten.js";
import { SITUATIONS } from "./helpers/runbook-clusters.js";
import { partition } from "./helpers/view.js";

/** The view with a snapshot on the disk of a replica. */
function withSnapshot(view: PartitionView, endpoint: string, term: bigint): PartitionView {
  const replicas = view.replicas.map((one) =>
    one.endpoint === endpoint ? { ...one, snapshot: { term, offset: 9n } } : one,
  );
  return { ...view, replicas };
}

const DOWN = partition("a leader,alive 9 -\n b follower,alive 9 -");
const LED = partition("a leader,alive 9 leader,normal,9 replicates\n b follower,alive 9 -");
const steps = (view: PartitionView, accepted?: string) =>
  planDirect(view, NO_ATTEMPTS, { accepted }).steps.map((one) => one.kind);

describe("the record is older than the disks", () => {
  test("a term on a disk above the newest on record proves it; an equal term does not", () => {
    expect(oldRecord(withSnapshot(DOWN, "b", 1n))).toBeUndefined();
    expect(oldRecord(withSnapshot(DOWN, "b", 5n))).toMatchObject({ replica: { endpoint: "b" } });
    expect(oldRecord(DOWN)).toBeUndefined();
  });

  test.each([
    ["direct", (view: PartitionView) => planDirect(view)],
    ["documented", (view: PartitionView) => planDocumented(view)],
  ])("%s: nothing is loaded or promoted, and both terms are reported", (_name, plan) => {
    const lane = plan(withSnapshot(DOWN, "b", 5n));
    expect(lane.steps).toEqual([]);
    expect(lane.blocked).toMatchObject({ code: "record-is-old", endpoint: "b", candidate: "b" });
    expect(lane.blocked?.text).toMatch(/of term 5 .*newest term on record is 1:/);
  });

  test("with a serving leader nothing is overwritten, and the leader is not changed", () => {
    const view = withSnapshot(LED, "b", 5n);
    expect(planDirect(view).blocked?.code).toBe("record-is-old");
    const [, b] = view.replicas;
    expect(b && whyNotOverwrite(view, b)).toMatchObject({ isLoss: true });
    const change = checkLeaderChange(withSnapshot(DOWN, "b", 5n), {
      candidate: "b",
      acceptsLoss: false,
    });
    expect(change).toMatchObject({ remedy: "recover" });
  });

  test("interrupted before the chosen replica leads: no data is copied from a leader of the old record", () => {
    const view = partition(
      "a leader,alive 9 leader,normal,9 replicates\n b follower,alive 9 follower,normal,9\n c follower,alive 9 follower,normal,5",
    );
    const bounds = { term: 1n, offsets: new Map(), unproven: new Set(["a", "c"]) };
    const interrupted = { ...view, known: { bounds, replicas: new Map() } };
    const lane = planDirect(interrupted);
    expect(lane).toMatchObject({ steps: [], blocked: { code: "record-is-old", candidate: "b" } });
    expect(steps(interrupted, "b")).toEqual(["demote", "set-flags", "change-leader"]);
    // A leader of a newer term was elected since the restore: the unproven replicas get copies of its data.
    const terms = [...view.terms, { term: 2n, offset: 10n }];
    expect(steps({ ...interrupted, terms })).toContain("recover-table");
  });

  test("decided by the operator, the replicas are loaded, and the chosen one leads a new term", () => {
    const view = withSnapshot(DOWN, "b", 5n);
    expect(steps(view, "b")).toEqual(["load-follower", "load-follower"]);
    // Loaded replicas show no snapshot. The earlier evidence still counts.
    const loaded = partition(
      "a leader,alive 9 follower,normal,9\n b follower,alive 9 follower,normal,9",
    );
    const later = { ...loaded, known: evidenceOf(view) };
    expect(planDirect(later).blocked?.code).toBe("record-is-old");
    const lane = planDirect(later, NO_ATTEMPTS, { accepted: "b" });
    expect(lane).toMatchObject({ leader: "b", givesUp: true });
    expect(lane.steps.map((one) => one.kind)).toContain("change-leader");
  });

  test("no round and no later run makes a leader without --accept_data_loss; with it a leader is made", async () => {
    const virtual = await SITUATIONS["zookeeper"]!();
    const statusOf = async (accept: ReadonlyMap<string, string> = new Map()) => {
      const result = await virtual.recover({ accept });
      if (!("report" in result)) throw result.error;
      const [left] = result.report.partitions.filter((one) => one.id.pid === 0);
      return `${left?.status} ${left?.failure?.decision?.code ?? ""}`.trim();
    };
    expect(await statusOf()).toBe("needs-decision record-is-old");
    expect(await statusOf()).toBe("needs-decision record-is-old");
    expect(await statusOf(new Map([["db1.t0:0", "b:9527"]]))).toBe("recovered");
    const [rows] = virtual.model.rows({ pid: 0 });
    expect(rows).toMatchObject({ leader: "b:9527", lost: 0 });
  });

  test("planted bug, old record trusted: the same check detects it", async () => {
    const virtual = await SITUATIONS["zookeeper"]!();
    const believed = (view: PartitionView): PartitionView => ({
      ...view,
      known: undefined,
      replicas: view.replicas.map(({ snapshot: _, ...one }) => one),
    });
    const result = await virtual.recover({
      rules: {
        plannerOf: (...args) => {
          const planner = RULES.plannerOf(...args);
          return (view, attempts) => planner(believed(view), attempts);
        },
      },
    });
    if (!("report" in result)) throw result.error;
    const [first] = result.report.partitions.filter((one) => one.id.pid === 0);
    expect(first?.failure?.decision?.code).not.toBe("record-is-old");
    expect(virtual.events.filter((one) => one.kind === "step-started")).not.toEqual([]);
  });
});
