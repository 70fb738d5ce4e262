import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { ended, lined, print, writeToDisk } from "../src/commands/write.js";
import { OpsError } from "../src/errors.js";
import type { ReplicaReport, TableClaim } from "../src/model/cluster-state.js";
import { finish } from "../src/model/work.js";
import { shownText } from "../src/show/shown.js";
import { tableStatuses } from "../src/show/table-status.js";
import { table } from "../src/util/table.js";
import { jsonPieces, jsonText, lazyList } from "../src/util/text.js";
import "./helpers/fixed-cases.js";

/** A document of some megabytes, whose items are created one by one. */
const large = (items: number, made = { count: 0 }) => ({
  list: lazyList(new Array<undefined>(items), () => {
    made.count += 1;
    return { at: made.count, text: "x".repeat(80) };
  }),
});

const { signal } = new AbortController();

/** Counts the turns of the event loop, in which other work runs, until the returned function is called. */
function countTurns(): () => number {
  let turns = 0;
  let immediate = setImmediate(function next() {
    turns += 1;
    immediate = setImmediate(next);
  });
  return () => {
    clearImmediate(immediate);
    return turns;
  };
}

describe("a JSON document in pieces", () => {
  it.each([0, 2])("equals the output of JSON.stringify, indent %i", (indent) => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect([...jsonPieces(value, indent)].join("")).toBe(
          JSON.stringify(value, undefined, indent),
        );
      }),
    );
  });

  it("leaves out what is undefined, and writes bigints as text, at any depth", () => {
    const value = { a: undefined, b: 1n, c: { d: undefined, e: [{ f: 2n, g: undefined }] }, h: [] };
    expect(jsonText(value)).toBe('{"b":"1","c":{"e":[{"f":"2"}]},"h":[]}');
    expect(jsonText({ a: undefined }, 2)).toBe("{}");
  });

  it("creates the items of a lazy list when they are written, and writes them like other lists", () => {
    const made = { count: 0 };
    const pieces = jsonPieces(large(1_000, made), 2);
    for (let taken = 0; taken < 10; taken += 1) pieces.next();
    expect(made.count).toBeLessThan(20);
    const items = [1, 2, 3];
    const lazy = {
      before: 1,
      items: lazyList(items, (at) => ({ at })),
      none: lazyList([], String),
    };
    const plain = { before: 1, items: items.map((at) => ({ at })), none: [] };
    expect(jsonText(lazy, 2)).toBe(JSON.stringify(plain, undefined, 2));
  });
});

describe("a large result", () => {
  it("is printed as fast as it is read, while other work runs", async () => {
    const turns = countTurns();
    let unread = 0;
    let mostUnread = 0;
    let length = 0;
    const write = (text: string) => {
      length += text.length;
      unread += text.length;
      mostUnread = Math.max(mostUnread, unread);
      return new Promise<void>((resolve) =>
        setTimeout(() => {
          unread -= text.length;
          resolve();
        }, 1),
      );
    };
    await print({ stdout: { write }, signal }, ended(jsonPieces(large(50_000), 2)));
    expect(turns()).toBeGreaterThan(10);
    expect(length).toBe(jsonText(large(50_000), 2).length + 1);
    expect(mostUnread).toBeLessThan(100_000);
  });

  it("is abandoned when its reader closes", async () => {
    const made = { count: 0 };
    const stdout = { write: () => undefined, isClosed: () => true };
    await print({ stdout, signal }, jsonPieces(large(50_000, made)));
    expect(made.count).toBeLessThan(2_000);
  });

  it("is abandoned on a signal while its reader is idle, but not on an earlier signal", async () => {
    const controller = new AbortController();
    const reason = new OpsError({ code: "interrupted", message: "stopped" });
    const never = { write: () => new Promise<void>(() => undefined) };
    const printing = print({ stdout: never, signal: controller.signal }, lined(["text"]));
    setImmediate(() => controller.abort(reason));
    await expect(printing).rejects.toBe(reason);
    await print({ stdout: never, signal: controller.signal }, lined(["text"]));
  });

  it("waits at a full pipe, and continues when it is read", async () => {
    const module = (path: string) => JSON.stringify(new URL(`../dist/${path}`, import.meta.url));
    const code = `
      import { guardProcessIo } from ${module("cli/process-io.js")};
      import { lined, print } from ${module("commands/write.js")};
      let beats = 0;
      setInterval(() => {
        beats += 1;
        if (beats === 1) process.stderr.write("other work runs");
      }, 5).unref();
      const { signal } = new AbortController();
      const lines = Array.from({ length: 20_000 }, () => "y".repeat(99));
      await print({ stdout: { write: guardProcessIo().print }, signal }, lined(lines));`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", code]);
    onTestFinished(() => void child.kill("SIGKILL"));
    let length = 0;
    // Nothing is read before other work has run, which it could not if the full pipe blocked the process.
    await once(child.stderr, "data");
    child.stdout.on("data", (bytes: Buffer) => (length += bytes.length));
    await once(child, "close");
    expect(length).toBe(2_000_000);
  });
});

describe("a large file", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "large-output-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("is complete, and other work runs while it is written", async () => {
    const path = join(folder, "report.json");
    const turns = countTurns();
    await writeToDisk(await open(path, "wx"), jsonPieces(large(50_000), 2));
    expect(turns()).toBeGreaterThan(3);
    expect(await readFile(path, "utf8")).toBe(jsonText(large(50_000), 2));
  });
});

describe("long lists", () => {
  it("a table of any number of rows", () => {
    const rows = Array.from({ length: 200_000 }, (_, at) => [String(at)]);
    const text = table([{ title: "n", align: "right" }], rows);
    expect(text.slice(0, 21)).toBe("     n\n     0\n     1\n");
    expect(text).toHaveLength(200_001 * 7);
  });

  it("fifty notes, and how many more there are", () => {
    const notes = Array.from({ length: 60 }, (_, at) => `note ${at}`);
    const lines = [
      ...shownText(
        { columns: [], rows: [], empty: "none", notes, json: {} },
        { hasColor: false, columns: 80, rows: 24 },
      ),
    ];
    expect(lines).toHaveLength(52);
    expect(lines.slice(-2)).toEqual(["note 49\n", "and 10 more (--output=json shows all)\n"]);
  });

  it("the status of tables without a call per tablet and partition", async () => {
    let asked = 0;
    class Counted extends Map<string, ReplicaReport> {
      override has(key: string): boolean {
        asked += 1;
        return super.has(key);
      }
      override get(key: string): ReplicaReport | undefined {
        asked += 1;
        return super.get(key);
      }
    }
    const endpoints = Array.from({ length: 200 }, (_, at) => `t${at}:1`);
    const tables = endpoints.map((endpoint, at) => ({
      ...({
        db: "db1",
        table: `t${at}`,
        tid: at,
        replicaCount: 1,
        storageMode: "memory",
      } as TableClaim),
      partitions: [
        {
          pid: 0,
          terms: [],
          replicas: [{ endpoint, isLeader: true, isAlive: true, diskBytes: 0n }],
        },
      ],
    })) as unknown as TableClaim[];
    const tablets = new Map(
      endpoints.map((endpoint) => [endpoint, { endpoint, reports: new Counted() }]),
    );
    const state = { tablets, followers: new Map() } as unknown as Parameters<
      typeof tableStatuses
    >[0];
    expect(finish(tableStatuses(state, tables))).toHaveLength(200);
    expect(asked).toBeLessThan(5 * tables.length);
  });
});
