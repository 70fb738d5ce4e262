import { createServer } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { dialZooKeeper } from "../src/cluster/registrations.js";
import { verifyPartitions } from "../src/diagnosis/verdict.js";
import type { InspectFacts } from "../src/inspect/facts.js";
import { type Inspection, inspectFacts } from "../src/inspect/inspection.js";
import { inspectionJson } from "../src/inspect/json-report.js";
import { inspectionText, verdictText } from "../src/inspect/text-report.js";
import { viewPartitions } from "../src/model/partition-view.js";
import { finish } from "../src/model/work.js";
import { jsonText } from "../src/util/text.js";
import { textWidth } from "../src/util/width.js";
import { wrapped } from "../src/util/wrap.js";
import { OWNER, SERVER_FAULTS, seeded } from "./helpers/inspect-faults.js";
import { PARTITION_FAULTS } from "./helpers/inspect-faults-partitions.js";
import { factsOf, inspectionOf, loadedOf, wellCluster } from "./helpers/inspected.js";
import { again, print } from "./helpers/printing.js";
import { startVirtualCluster } from "./helpers/virtual-cluster.js";

/** Characters that no line may contain. The pattern is separate from that of the code. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are the subject.
const DANGEROUS = /[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/;
const ODD = `x'"\n\x1b[2J\u202e,\t é数据 `;
const EFFORT = { tookMs: 1_234, calls: 7 };

function text(inspection: Inspection, columns = Number.POSITIVE_INFINITY): string[] {
  return finish(inspectionText(inspection, EFFORT, { hasColor: false, columns }));
}

function json(inspection: Inspection) {
  return JSON.parse(jsonText(inspectionJson(inspection, EFFORT, 10)));
}

/** The same facts with so many copies of every partition, under other pids, on so many tablets. */
async function enlarged(
  facts: InspectFacts,
  times: number,
  tablets: number,
): Promise<InspectFacts> {
  const state = {
    ...facts.state,
    tables: facts.state.tables.map((table) => ({
      ...table,
      partitions: Array.from({ length: times }, (_, pid) => ({
        ...(table.partitions[0] as (typeof table.partitions)[number]),
        pid,
      })),
    })),
    tablets: new Map(facts.state.tablets),
  };
  const [one] = facts.state.tablets.values();
  for (let index = 0; one !== undefined && index < tablets; index += 1) {
    const endpoint = `tablet-${index}:9527`;
    const claim = one.claim && { ...one.claim, endpoint };
    state.tablets.set(endpoint, { ...one, endpoint, claim, reports: new Map() });
  }
  const views = viewPartitions(state);
  const none = { unhealthyBefore: new Set<string>(), failures: new Map(), notes: new Map() };
  const verified = finish(verifyPartitions({ state, views, ...none, again, print }));
  return { ...facts, state, views, unhealthy: verified.partitions };
}

describe("names from the cluster", () => {
  it("with hostile characters break neither lines nor JSON", async () => {
    const virtual = await startVirtualCluster({ model: { autoFailover: false } });
    virtual.model.createTable({ db: ODD, table: ODD, partitions: 1, replicas: 3 });
    virtual.model.put(5);
    await virtual.pass(3_000);
    const part = virtual.model.leader?.tables.find(ODD, ODD)?.tablePartition[0];
    const record = part?.partitionMeta.find((one) => !one.isLeader);
    if (record === undefined) throw new Error("no follower");
    record.endpoint = ODD;
    const owner = { ...OWNER, user: ODD, command: ODD };
    virtual.model.tree.create(
      "/openmldb/ops_tool/lock",
      Buffer.from(JSON.stringify({ version: 1, ...owner })),
      { parents: true },
    );
    const inspection = await inspectionOf(virtual);
    const lines = text(inspection);
    expect(lines.filter((line) => DANGEROUS.test(line))).toEqual([]);
    expect(lines.join("\n")).toContain("x'\"\\n\\x1b[2J\\u202e,\\t é数据 ");
    expect(verdictText(inspection)).not.toMatch(DANGEROUS);
    const raw = jsonText(inspectionJson(inspection, EFFORT, 10));
    expect(raw).not.toMatch(DANGEROUS);
    const document = JSON.parse(raw);
    expect(document.partitions[0]).toMatchObject({ db: ODD, table: ODD });
    expect(document.lock.owner).toEqual(owner);
    expect(document.findings).toContainEqual(
      expect.objectContaining({ code: "tablet-gone", subject: { kind: "tablet", endpoint: ODD } }),
    );
  });
});

