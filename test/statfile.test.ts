import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { assertWritable, statStore } from "../src/commands/stat-store.js";
import { OpsError } from "../src/errors.js";
import { statText } from "../src/operations/statfile.js";

const base = mkdtempSync(join(tmpdir(), "openmldb-ops-stat-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));

const CLUSTER = { zkCluster: ["zk1:2181", "zk2:2181"], zkRootPath: "/openmldb" };
const LINE = { endpoint: "a:9527", db: "db1", table: "t0", tid: 7, pid: 3, added: "" };

/** Creates statfile stores in a new folder. */
function newFolder() {
  const folder = mkdtempSync(join(base, "f-"));
  const path = join(folder, "stat");
  return { folder, path, store: statStore(path, CLUSTER) };
}

function problem(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof OpsError && error.code === "usage") return error.message;
    throw error;
  }
  throw new Error("it was taken");
}

describe("lines", () => {
  test("have the format of openmldb_ops.py", () => {
    expect(statText(LINE)).toBe("a:9527,db1,t0,7,3,");
    expect(statText({ ...LINE, added: "b:9527" })).toBe("a:9527,db1,t0,7,3,b:9527");
    const { path, store } = newFolder();
    writeFileSync(path, "a:9527, db1,t0,7,3,b:9527\r\n\na:9527,db1,t,0,7,3,\n");
    expect(store.read()).toEqual([
      { ...LINE, added: "b:9527" },
      { ...LINE, table: "t,0" },
    ]);
  });

  test("are appended one by one, rewritten without one, and gone with the last one", () => {
    const { path, store } = newFolder();
    expect(store.read()).toBeUndefined();
    store.touch();
    expect(store.read()).toEqual([]);
    store.append(LINE);
    store.append({ ...LINE, pid: 4 });
    const head = "#cluster,zk1:2181 zk2:2181,/openmldb,0,0,\n";
    expect(readFileSync(path, "utf8")).toBe(`${head}a:9527,db1,t0,7,3,\na:9527,db1,t0,7,4,\n`);
    store.remove(({ pid }) => pid === 3);
    expect(readFileSync(path, "utf8")).toBe(`${head}a:9527,db1,t0,7,4,\n`);
    expect(store.read()).toEqual([{ ...LINE, pid: 4 }]);
    store.remove(() => true);
    expect(store.read()).toBeUndefined();
  });

  test("a truncated last one is reported with its number, and is never joined with the next one", () => {
    const { folder, path, store } = newFolder();
    writeFileSync(path, "a:9527,db1,t0,7,3,");
    store.append({ ...LINE, pid: 4 });
    expect(store.read()).toHaveLength(2);
    writeFileSync(path, "a:9527,db1,t0,7,3,\na:9527,db");
    expect(problem(() => store.read())).toMatch(/line 2 is not of the form endpoint,db,name/);
    expect(() => statStore(join(folder, "no", "where"), CLUSTER).touch()).toThrow(OpsError);
  });

  test.each([
    ["x", "table"],
    ["a,b,c,d,e,f", "tid"],
    [",db1,t0,7,3,", "endpoint"],
    ["a:9527,db1,t0,7,-1,", "pid"],
    ["a:9527,db1,t0,9999999999,1,", "tid"],
  ])("%s is invalid, and the field is named", (text, field) => {
    const { path, store } = newFolder();
    writeFileSync(path, `\n${text}\n`);
    expect(problem(() => store.read())).toMatch(new RegExp(`line 2 is not .*: ${field}: `));
  });
});

describe("the cluster", () => {
  test.each([
    { ...CLUSTER, zkRootPath: "/other" },
    { ...CLUSTER, zkCluster: ["zk9:2181"] },
  ])("a statfile of another cluster is refused: %o", (other) => {
    const { path, store } = newFolder();
    statStore(path, other).append(LINE);
    expect(problem(() => store.read())).toContain("belongs to the cluster at");
  });

  test("one ZooKeeper server in common is the same cluster, as is a file that names none", () => {
    const { path, store } = newFolder();
    statStore(path, { ...CLUSTER, zkCluster: ["zk2:2181"] }).append(LINE);
    expect(store.read()).toEqual([LINE]);
    writeFileSync(path, `${statText(LINE)}\n`);
    expect(store.read()).toEqual([LINE]);
  });
});

describe("other files in the folder are left alone", () => {
  test("a link named like a temporary file is not followed; the mode stays; no file is left over", () => {
    const { folder, path, store } = newFolder();
    writeFileSync(join(folder, "victim"), "precious\n");
    symlinkSync(join(folder, "victim"), `${path}.new`);
    store.append(LINE);
    store.append({ ...LINE, pid: 4 });
    chmodSync(path, 0o604);
    store.remove(({ pid }) => pid === 3);
    expect(readFileSync(join(folder, "victim"), "utf8")).toBe("precious\n");
    expect(statSync(path).mode & 0o777).toBe(0o604);
    expect(readdirSync(folder).sort()).toEqual(["stat", "stat.new", "victim"]);
  });

  test("a statfile that is a link is refused, for reading and for writing", () => {
    const { folder, path, store } = newFolder();
    writeFileSync(join(folder, "victim"), `${statText(LINE)}\n`);
    symlinkSync(join(folder, "victim"), path);
    expect(problem(() => store.read())).toContain("symbolic link");
    expect(problem(() => store.append(LINE))).toContain("ELOOP");
    expect(problem(() => assertWritable(path))).toContain("symbolic link");
    expect(readFileSync(join(folder, "victim"), "utf8")).toBe(`${statText(LINE)}\n`);
  });

  test("a device is refused", () => {
    expect(problem(() => statStore("/dev/zero", CLUSTER).read())).toContain("not a regular file");
    expect(problem(() => assertWritable("/dev/null"))).toContain("not a regular file");
  });
});
