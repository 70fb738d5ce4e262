import {
  appendFileSync,
  chmodSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, onTestFinished, test } from "vitest";
import type { Cluster } from "../src/cluster/cluster.js";
import type { AppendFile } from "../src/journal/durable-log.js";
import { type JournalOptions, openJournal } from "../src/journal/journal.js";
import { callsOf, readRun } from "../src/journal/read-runs.js";
import type { JournalRecord, RunRecord } from "../src/journal/record.js";
import { readRunSummaries } from "../src/journal/zk-history.js";
import { type MutationCall, watchMutations } from "../src/run/watch-mutations.js";
import { defaultStateDir } from "../src/util/process-identity.js";
import { jsonText } from "../src/util/text.js";
import { memoryZooKeeper } from "./helpers/memory-zookeeper.js";
import { startTurnClock } from "./helpers/turn-clock.js";

const base = mkdtempSync(join(tmpdir(), "openmldb-ops-journal-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));

const CLUSTER = { zkCluster: ["zk1:2181", "zk2:2181"], zkRootPath: "/openmldb" };

function newFolder(): string {
  return mkdtempSync(join(base, "state-"));
}

/** Opens a journal, which is closed at the end of the test; its messages are in `messages`. */
async function open(more: Partial<JournalOptions> & { stateDir: string }) {
  const messages: string[] = [];
  const journal = await openJournal({
    command: "recoverdata",
    argv: ["recoverdata", "--zk_cluster=zk1:2181"],
    flags: { zkCluster: ["zk1:2181"] },
    cluster: CLUSTER,
    isResuming: false,
    note: (text) => messages.push(text),
    warn: (text) => messages.push(`warning: ${text}`),
    ...more,
  });
  onTestFinished(() => journal.finish({ exitCode: 1 }));
  return { journal, messages };
}

/** A distinct call for each number. */
function callOf(pid: number): MutationCall {
  const target = { db: "db1", table: "t1", tid: 7, pid, endpoint: "a:9527" };
  return { id: `m${pid}`, method: "recoverTable", target, args: [] };
}

/** An id in the format of runs; ids sort by number. */
const idOf = (number: number) => `20260101T000000Z-${number.toString(16).padStart(8, "0")}`;

const recordsOf = async (stateDir: string, id: string) => (await readRun(stateDir, id)).records;
const kindsOf = (records: readonly JournalRecord[]) => records.map((one) => one.kind);

/** A disk that counts its calls, and fails as a test requires. */
function countingDisk(fails: { append?: () => Promise<void>; sync?: () => Promise<void> } = {}) {
  const disk = { text: "", appends: 0, syncs: 0 };
  const file: AppendFile = {
    async append(text) {
      disk.appends += 1;
      await fails.append?.();
      disk.text += text;
    },
    async sync() {
      disk.syncs += 1;
      await (fails.sync?.() ?? new Promise((resolve) => setTimeout(resolve, 2)));
    },
    close: async () => {},
  };
  return { disk, createFile: async () => file };
}

describe("watchMutations", () => {
  test("a hook before can prevent the call; a hook after receives its error", async () => {
    const made: string[] = [];
    const seen: unknown[] = [];
    const broken = new Error("no");
    const cluster = {
      recoverTable: async () => {
        made.push("recoverTable");
        throw broken;
      },
      confSet: async () => void made.push("confSet"),
      showOpStatus: async () => [],
    } as unknown as Cluster;
    const watched = watchMutations(cluster, {
      async before({ method }) {
        if (method === "confSet") throw new Error("stop");
      },
      async after(call, outcome) {
        seen.push([call, outcome]);
      },
    });
    const id = { db: "d", table: "t", tid: 1, pid: 2 };
    await expect(watched.confSet("auto_failover", "true")).rejects.toThrow("stop");
    await expect(watched.recoverTable(id, "a:1")).rejects.toBe(broken);
    expect(await watched.showOpStatus()).toEqual([]);
    expect(made).toEqual(["recoverTable"]);
    expect(seen).toEqual([
      [
        {
          id: "m2",
          method: "recoverTable",
          target: { ...id, endpoint: "a:1" },
          args: [id, "a:1"],
        },
        { ok: false, error: broken },
      ],
    ]);
  });

  test("arguments can be written as JSON: a term of 64 bits keeps all its digits", async () => {
    const calls: MutationCall[] = [];
    const cluster = { changeRole: async () => {} } as unknown as Cluster;
    const watched = watchMutations(cluster, {
      before: async (call) => void calls.push(call),
      after: async () => {},
    });
    const term = 2n ** 63n + 1n;
    await watched.changeRole("a:1", { tid: 1, pid: 0, role: "leader", term, followers: ["b:1"] });
    expect(JSON.parse(jsonText(calls[0]))).toEqual({
      id: "m1",
      method: "changeRole",
      target: { endpoint: "a:1", tid: 1, pid: 0 },
      args: [
        "a:1",
        { tid: 1, pid: 0, role: "leader", term: "9223372036854775809", followers: ["b:1"] },
      ],
    });
  });
});

describe("a journal", () => {
  test("begins with the owner and the command and ends with the result; only its owner can read it", async () => {
    const stateDir = join(newFolder(), "new", "state");
    const { journal, messages } = await open({ stateDir, now: () => 1_700_000_000_000 });
    await journal.hooks.before(callOf(0));
    await journal.hooks.after(callOf(0), { ok: true });
    journal.onEvent({ kind: "note", text: "half way" });
    await journal.finish({ exitCode: 3 });
    await journal.finish({ exitCode: 0 });
    const records = await recordsOf(stateDir, journal.id);
    expect(kindsOf(records)).toEqual(["run", "intent", "outcome", "note", "end"]);
    expect(records[0]).toMatchObject({
      id: journal.id,
      time: "2023-11-14T22:13:20.000Z",
      host: hostname(),
      pid: process.pid,
      command: "recoverdata",
      commandLine: ["recoverdata", "--zk_cluster=zk1:2181"],
      cluster: CLUSTER,
    });
    expect(records.at(-1)).toMatchObject({
      result: "partly",
      exitCode: 3,
      counts: { intents: 1, done: 1, failed: 0 },
    });
    expect(messages).toEqual([]);
    expect(statSync(journal.path ?? "").mode & 0o777).toBe(0o600);
    expect(statSync(stateDir).mode & 0o777).toBe(0o700);
    expect(statSync(join(stateDir, "runs")).mode & 0o777).toBe(0o700);
  });

  test("a thousand intents at once share a few writes to disk, and each call waits for its write", async () => {
    const { disk, createFile } = countingDisk();
    const { journal } = await open({ stateDir: newFolder(), createFile });
    const syncsBefore = disk.syncs;
    await Promise.all(
      Array.from({ length: 1000 }, async (_, pid) => {
        await journal.hooks.before(callOf(pid));
        expect(disk.text).toContain(`"pid":${pid},"endpoint"`);
      }),
    );
    expect(disk.syncs - syncsBefore).toBe(2);
    expect(disk.text.match(/"kind":"intent"/g)).toHaveLength(1000);
    await journal.finish({ exitCode: 0 });
  });

  test("events alone wait for no disk", async () => {
    const { disk, createFile } = countingDisk();
    const { journal } = await open({ stateDir: newFolder(), createFile });
    const syncsBefore = disk.syncs;
    for (let i = 0; i < 100; i += 1) {
      journal.onEvent({ kind: "note", text: `event ${i}` });
      await Promise.resolve();
    }
    await expect.poll(() => disk.text).toContain("event 99");
    expect(disk.syncs).toBe(syncsBefore);
  });

  test("a disk that fills up during the run: one warning, and the run continues", async () => {
    let isFull = false;
    const { createFile } = countingDisk({
      append: async () => {
        if (isFull) throw new Error("ENOSPC: no space left on device");
      },
    });
    const { journal, messages } = await open({ stateDir: newFolder(), createFile });
    isFull = true;
    await Promise.all([1, 2, 3].map((pid) => journal.hooks.before(callOf(pid))));
    await journal.hooks.before(callOf(4));
    await journal.finish({ exitCode: 0 });
    expect(messages).toEqual([
      expect.stringMatching(/^warning: no journal is kept of this run: ENOSPC.*the run continues/),
    ]);
  });

  test("an impossible state folder: one warning, and the run continues", async () => {
    const file = join(newFolder(), "file");
    writeFileSync(file, "");
    const { journal, messages } = await open({ stateDir: join(file, "state") });
    await journal.hooks.before(callOf(1));
    await journal.hooks.after(callOf(1), { ok: true });
    await journal.finish({ exitCode: 0 });
    expect(journal.path).toBeUndefined();
    expect(messages).toHaveLength(1);
    expect(messages[0]).toMatch(/^warning: no journal is kept of this run: ENOTDIR/);
  });

  test("a hanging disk delays a call by at most 2 s", async () => {
    let hangs = false;
    const { createFile } = countingDisk({
      sync: () => (hangs ? new Promise(() => {}) : Promise.resolve()),
    });
    const { journal } = await open({ stateDir: newFolder(), createFile });
    hangs = true;
    const began = performance.now();
    const turnsMs = startTurnClock();
    await journal.hooks.before(callOf(1));
    expect(performance.now() - began).toBeGreaterThan(1_500);
    expect(turnsMs()).toBeLessThan(3_000);
  });

  test("no secret of the command line is written to it", async () => {
    const stateDir = newFolder();
    const zk = memoryZooKeeper({ "/openmldb": "" });
    const { journal } = await open({
      stateDir,
      zk,
      argv: [
        "recoverdata",
        "--zk_cert=root:hush-one",
        "--zk-cert",
        "root:hush-one",
        "--password_file",
        "/hush-file",
        "--password=hush-two",
        "--db=db1",
      ],
      flags: { zkCert: "root:hush-one", password: 'hush-"two', db: "db1", user: undefined },
    });
    await journal.hooks.before(callOf(0));
    await journal.finish({ exitCode: 4 });
    const text = readFileSync(journal.path ?? "", "utf8");
    const [node] = [...zk.nodes].filter(([path]) => path.includes("/history/"));
    expect(text + node?.[1].toString()).not.toContain("hush");
    expect((await readRun(stateDir, journal.id)).run).toMatchObject({
      commandLine: [
        "recoverdata",
        "--zk_cert=***",
        "--zk-cert",
        "***",
        "--password_file",
        "***",
        "--password=***",
        "--db=db1",
      ],
      flags: { zkCert: "***", password: "***", db: "db1" },
    });
  });

  test("a secret that is an ordinary word too changes nothing but the secret", async () => {
    const stateDir = newFolder();
    const argv = ["recoverdata", "--zk_cert=openmldb:openmldb", "--zk_root_path=/openmldb"];
    const flags = { zkCert: "openmldb:openmldb", zkRootPath: "/openmldb" };
    const { journal } = await open({ stateDir, argv, flags });
    journal.onEvent({ kind: "note", text: "openmldb is there" });
    await journal.finish({ exitCode: 0 });
    const [run, note] = await recordsOf(stateDir, journal.id);
    expect(run).toMatchObject({
      cluster: { zkRootPath: "/openmldb" },
      flags: { zkCert: "***", zkRootPath: "/openmldb" },
      commandLine: ["recoverdata", "--zk_cert=***", "--zk_root_path=/openmldb"],
    });
    expect(note).toMatchObject({ text: "openmldb is there" });
  });

  test("its folder follows the XDG base directories", () => {
    expect(defaultStateDir({ XDG_STATE_HOME: "/var/state" })).toBe("/var/state/openmldb-ops");
    expect(defaultStateDir({ XDG_STATE_HOME: "relative" })).toMatch(
      /\/\.local\/state\/openmldb-ops$/,
    );
  });
});

describe("a damaged journal", () => {
  /** The journal of a run of three calls that did not end. */
  async function cutOff() {
    const stateDir = newFolder();
    const { journal } = await open({ stateDir });
    for (const pid of [0, 1, 2]) {
      const call = callOf(pid);
      await journal.hooks.before(call);
      if (pid < 1) await journal.hooks.after(call, { ok: true });
    }
    return { stateDir, id: journal.id, path: journal.path ?? "" };
  }

  test("a half-written last line is ignored and reported", async () => {
    const { stateDir, id, path } = await cutOff();
    appendFileSync(path, '{"kind":"intent","time":"2024-01-01T00:00:00.000Z","ca');
    const read = await readRun(stateDir, id);
    expect(read.notes).toEqual(["the last line is incomplete"]);
    expect(read.end).toBeUndefined();
    const unknown = callsOf(read).filter((one) => one.outcome === undefined);
    expect(unknown.map((one) => one.intent.target.pid)).toEqual([1, 2]);
  });

  test("damaged lines are ignored and counted; the rest is read", async () => {
    const { stateDir, id, path } = await cutOff();
    const lines = readFileSync(path, "utf8").trimEnd().split("\n");
    const bad = ["\0\0\0", "null", '{"kind":"intent"}', '{"kind":"toString","time":"2024-01-01"}'];
    writeFileSync(path, `${[lines[0], ...bad, ...lines.slice(1)].join("\n")}\n`);
    const read = await readRun(stateDir, id);
    expect(read.notes).toEqual(["4 damaged or unknown lines are left out"]);
    expect(callsOf(read)).toHaveLength(3);
  });

  test("an unreadable one is listed in any case", async () => {
    const { stateDir, id, path } = await cutOff();
    chmodSync(path, 0o600);
    writeFileSync(path, "garbage");
    const read = await readRun(stateDir, id);
    expect(read).toMatchObject({ id, run: undefined, end: undefined, records: [] });
    expect(read.notes).toHaveLength(1);
  });
});

describe("--resume", () => {
  test("without an unfinished run it reports this and continues", async () => {
    const stateDir = newFolder();
    const first = await open({ stateDir, isResuming: true });
    expect(first.messages).toEqual([expect.stringContaining("no unfinished run of this cluster")]);
    await first.journal.hooks.before(callOf(0));
    await first.journal.finish({ exitCode: 0 });
    const second = await open({ stateDir, isResuming: true });
    expect(second.messages).toEqual([expect.stringContaining("no unfinished run of this cluster")]);
    expect((await readRun(stateDir, second.journal.id)).run?.resumes).toBeUndefined();
  });

  test("names the run that it continues and the calls whose end is unknown", async () => {
    const stateDir = newFolder();
    const killed = await open({ stateDir, id: idOf(1) });
    await killed.journal.hooks.before(callOf(4));
    const refused = await open({ stateDir, id: idOf(2) });
    await refused.journal.finish({ exitCode: 5 });
    const elsewhere = { zkCluster: ["zk9:2181"], zkRootPath: "/openmldb" };
    await open({ stateDir, id: idOf(3), cluster: elsewhere });
    const { messages, journal } = await open({
      stateDir,
      id: idOf(4),
      isResuming: true,
      cluster: { zkCluster: ["zk2:2181"], zkRootPath: "/openmldb" },
    });
    expect(messages).toHaveLength(1);
    expect(messages[0]).toMatch(
      /^continues run 20260101T000000Z-00000001 of .*it did not finish; .*recoverTable db1\.t1:4 on a:9527/,
    );
    const run = (await recordsOf(stateDir, journal.id))[0] as RunRecord;
    expect(run.resumes).toBe(idOf(1));
  });

  test("a run whose journal lost its end on a full disk is not continued: ZooKeeper knows the end", async () => {
    const [stateDir, zk] = [newFolder(), memoryZooKeeper({ "/openmldb": "" })];
    const { journal } = await open({ stateDir, zk });
    await journal.hooks.before(callOf(0));
    await journal.finish({ exitCode: 0 });
    const lines = readFileSync(journal.path ?? "", "utf8").split("\n");
    writeFileSync(journal.path ?? "", `${lines[0]}\n{"kind":"int`);
    const alone = await open({ stateDir, isResuming: true });
    expect(alone.messages).toEqual([expect.stringContaining(`continues run ${journal.id}`)]);
    await alone.journal.finish({ exitCode: 5 });
    const { messages } = await open({ stateDir, zk, isResuming: true });
    expect(messages).toEqual([expect.stringContaining("no unfinished run of this cluster")]);
  });
});

describe("the history in ZooKeeper", () => {
  test("keeps the newest 20 runs, each with its result", async () => {
    const zk = memoryZooKeeper({ "/openmldb": "" });
    for (let i = 0; i < 23; i += 1) {
      const id = idOf(i);
      const { journal } = await open({ stateDir: newFolder(), zk, id });
      await journal.hooks.before(callOf(0));
      await journal.hooks.after(callOf(0), { ok: true });
      if (i < 22) await journal.finish({ exitCode: 3 });
    }
    await new Promise((resolve) => setImmediate(resolve));
    zk.nodes.set(`/openmldb/ops_tool/history/${idOf(5)}`, Buffer.from('{"run":1}'));
    const notes: string[] = [];
    const runs = await readRunSummaries(zk, "/openmldb", (text) => notes.push(text));
    const nodes = [...zk.nodes.keys()].filter((path) => path.includes("/history/")).sort();
    expect(nodes).toHaveLength(20);
    expect(nodes[0]).toBe(`/openmldb/ops_tool/history/${idOf(3)}`);
    expect(runs).toHaveLength(19);
    expect(notes).toEqual([expect.stringContaining(`${idOf(5)} is skipped`)]);
    const byId = new Map(runs.map((one) => [one.run.id, one.end]));
    expect(byId.get(idOf(21))).toMatchObject({ result: "partly", counts: { done: 1 } });
    expect(byId.has(idOf(22))).toBe(true);
    expect(byId.get(idOf(22))).toBeUndefined();
  });

  test("a run without changes writes nothing there", async () => {
    const zk = memoryZooKeeper({ "/openmldb": "" });
    const { journal } = await open({ stateDir: newFolder(), zk });
    await journal.finish({ exitCode: 0 });
    expect([...zk.nodes.keys()]).toEqual(["/openmldb"]);
  });

  test("a ZooKeeper that fails or hangs causes a note or a delay of 2 s, never the end of the run", async () => {
    const down = memoryZooKeeper({});
    down.setData = () => Promise.reject(new Error("connection lost"));
    const first = await open({ stateDir: newFolder(), zk: down });
    await first.journal.hooks.before(callOf(0));
    await first.journal.finish({ exitCode: 0 });
    expect(first.messages).toEqual([expect.stringContaining("connection lost")]);

    const hanging = memoryZooKeeper({});
    hanging.setData = () => new Promise(() => {});
    const second = await open({ stateDir: newFolder(), zk: hanging });
    const turnsMs = startTurnClock();
    await second.journal.hooks.before(callOf(0));
    expect(turnsMs()).toBeLessThan(1_000);
    await second.journal.finish({ exitCode: 0 });
    expect(turnsMs()).toBeLessThan(3_000);
  });
});
