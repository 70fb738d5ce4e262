import {
  fdatasyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { Cluster } from "../src/cluster/cluster.js";
import { type RecoverResult, recoverData } from "../src/execution/recover.js";
import { OPType } from "../src/gen/openmldb/api_pb.js";
import type { AppendFile } from "../src/journal/durable-log.js";
import { type Journal, openJournal } from "../src/journal/journal.js";
import { type CallWithOutcome, callsOf, readRun } from "../src/journal/read-runs.js";
import type { Method } from "../src/model/plan.js";
import { type MutationCall, watchMutations } from "../src/run/watch-mutations.js";
import { jsonText } from "../src/util/text.js";
import { again, print } from "./helpers/printing.js";
import { startVirtualCluster, type VirtualCluster } from "./helpers/virtual-cluster.js";

const base = mkdtempSync(join(tmpdir(), "openmldb-ops-journal-run-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));

/** A file that is written synchronously: the virtual clock does not wait for a disk. */
async function immediateFile(path: string): Promise<AppendFile> {
  mkdirSync(dirname(path), { recursive: true });
  const file = openSync(path, "ax", 0o600);
  return {
    append: async (text) => void writeSync(file, text),
    sync: async () => fdatasyncSync(file),
    close: async () => {},
  };
}

/** Three tablets with db1.t1 of two partitions, after all of them were killed. */
async function afterOutage(): Promise<VirtualCluster> {
  const virtual = await startVirtualCluster({ model: { autoFailover: false } });
  virtual.model.createTable({ db: "db1", table: "t1", partitions: 2, replicas: 3 });
  virtual.model.put(20);
  await virtual.pass(5_000);
  virtual.model.outage({ withNameservers: false });
  await virtual.pass(30_000);
  return virtual;
}

/** Opens a journal; its messages are in `messages`. */
async function openAt(virtual: VirtualCluster, isResuming = false, stateDir = newFolder()) {
  const messages: string[] = [];
  const journal = await openJournal({
    stateDir,
    command: "recoverdata",
    argv: ["recoverdata"],
    flags: {},
    cluster: { zkCluster: ["zk:2181"], zkRootPath: "/openmldb" },
    isResuming,
    note: (text) => messages.push(text),
    warn: (text) => messages.push(`warning: ${text}`),
    now: () => virtual.clock.now(),
    createFile: immediateFile,
  });
  return { journal, stateDir, messages };
}

function newFolder(): string {
  return mkdtempSync(join(base, "state-"));
}

/** Recovers a watched cluster in virtual time. */
function recover(
  { clock }: VirtualCluster,
  cluster: Cluster,
  journal: Journal,
  more: { method: Method; signal?: AbortSignal },
): Promise<RecoverResult> {
  const work = recoverData(cluster, {
    limits: {
      concurrency: 32,
      loadsPerTablet: 3,
      opRetries: 3,
      opTimeoutMs: 600_000,
      cancelStuck: false,
      stallTimeoutMs: 600_000,
    },
    signal: new AbortController().signal,
    onEvent: journal.onEvent,
    again,
    print,
    ...more,
  });
  return clock.run(work, 7_200_000);
}

/**
 * Patterns of the model's log lines for the effects of calls, and the calls that may have each effect.
 */
const EFFECTS: readonly { pattern: RegExp; methods: readonly string[] }[] = [
  { pattern: /kRecoverTableOP db1\.t1\/(\d+) queued$/, methods: ["recoverTable"] },
  { pattern: / loaded 2\/(\d+) as /, methods: ["loadTable", "recoverTable"] },
];

/** Effects in the model, and those of them without an intent on disk at that moment. */
function unannounced(virtual: VirtualCluster, path: string): { seen: string[]; bad: string[] } {
  const { model } = virtual;
  const found = { seen: [] as string[], bad: [] as string[] };
  const write = model.log.bind(model);
  model.log = (what) => {
    write(what);
    for (const { pattern, methods } of EFFECTS) {
      const pid = pattern.exec(what)?.[1];
      if (pid === undefined) continue;
      found.seen.push(what);
      const isKnown = readFileSync(path, "utf8")
        .split("\n")
        .some(
          (line) =>
            line.includes('"kind":"intent"') &&
            line.includes(`"pid":${pid}`) &&
            methods.some((method) => line.includes(`"method":"${method}"`)),
        );
      if (!isKnown) found.bad.push(what);
    }
  };
  return found;
}

describe.each(["direct", "documented"] as const)("a recovery with a journal (%s)", (method) => {
  test("each call has one intent, on disk before the call, and one outcome", async () => {
    const virtual = await afterOutage();
    const { journal, stateDir, messages } = await openAt(virtual);
    const effects = unannounced(virtual, journal.path ?? "");
    const made: MutationCall[] = [];
    const late: string[] = [];
    const counted = watchMutations(virtual.cluster, {
      async before(call) {
        made.push(call);
        const lines = readFileSync(journal.path ?? "", "utf8").split("\n");
        const args = jsonText(call.args);
        if (!lines.some((line) => line.includes(`"kind":"intent"`) && line.includes(args))) {
          late.push(`${call.method} ${args}`);
        }
      },
      after: async () => {},
    });
    const result = await recover(virtual, watchMutations(counted, journal.hooks), journal, {
      method,
    });
    await journal.finish({ exitCode: 0 });

    expect(result).toMatchObject({ report: { partitions: [{}, {}] } });
    expect(virtual.model.healthy()).toEqual([]);
    expect(late).toEqual([]);
    expect(effects.bad).toEqual([]);
    expect(effects.seen.length).toBeGreaterThanOrEqual(6);
    const read = await readRun(stateDir, journal.id);
    const calls = callsOf(read);
    expect(calls.map(({ intent }) => [intent.method, intent.args])).toEqual(
      made.map((call) => [call.method, JSON.parse(jsonText(call.args))]),
    );
    expect(new Set(calls.map(({ intent }) => intent.call)).size).toBe(calls.length);
    expect(calls.filter(({ outcome }) => outcome?.isOk !== true)).toEqual([]);
    const outcomes = read.records.filter((one) => one.kind === "outcome");
    expect(outcomes).toHaveLength(calls.length);
    expect(read.end?.counts).toEqual({ intents: made.length, done: made.length, failed: 0 });
    expect(read.notes).toEqual([]);
    expect(messages).toEqual([]);
    const kinds = new Set(read.records.map((one) => one.kind));
    expect([...kinds].sort()).toEqual(
      expect.arrayContaining(["end", "note", "partition-ended", "plan", "step-ended"]),
    );
  });
});

describe("a killed run", () => {
  test("after RecoverTable was sent: the next run follows the op, and creates no second one", async () => {
    const virtual = await afterOutage();
    const first = await openAt(virtual);
    const killed = new AbortController();
    const mortal = watchMutations(virtual.cluster, {
      before: async () => {},
      after({ method }) {
        if (method !== "recoverTable") return Promise.resolve();
        killed.abort(new Error("killed"));
        // The process is killed before it gets the answer.
        return new Promise(() => {});
      },
    });
    const died = await recover(
      virtual,
      watchMutations(mortal, first.journal.hooks),
      first.journal,
      { method: "documented", signal: killed.signal },
    );
    expect(died).toMatchObject({ error: new Error("killed") });
    const sent = recoverOps(virtual);
    expect(sent.length).toBeGreaterThan(0);

    // Calls of the killed process that are still in flight may take effect after the next run has read the state.
    const unknown = callsOf(await readRun(first.stateDir, first.journal.id)).filter(isUnknown);
    const second = await openAt(virtual, true, first.stateDir);
    await recover(virtual, watchMutations(virtual.cluster, second.journal.hooks), second.journal, {
      method: "documented",
    });
    expect(virtual.model.healthy()).toEqual([]);
    // Two followers in each of two partitions, each recovered once.
    const all = recoverOps(virtual);
    expect(all).toHaveLength(4);
    expect(new Set(all).size).toBe(4);
    expect(all).toEqual(expect.arrayContaining(sent));

    expect(second.messages).toHaveLength(1);
    expect(second.messages[0]).toContain(`continues run ${first.journal.id}`);
    expect(unknown.length).toBeGreaterThan(0);
    for (const { intent } of unknown) {
      const { pid, endpoint } = intent.target;
      expect(second.messages[0]).toContain(`${intent.method} db1.t1:${pid} on ${endpoint}`);
    }
  });
});

const isUnknown = ({ outcome }: CallWithOutcome) => outcome === undefined;

/** The replicas for which the nameserver has made a RecoverTable op, once for each op. */
function recoverOps({ model }: VirtualCluster): string[] {
  const ops = model.leader?.ops.list() ?? [];
  return ops
    .filter(({ info }) => info.opType === OPType.kRecoverTableOP)
    .map(({ info, data }) => `${info.pid} ${"endpoint" in data ? data.endpoint : ""}`);
}
