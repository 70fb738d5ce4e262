import { describe, expect, test } from "vitest";
import { OpsError } from "../src/errors.js";
import { inspectFacts } from "../src/inspect/inspection.js";
import { adviceText } from "../src/model/advice.js";
import type { ClusterState } from "../src/model/cluster-state.js";
import { finish } from "../src/model/work.js";
import { addMissingOperation } from "../src/operations/add-missing.js";
import { addReplicaOperation } from "../src/operations/add-replica.js";
import { delReplicaOperation } from "../src/operations/del-replica.js";
import type { Operation } from "../src/operations/operation.js";
import { scaleInOperation } from "../src/operations/scalein.js";
import { scaleOutOperation } from "../src/operations/scaleout.js";
import { partitionOf } from "../src/sandbox/table-store.js";
import { factsOf } from "./helpers/inspected.js";
import { placesOf, servingTable, short } from "./helpers/operating.js";
import { print } from "./helpers/printing.js";
import type { VirtualCluster } from "./helpers/virtual-cluster.js";

// A tablet that has loaded a partition without being on its record accepts no new replica of it. No advice and no plan may name it.

const T0 = { db: "db1", table: "t0", pids: [0], print };

/** Removes replicas from the record by hand, so that they stay loaded on their tablets. */
function leave({ model }: VirtualCluster, ...endpoints: string[]): void {
  const table = model.tables.find("t0", "db1");
  const partition = table && partitionOf(table, 0);
  if (table === undefined || partition === undefined) throw new Error("no such partition");
  partition.partitionMeta = partition.partitionMeta.filter(
    (one) => !endpoints.includes(one.endpoint),
  );
  model.tables.save(table);
}

async function stateOf(virtual: VirtualCluster): Promise<ClusterState> {
  return (await factsOf(virtual)).state;
}

/** The advice of inspect about the missing replica. */
async function advised(virtual: VirtualCluster): Promise<string> {
  const { findings } = finish(inspectFacts(await factsOf(virtual)));
  const few = findings.filter((one) => one.code === "replicas-few");
  expect(few).toHaveLength(1);
  return short(few.map((one) => adviceText(one.next ?? [])).join("\n"));
}

function refusalOf(operation: Operation, state: ClusterState): string {
  try {
    operation.plan(state);
  } catch (thrown) {
    if (!(thrown instanceof OpsError) || thrown.code !== "refused") throw thrown;
    return short([`${thrown.message} (${thrown.hint})`, ...thrown.details].join("\n"));
  }
  throw new Error("it was not refused");
}

/** The cluster with leftovers at the followers of the partition; one more tablet has nothing of it. */
async function withLeftovers(count: number) {
  const virtual = await servingTable({ replicas: 3 });
  const { leader, followers, outsiders } = placesOf(virtual);
  const left = followers.slice(0, count);
  leave(virtual, ...left);
  return {
    virtual,
    leader,
    left,
    other: followers.slice(count)[0] ?? "",
    free: outsiders[0] ?? "",
  };
}

describe.each([1, 2])("with %i leftovers of a partition", (count) => {
  test("the advice of inspect can be carried out", async () => {
    const { virtual, left, free } = await withLeftovers(count);
    expect(await advised(virtual)).toContain(
      `addreplica --db=db1 --table=t0 --pid=0 --endpoint=${short(free)}`,
    );
    const state = await stateOf(virtual);
    const plan = (endpoint: string) => addReplicaOperation({ ...T0, endpoint }).plan(state);
    expect(plan(free).steps).toHaveLength(1);
    for (const endpoint of left) expect(() => plan(endpoint)).toThrow("has it loaded");
  });

  test("without a free tablet, inspect advises how to free one", async () => {
    const { virtual, left, free } = await withLeftovers(count);
    virtual.model.kill(free);
    await virtual.pass(15_000);
    const [first = ""] = left.map(short).sort();
    const freeing = `tablet ${first} has it loaded although the record has no replica there: stop tablet ${first}, move the directory 2_0 out of its data folder, start it again`;
    expect(await advised(virtual)).toContain(freeing);
    const { steps, notes } = addMissingOperation(1).plan(await stateOf(virtual));
    expect(steps).toEqual([]);
    expect(short(notes.join("\n"))).toContain(freeing);
    virtual.model.kill(`${first}:9527`);
    await virtual.pass(15_000);
    virtual.model.restart(`${first}:9527`);
    await virtual.pass(15_000);
    expect(await advised(virtual)).toContain(`--endpoint=${first}`);
  });

  test("scaleout adds missing replicas and spreads them on other tablets", async () => {
    const { virtual, left, free } = await withLeftovers(count);
    const state = await stateOf(virtual);
    const added = addMissingOperation(1)
      .plan(state)
      .steps.map((step) => step.endpoint);
    expect(added).toEqual([free]);
    const spread = scaleOutOperation({ keepsSurplus: false, concurrency: 1 }).plan(state);
    for (const step of spread.steps) {
      expect(left).not.toContain("to" in step ? step.to : undefined);
    }
    for (const one of left) {
      expect(short(spread.notes.join("\n"))).toContain(
        `not moved there: db1.t0:0: tablet ${short(one)} has it loaded`,
      );
    }
  });
});

test("a refusal for lack of a follower names a tablet that can take one", async () => {
  const { virtual, leader, free } = await withLeftovers(2);
  const deleting = delReplicaOperation({ ...T0, endpoint: leader });
  expect(refusalOf(deleting, await stateOf(virtual))).toContain(`--endpoint=${short(free)}`);
});

test("scalein avoids a tablet with a leftover, and is refused if there is no other one", async () => {
  const { virtual, leader, left, other, free } = await withLeftovers(1);
  const scaleIn = scaleInOperation({
    endpoints: [other],
    keepsSurplus: false,
    concurrency: 1,
    print,
  });
  const { steps } = scaleIn.plan(await stateOf(virtual));
  expect(steps).toMatchObject([{ kind: "migrate", endpoint: other, to: free }]);
  expect([leader, ...left]).not.toContain(free);
  virtual.model.kill(free);
  await virtual.pass(15_000);
  expect(refusalOf(scaleIn, await stateOf(virtual))).toContain(
    `tablet ${short(left[0] ?? "")} has it loaded as follower, although the record has no replica there; stop tablet ${short(left[0] ?? "")}, move the directory 2_0 out of its data folder, start it again`,
  );
});
