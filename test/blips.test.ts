import { expect, it } from "vitest";
import type { Cluster } from "../src/cluster/cluster.js";
import { recoverData } from "../src/execution/recover.js";
import type { Method } from "../src/model/plan.js";
import { addReplicaOperation } from "../src/operations/add-replica.js";
import { operateOn, placesOf, servingTable } from "./helpers/operating.js";
import { again, print } from "./helpers/printing.js";
import { LIMITS, startVirtualCluster } from "./helpers/virtual-cluster.js";

/**
 * Members of a cluster that call neither a server nor ZooKeeper, or that create another such cluster.
 */
const UNCOUNTED: ReadonlySet<string> = new Set([
  "callCount",
  "repeatingWhile",
  "connection",
  "admit",
]);

/** A cluster whose calls are counted; `onCall` runs right before each. */
function counted(cluster: Cluster, onCall: (number: number) => void): Cluster {
  let number = 0;
  return new Proxy(cluster, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function" || UNCOUNTED.has(String(name))) {
        return value;
      }
      return (...args: unknown[]) => {
        number += 1;
        onCall(number);
        return value.apply(target, args);
      };
    },
  });
}

/** Recovers everything after an outage of all tablets, with no network for `blipMs` from one call on. */
async function recoverWithBlip(method: Method, at: number, blipMs: number) {
  const virtual = await startVirtualCluster();
  virtual.model.createTable({ db: "db1", table: "t0", partitions: 2, replicas: 3 });
  virtual.model.createTable({ db: "db1", table: "single", partitions: 1, replicas: 1 });
  virtual.model.put(30);
  await virtual.pass(5_000);
  virtual.model.outage();
  await virtual.pass(30_000);
  let calls = 0;
  const cluster = counted(virtual.cluster, (number) => {
    calls = number;
    if (number === at) virtual.model.blip(blipMs);
  });
  const result = await virtual.clock.run(
    recoverData(cluster, {
      method,
      limits: LIMITS,
      signal: new AbortController().signal,
      onEvent: (event) => virtual.events.push(event),
      again,
      print,
    }),
    7_200_000,
  );
  if (!("report" in result)) throw result.error;
  const rows = virtual.model.rows();
  return {
    calls,
    left: result.report.partitions.filter((one) => one.status !== "recovered"),
    lost: rows.reduce((sum, one) => sum + one.lost, 0),
    served: rows.map((one) => one.served),
  };
}

it.each<Method>(["direct", "documented"])(
  "%s: no network for 0.3 s from any call on: every partition is recovered",
  async (method) => {
    const { calls } = await recoverWithBlip(method, -1, 0);
    expect(calls).toBeGreaterThan(20);
    // The documented method polls for minutes. Its changes are among its first calls.
    for (let at = 1; at <= Math.min(calls, 80); at += 1) {
      const { left, lost, served } = await recoverWithBlip(method, at, 300);
      expect(left, `from call ${at}`).toEqual([]);
      expect([lost, served], `from call ${at}`).toEqual([0, [30, 30, 30]]);
    }
  },
);

it("no network for 2 s from any call on: every partition is recovered", async () => {
  for (let at = 1; at <= 60; at += 7) {
    const { left, lost } = await recoverWithBlip("direct", at, 2_000);
    expect([left, lost], `from call ${at}`).toEqual([[], 0]);
  }
});

it("no network for 0.3 s from any call on: the plan of an operation sees every tablet, and its steps go on", async () => {
  for (let at = 1; at <= 20; at += 1) {
    const virtual = await servingTable({ replicas: 2 });
    const [endpoint = ""] = placesOf(virtual).outsiders;
    const cluster = counted(virtual.cluster, (number) => {
      if (number === at) virtual.model.blip(300);
    });
    const adding = addReplicaOperation({ db: "db1", table: "t0", pids: [0], endpoint, print });
    const { complaints } = await operateOn({ ...virtual, cluster }, adding);
    expect(complaints, `from call ${at}`).toEqual([]);
    expect(virtual.model.healthy(), `from call ${at}`).toEqual([]);
  }
});