describe("a large cluster", () => {
  it("is shown in bounded space, the worst first, and in full as JSON", async () => {
    const outage = SERVER_FAULTS.find((one) => one.name === "all tablets stopped and came back");
    if (outage === undefined) throw new Error("no such fault");
    const facts = await enlarged(await seeded(outage), 3_000, 500);
    const inspection = finish(inspectFacts(facts));
    const lines = text(inspection);
    expect(lines.length).toBeLessThan(300);
    expect(lines).toContain("and 2980 more partitions (--output=json shows all)");
    expect(lines).toContainEqual(
      expect.stringMatching(
        /^503 tablets, 503 healthy and answering; each holds 0 to 3000 replicas/,
      ),
    );
    expect(lines.at(-1)).toMatch(/^inspect: 3000 partitions NOT healthy, 3000 of them not serving/);
    expect(lines).toContain("next (1-3000): run: openmldb-ops --cmd=recoverdata");
    expect(json(inspection).partitions).toHaveLength(3_000);
    expect(json(inspection).tablets).toHaveLength(503);
  });
});

describe("commands are listed in the order in which to run them", () => {
  const nexts = async (...names: string[]) => {
    const faults = [...SERVER_FAULTS, ...PARTITION_FAULTS];
    const inspections = await Promise.all(
      names.map(async (name) => {
        const fault = faults.find((one) => one.name === name);
        if (fault === undefined) throw new Error(`there is no fault ${name}`);
        return finish(inspectFacts(await seeded(fault)));
      }),
    );
    const [first] = inspections;
    if (first === undefined) throw new Error("no fault");
    const partitions = inspections.flatMap((one) => one.partitions);
    const findings = inspections.flatMap((one) => one.findings);
    return text({ ...first, partitions, findings }).filter((line) => /^(next| {2}or)/.test(line));
  };

  it("switching auto_failover on is not advised while partitions are unhealthy: it never checks for lost rows", async () => {
    expect(await nexts("all tablets stopped and came back")).toEqual([
      expect.stringMatching(/^next \(1-\d+\): run: openmldb-ops --cmd=recoverdata$/),
    ]);
  });

  it("stuck servers and ops come first, immediate actions before those that wait for a server", async () => {
    const lines = await nexts(
      "one tablet is down, and no recovery has run yet",
      "a follower is not loaded",
      "the standby hangs",
      "an op makes no progress",
    );
    const at = (what: string) => lines.findIndex((line) => line.includes(what));
    const order = ["check nameserver", "cancelop", "recovertable", "start tablet"].map(at);
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(order).not.toContain(-1);
  });

  it("while another run holds the lock, no change is advised", async () => {
    const fault = SERVER_FAULTS.find((one) => one.name === "all tablets stopped and came back");
    if (fault === undefined) throw new Error("no such fault");
    const facts = await seeded(fault);
    const lines = text(finish(inspectFacts({ ...facts, lock: "unknown" })));
    expect(lines.filter((line) => /^(next| {2}or)/.test(line))).toEqual([
      expect.stringMatching(
        /^next .*: wait for the run that holds the lock, then inspect again: openmldb-ops inspect$/,
      ),
    ]);
  });

  it("one advice for all partitions that need it, another way with the partitions that have one", async () => {
    const lines = await nexts("one tablet is down, and no recovery has run yet");
    const [advice, ...ways] = lines.filter((line) => /start tablet|or/.test(line));
    expect(lines.filter((line) => line.includes("start tablet"))).toHaveLength(1);
    expect(advice).toMatch(/^next \(1-\d+\): start tablet a:9527, then run: openmldb-ops --cmd=/);
    expect(ways[0]).toMatch(/^ {2}or, if it is lost for good: openmldb-ops .* --lost=a:9527$/);
    expect(ways[1]).toMatch(
      /^ {2}or \([\d, -]+\), to recover without it, giving up what \S+ acknowledged in its last 2 s: openmldb-ops changeleader /,
    );
  });
});

