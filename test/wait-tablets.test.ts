import { describe, expect, test } from "vitest";
import { waitForTablets } from "../src/commands/wait-tablets.js";
import { B, C, clusterWith } from "./helpers/operate-virtual.js";
import { runBin } from "./helpers/run-bin.js";
import { sandboxForTest } from "./helpers/sandbox.js";
import type { VirtualCluster } from "./helpers/virtual-cluster.js";

/** Waits in virtual time. @returns The logged lines, and the end of the wait. */
async function wait(
  virtual: VirtualCluster,
  waitTablets: number | "all" | undefined,
  more: { readonly lost?: readonly string[]; readonly signal?: AbortSignal } = {},
) {
  const notes: string[] = [];
  const began = virtual.clock.now();
  const work = waitForTablets(virtual.cluster, {
    flags: { waitTablets, waitTimeoutMs: 300_000 },
    onEvent: (event) => event.kind === "note" && notes.push(event.text),
    signal: new AbortController().signal,
    ...more,
  });
  const ended = await virtual.clock.run(
    work.then(
      () => undefined,
      (error: unknown) => error,
    ),
    3_600_000,
  );
  return { notes, ended, tookMs: virtual.clock.now() - began };
}

async function withoutTwo(): Promise<VirtualCluster> {
  const virtual = await clusterWith({ partitions: 2 });
  virtual.model.kill("tablet2");
  virtual.model.kill("tablet3");
  await virtual.pass(15_000);
  return virtual;
}

describe("--wait_tablets", () => {
  test("a run without it, and one whose tablets are all registered, starts at once", async () => {
    const virtual = await clusterWith();
    for (const wanted of [undefined, 1, 3, "all"] as const) {
      const { ended, notes, tookMs } = await wait(virtual, wanted);
      expect([ended, notes, tookMs < 1_000]).toEqual([undefined, [], true]);
    }
  });

  test("it ends as soon as enough are registered, and lists the missing ones", async () => {
    const virtual = await withoutTwo();
    virtual.clock.setTimer(40_000, () => virtual.model.restart("tablet2"));
    virtual.clock.setTimer(90_000, () => virtual.model.restart("tablet3"));
    const two = await wait(virtual, 2);
    expect(two.ended).toBeUndefined();
    expect(two.notes[0]).toBe(`waiting for tablets: 1 of 2 are registered; missing: ${B}, ${C}`);
    expect(two.tookMs).toBeGreaterThanOrEqual(40_000);
    expect(two.tookMs).toBeLessThan(60_000);
    const all = await wait(virtual, "all");
    expect(all.ended).toBeUndefined();
    expect(all.notes.at(-1)).toBe(`waiting for tablets: 2 of 3 are registered; missing: ${C}`);
  });

  test("at the time limit the error lists them and has the code of a time limit", async () => {
    const virtual = await withoutTwo();
    const { ended, notes, tookMs } = await wait(virtual, "all");
    expect(ended).toMatchObject({
      code: "time-limit",
      message: `tablets are still missing after 5 min: 1 of 3 are registered; missing: ${B}, ${C}; nothing was changed`,
    });
    expect(Math.round(tookMs / 1_000)).toBe(300);
    expect(notes.length).toBeLessThanOrEqual(31);
  });

  test("at the time limit it lists the missing ones of the last read that succeeded", async () => {
    const virtual = await withoutTwo();
    virtual.clock.setTimer(200_000, () => {
      for (const name of ["nameserver1", "nameserver2"]) virtual.model.hang(name);
    });
    const { ended } = await wait(virtual, "all");
    expect(String(ended)).toContain(`1 of 3 are registered; missing: ${B}, ${C}; nothing was`);
  });

  test("a lost tablet is not waited for; more tablets than on record are refused", async () => {
    const virtual = await withoutTwo();
    expect((await wait(virtual, "all", { lost: [B, C] })).ended).toBeUndefined();
    const more = await wait(virtual, 4);
    expect(more.ended).toMatchObject({ code: "refused" });
    expect(String(more.ended)).toContain("only 3 tablets hold replicas");
  });

  test("while no nameserver leads it keeps waiting", async () => {
    const virtual = await clusterWith();
    for (const name of ["nameserver1", "nameserver2"]) virtual.model.kill(name);
    await virtual.pass(15_000);
    virtual.clock.setTimer(60_000, () => virtual.model.restart("nameserver1"));
    const { ended, notes } = await wait(virtual, "all");
    expect(ended).toBeUndefined();
    expect(notes.length).toBeGreaterThan(0);
  });

  test("a signal ends it with its own reason", async () => {
    const virtual = await withoutTwo();
    const stop = new AbortController();
    virtual.clock.setTimer(5_000, () => stop.abort(new Error("told to stop")));
    const { ended, tookMs } = await wait(virtual, "all", { signal: stop.signal });
    expect(ended).toEqual(new Error("told to stop"));
    expect(tookMs).toBeLessThan(6_000);
  });
});

test("recoverdata, its dry run, inspect and verify support it: exit 7, no lock and no change", async () => {
  const sandbox = await sandboxForTest({ speed: 10 });
  sandbox.model.kill("tablet1");
  await expect.poll(() => sandbox.model.tree.children("/openmldb/nodes")).toHaveLength(2);
  const cluster = [`--zk_cluster=${sandbox.zkCluster}`, `--zk_root_path=${sandbox.zkRootPath}`];
  const wanted = ["--wait_tablets=all", "--wait_timeout=3s", ...cluster];
  const commands = [["recoverdata"], ["recoverdata", "--dry_run"], ["inspect"], ["verify"]];
  for (const { code, stderr } of await Promise.all(
    commands.map((words) => runBin([...words, ...wanted])),
  )) {
    expect(code, stderr).toBe(7);
    expect(stderr).toMatch(/tablets are still missing after 3 s: 2 of 3 are registered; missing: /);
    expect(stderr).not.toContain("auto_failover");
  }
  expect((await runBin(["verify", "--wait_tablets=2", ...cluster])).code).toBe(10);
  expect((await runBin(["verify", "--wait_tablets=most", ...cluster])).code).toBe(2);
});
