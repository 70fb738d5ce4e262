// A recovery with --lost that is killed and run again: the losses that were printed first stay true.
import { expect, test } from "vitest";
import { type RecoverOptions, recoverData } from "../src/execution/recover.js";
import type { Loss } from "../src/model/loss.js";
import type { RunReport } from "../src/model/report.js";
import { lossesOf } from "../src/planning/lost.js";
import { createKnownOffsetsStore } from "../src/run/known-offsets-store.js";
import { watchMutations } from "../src/run/watch-mutations.js";
import { treeZooKeeper } from "../src/sandbox/znode-tree.js";
import { again, print } from "./helpers/printing.js";
import { LIMITS, startVirtualCluster, type VirtualCluster } from "./helpers/virtual-cluster.js";

const [A, B, C] = ["a:9527", "b:9527", "c:9527"] as const;
const NAMESERVERS = ["n1:6527", "n2:6527"];
const SUM: Loss = { atLeast: 5n, atMost: 5n };

/** Three partitions. `a` leads one and takes 5 rows while its followers are away; then it is killed. */
async function rowsOfALost(): Promise<VirtualCluster> {
  const virtual = await startVirtualCluster({ model: { autoFailover: false } });
  const { model } = virtual;
  model.createTable({ db: "db1", table: "t0", partitions: 3, replicas: 3 });
  model.put(30);
  await virtual.pass(30_000);
  for (const one of [B, C]) model.kill(one);
  await virtual.pass(15_000);
  model.put(5);
  await virtual.pass(5_000);
  for (const one of [B, C]) model.restart(one);
  model.kill(A);
  await virtual.pass(60_000);
  return virtual;
}

/**
 * The losses that a run prints before its first change, and its report; undefined if it was killed.
 */
interface Shown {
  readonly before: readonly Loss[];
  readonly report: RunReport | undefined;
}

/** A process that is killed before a change of the cluster, or after one of its writes to ZooKeeper. */
function killableProcess({ cluster, model }: VirtualCluster, killedAt: number) {
  let passed = 0;
  let die: (ended: "died") => void = () => undefined;
  const died = new Promise<"died">((resolve) => {
    die = resolve;
  });
  const never = new Promise<never>(() => undefined);
  const boundary = async () => {
    if (passed < killedAt) passed += 1;
    else {
      die("died");
      await never;
    }
  };
  const zk = treeZooKeeper(model.tree);
  const written = async <T>(write: Promise<T>): Promise<T> => {
    const result = await write;
    await boundary();
    return result;
  };
  return {
    died,
    passed: () => passed,
    cluster: watchMutations(cluster, { before: boundary, after: () => Promise.resolve() }),
    zk: {
      ...zk,
      setData: (path: string, data: Buffer) => written(zk.setData(path, data)),
      create: (...args: Parameters<typeof zk.create>) => written(zk.create(...args)),
      remove: (path: string) => written(zk.remove(path)),
    },
  };
}

/** Runs `recoverdata --lost=a:9527`, killed at a change; 0: before the first one. */
async function recovered(
  virtual: VirtualCluster,
  options: Partial<RecoverOptions> = {},
  killedAt = Number.POSITIVE_INFINITY,
): Promise<Shown & { readonly changes: number }> {
  const { clock, model } = virtual;
  const life = killableProcess(virtual, killedAt);
  let before: readonly Loss[] = [];
  const work = recoverData(life.cluster, {
    lost: new Set([A]),
    limits: LIMITS,
    signal: new AbortController().signal,
    onEvent: () => undefined,
    again,
    print,
    knownOffsetsStore: createKnownOffsetsStore({
      zk: life.zk,
      clock,
      rootPath: model.root,
      onEvent: () => undefined,
    }),
    review: async (plan) => {
      before = [...lossesOf(plan).values(), ...(plan.lost?.losses.values() ?? [])];
      return false;
    },
    ...options,
  });
  const ended = await clock.run(Promise.race([work, life.died]), 7_200_000);
  if (ended === "died") return { before, report: undefined, changes: life.passed() };
  if (!("report" in ended)) throw ended.error;
  return { before, report: ended.report, changes: life.passed() };
}

function sumOf(losses: readonly (Loss | undefined)[]): Loss {
  let sum: Loss = { atLeast: 0n, atMost: 0n };
  for (const one of losses) {
    if (one === undefined) continue;
    const isKnown = sum.atMost !== undefined && one.atMost !== undefined;
    const atMost = isKnown ? (sum.atMost ?? 0n) + (one.atMost ?? 0n) : undefined;
    sum = { atLeast: sum.atLeast + one.atLeast, atMost };
  }
  return sum;
}

/** The evidence that is stored for later runs. */
function kept({ model }: VirtualCluster): readonly string[] {
  return model.tree.children(`${model.root}/ops_tool/seen`) ?? [];
}

test("killed at any change, the next run reports the same loss, and the first acceptance covers it", async () => {
  const whole = await recovered(await rowsOfALost(), { acceptsLossOfLost: SUM });
  expect(sumOf(whole.before)).toEqual(SUM);
  expect(whole.changes).toBeGreaterThan(12);
  for (let at = 0; at < whole.changes; at += 1) {
    const virtual = await rowsOfALost();
    const killed = await recovered(virtual, { acceptsLossOfLost: SUM }, at);
    expect(killed.report, `killed at ${at}`).toBeUndefined();
    // With and without a nameserver restart. After one it does not know the offset of a follower until that is loaded.
    if (at % 2 === 1 && kept(virtual).length > 0) {
      for (const name of NAMESERVERS) virtual.model.restart(name);
    }
    await virtual.pass(60_000);
    const { before, report } = await recovered(virtual, { acceptsLossOfLost: SUM });
    const left = sumOf(before);
    expect(left.atMost, `killed at ${at}`).toBe(left.atLeast);
    expect(left.atLeast <= 5n, `killed at ${at}`).toBe(true);
    const statuses = report?.partitions.map((one) => one.status) ?? [];
    expect(statuses.every((one) => one === "recovered" || one === "healthy")).toBe(true);
    expect(virtual.model.rows().map((one) => one.served)).toEqual(Array(3).fill(30));
    expect(kept(virtual), `killed at ${at}`).toEqual([]);
  }
});

test("killed at any change without a decision, the next run asks for the same loss", async () => {
  const whole = await recovered(await rowsOfALost());
  const asked = (report: RunReport | undefined) =>
    sumOf(report?.partitions.map((one) => one.failure?.decision?.loss) ?? []);
  expect(asked(whole.report)).toEqual(SUM);
  for (let at = 0; at < whole.changes; at += 1) {
    const virtual = await rowsOfALost();
    await recovered(virtual, {}, at);
    // With and without a nameserver restart. After one it knows only the record in ZooKeeper.
    const isRestarted = at % 2 === 1 && kept(virtual).length > 0;
    if (isRestarted) for (const name of NAMESERVERS) virtual.model.restart(name);
    await virtual.pass(60_000);
    const { before, report } = await recovered(virtual);
    // After a restart a nameserver does not know the offsets of followers until they are loaded.
    if (!isRestarted) expect(sumOf(before), `killed at ${at}`).toEqual(SUM);
    expect(asked(report), `killed at ${at}`).toEqual(SUM);
  }
});