describe("the screen", () => {
  const all = [...SERVER_FAULTS, ...PARTITION_FAULTS];

  it.each([80, 120])("sentences fit %i columns", async (columns) => {
    let count = 0;
    for (const fault of all) {
      const lines = text(finish(inspectFacts(await seeded(fault))), columns);
      // Commands, tables and titles are not wrapped.
      const sentences = lines.filter((line) =>
        /^( {4}(cause|effect|op) | {9}|error|warning|note)/.test(line),
      );
      expect(sentences.filter((line) => textWidth(line) > columns)).toEqual([]);
      count += sentences.length;
    }
    expect(count).toBeGreaterThan(all.length);
  });

  it("breaks at spaces only, and loses nothing", () => {
    const sentence = "one two three four-is-longer-than-all five";
    const lines = wrapped(sentence, { first: "> ", rest: "  " }, { columns: 14 });
    expect(lines).toEqual(["> one two", "  three", "  four-is-longer-than-all", "  five"]);
  });

  it("uses colours only if the screen allows them", async () => {
    const facts = await seeded(SERVER_FAULTS[2] as (typeof SERVER_FAULTS)[number]);
    const screen = { hasColor: true, columns: 80 };
    const coloured = finish(inspectionText(finish(inspectFacts(facts)), EFFORT, screen)).join("\n");
    expect(coloured).toContain("\x1b[31mNOT SERVING\x1b[0m");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are the subject.
    const plain = coloured.replaceAll(/\x1b\[\d+m/g, "");
    expect(plain).toBe(text(finish(inspectFacts(facts)), 80).join("\n"));
  });

  it("shows a healthy cluster in a few lines, the verdict last", async () => {
    expect(text(await inspectionOf(await wellCluster()))).toEqual([
      "ZooKeeper   zk1:2181 answers",
      "nameserver  n1:6527 leads, n2:6527 stands by",
      "auto_failover is on",
      "",
      expect.stringMatching(/^tablet +state +for +replicas +loaded +leaders$/),
      expect.stringMatching(/^a:9527 +kHealthy +8 s +2 +2 +1$/),
      expect.stringMatching(/^b:9527 +kHealthy +8 s +2 +2 +0$/),
      expect.stringMatching(/^c:9527 +kHealthy +8 s +2 +2 +1$/),
      "",
      "inspect: all healthy (2 partitions, 6 replicas; 1.2 s, 7 calls)",
    ]);
  });
});

describe("JSON", () => {
  it("has the same fields for every fault, and offsets of any size as decimal strings", async () => {
    const virtual = await wellCluster();
    loadedOf(virtual, "b:9527").offset = 2n ** 64n - 1n;
    const document = json(finish(inspectFacts(await factsOf(virtual))));
    const fields = Object.keys(document);
    expect(fields).toEqual([
      "schemaVersion",
      "command",
      "time",
      "exitCode",
      "healthy",
      "scope",
      "counts",
      "zooKeeper",
      "nameservers",
      "tablets",
      "autoFailover",
      "lock",
      "marker",
      "findings",
      "partitions",
      "calls",
      "tookMs",
    ]);
    const [unhealthy] = document.partitions;
    expect(unhealthy).toMatchObject({
      db: "db1",
      table: "t0",
      pid: 0,
      grade: "at-risk",
      serving: true,
    });
    const replica = unhealthy.replicas.find(
      (one: { endpoint: string }) => one.endpoint === "b:9527",
    );
    expect(replica).toMatchObject({
      nameserver: { role: "follower", alive: true, offset: "30" },
      tablet: { health: "ok", role: "follower", offset: "18446744073709551615" },
      zooKeeper: { registered: true, role: "follower", alive: true },
      disagrees: false,
    });
    for (const fault of [...SERVER_FAULTS, ...PARTITION_FAULTS]) {
      expect(Object.keys(json(finish(inspectFacts(await seeded(fault)))))).toEqual(fields);
    }
  });

  it("shows where ZooKeeper, nameserver and tablet disagree", async () => {
    const fault = PARTITION_FAULTS.find(
      (one) => one.name === "a follower is marked not alive in the nameserver's memory only",
    );
    if (fault === undefined) throw new Error("no such fault");
    const inspection = finish(inspectFacts(await seeded(fault)));
    const [unhealthy] = json(inspection).partitions;
    expect(unhealthy.replicas.filter((one: { disagrees: boolean }) => one.disagrees)).toMatchObject(
      [{ endpoint: "b:9527", nameserver: { alive: false }, zooKeeper: { alive: true } }],
    );
    expect(text(inspection).join("\n")).toContain(
      "ZooKeeper  b:9527: tablet registered, recorded as follower alive",
    );
  });
});

describe("ZooKeeper's servers", () => {
  it("are dialled, and those that do not answer are listed with the reason", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await new Promise((resolve) => server.once("listening", resolve));
    const address = server.address();
    const port = typeof address === "object" ? address?.port : undefined;
    const gone = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => gone.once("listening", resolve));
    const goneAddress = gone.address();
    const gonePort = typeof goneAddress === "object" ? goneAddress?.port : undefined;
    await new Promise((resolve) => gone.close(resolve));
    expect(await dialZooKeeper([`127.0.0.1:${port}`, `127.0.0.1:${gonePort}`], 2_000)).toEqual([
      { host: `127.0.0.1:${port}`, silence: undefined },
      { host: `127.0.0.1:${gonePort}`, silence: expect.stringContaining("ECONNREFUSED") },
    ]);
  });
});
