import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { flagsOf } from "./helpers/flags-of.js";
import { runBin } from "./helpers/run-bin.js";
import { sandboxForTest } from "./helpers/sandbox.js";

const base = mkdtempSync(join(tmpdir(), "openmldb-ops-config-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));

let files = 0;

/** A file with that content. */
function fileWith(content: unknown): string {
  const path = join(base, `c${files++}.json`);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

const PROD = {
  zk_cluster: "zk1:2181,zk2:2181",
  zk_root_path: "/prod",
  user: "ops",
  rpc_timeout: "3s",
};
const config = fileWith({ clusters: { prod: PROD, test: { zk_cluster: "zk9:2181" } } });

/** An installation of OpenMLDB with these two files. */
function homeWith(envScript: string, hosts: string): string {
  const home = join(base, `h${files++}`);
  mkdirSync(join(home, "conf"), { recursive: true });
  writeFileSync(join(home, "conf", "openmldb-env.sh"), envScript);
  writeFileSync(join(home, "conf", "hosts"), hosts);
  return home;
}

const HOSTS = `# comment
[tablet]
t1:10921 /tmp/t1
[zookeeper]
zkA:2182:2888:3888 /tmp/zk-1
zkB /tmp/zk-2
`;

describe("named clusters", () => {
  test("flag before environment before file before default", () => {
    const words = ["inspect", "--cluster=prod", `--config=${config}`];
    expect(flagsOf(words)).toMatchObject({
      cluster: "prod",
      zkCluster: ["zk1:2181", "zk2:2181"],
      zkRootPath: "/prod",
      user: "ops",
      rpcTimeoutMs: 3_000,
      zkTimeoutMs: 10_000,
    });
    const environment = { OPENMLDB_OPS_USER: "env", OPENMLDB_OPS_RPC_TIMEOUT: "5s" };
    expect(flagsOf(words, environment)).toMatchObject({ user: "env", rpcTimeoutMs: 5_000 });
    expect(flagsOf([...words, "--user=typed"], environment)).toMatchObject({ user: "typed" });
  });

  test("the name is dropped if flag or environment select another cluster", () => {
    const words = ["inspect", "--cluster=prod", `--config=${config}`];
    for (const flags of [
      flagsOf([...words, "--zk_cluster=other:2181"]),
      flagsOf(words, { OPENMLDB_OPS_ZK_ROOT_PATH: "/other" }),
    ]) {
      expect(flags["cluster"]).toBeUndefined();
    }
    expect(flagsOf([...words, "--zk_root_path=/prod"])["cluster"]).toBe("prod");
  });

  test("without --config the file of XDG is read, and never one of the working directory", () => {
    const xdg = join(base, "xdg");
    mkdirSync(join(xdg, "openmldb-ops"), { recursive: true });
    writeFileSync(
      join(xdg, "openmldb-ops", "config.json"),
      JSON.stringify({ clusters: { prod: PROD } }),
    );
    const words = ["inspect", "--cluster=prod"];
    expect(flagsOf(words, { XDG_CONFIG_HOME: xdg })).toMatchObject({ zkRootPath: "/prod" });
    expect(() => flagsOf(words, { XDG_CONFIG_HOME: "relative", HOME: base })).toThrow(
      `there is no ${join(base, ".config/openmldb-ops/config.json")}`,
    );
  });

  test("the sandbox reads no file", () => {
    const environment = { OPENMLDB_OPS_CLUSTER: "prod", OPENMLDB_OPS_CONFIG: config };
    expect(flagsOf(["sandbox"], environment)).toMatchObject({ zkCluster: [] });
  });

  test.each([
    [
      "a secret",
      { clusters: { prod: { ...PROD, zk_cert: "user:word" } } },
      /clusters\.prod: .*zk_cert/,
    ],
    [
      "a number",
      { clusters: { prod: { ...PROD, rpc_timeout: 5 } } },
      /clusters\.prod\.rpc_timeout: /,
    ],
    [
      "a bad value",
      { clusters: { prod: { ...PROD, rpc_timeout: "soon" } } },
      /clusters\.prod\.rpc_timeout=soon: not a time/,
    ],
    ["an unknown cluster", { clusters: { other: PROD } }, /there is no cluster "prod"/],
    ["a name of objects", { clusters: {} }, /there is no cluster "prod"/],
    ["no JSON", "clusters:", /it is not JSON/],
    ["a wrong top", { cluster: {} }, /clusters: /],
  ])("%s in the file is refused with its path", (_what, content, message) => {
    const words = ["verify", "--cluster=prod", `--config=${fileWith(content)}`];
    expect(() => flagsOf(words)).toThrow(message);
  });

  test("--config alone, and a missing file, are refused", () => {
    expect(() => flagsOf(["verify", `--config=${config}`])).toThrow("without --cluster");
    expect(() => flagsOf(["verify", "--cluster=a", `--config=${base}/none`])).toThrow("none");
  });
});

describe("--openmldb_home", () => {
  test("ZooKeeper from conf/hosts, the root path from conf/openmldb-env.sh", () => {
    const home = homeWith(
      "export OPENMLDB_ZK_CLUSTER=\nexport OPENMLDB_ZK_ROOT_PATH=/mine\n" +
        "export OPENMLDB_ZK_CLUSTER_CLIENT_PORT=2190\n",
      HOSTS,
    );
    expect(flagsOf(["verify", `--openmldb_home=${home}`])).toMatchObject({
      zkCluster: ["zkA:2182", "zkB:2190"],
      zkRootPath: "/mine",
    });
  });

  test("openmldb-env.sh has priority over conf/hosts, and nothing in it is executed", () => {
    const mark = join(base, "executed");
    const home = homeWith(
      `touch ${mark}\nexport OPENMLDB_ZK_CLUSTER=\${OPENMLDB_ZK_CLUSTER:="z1:1,z2:2"}\n`,
      HOSTS,
    );
    const flags = flagsOf(["verify", `--openmldb_home=${home}`]);
    expect(flags).toMatchObject({ zkCluster: ["z1:1", "z2:2"], zkRootPath: "/openmldb" });
    expect(() => rmSync(mark)).toThrow("ENOENT");
  });

  test("a folder without them, and files without a ZooKeeper, are refused", () => {
    expect(() => flagsOf(["verify", `--openmldb_home=${base}/none`])).toThrow("--openmldb_home=");
    const home = homeWith("", "[tablet]\nt1:10921\n");
    expect(() => flagsOf(["verify", `--openmldb_home=${home}`])).toThrow("names a ZooKeeper");
  });
});

test("config show prints the source of each value, and no secret", async () => {
  const env = {
    OPENMLDB_OPS_RPC_TIMEOUT: "7s",
    OPENMLDB_OPS_ZK_CERT: "admin:hidden",
    OPENMLDB_OPS_PASSWORD: "hidden",
  };
  const words = ["config", "show", "--cluster=prod", `--config=${config}`, "--user=me"];
  const { code, stdout, stderr } = await runBin([...words, "--output=json"], { env });
  expect(code, stderr).toBe(0);
  const { settings } = JSON.parse(stdout) as {
    settings: { name: string; value: string | null; source: string }[];
  };
  const byName = Object.fromEntries(settings.map((one) => [one.name, [one.value, one.source]]));
  expect(byName).toMatchObject({
    zk_cluster: ["zk1:2181,zk2:2181", `${config}: clusters.prod.zk_cluster`],
    user: ["me", "--user"],
    rpc_timeout: ["7s", "OPENMLDB_OPS_RPC_TIMEOUT"],
    zk_cert: ["set", "OPENMLDB_OPS_ZK_CERT"],
    password_file: ["set", "OPENMLDB_OPS_PASSWORD"],
    zk_timeout: ["10s", "default"],
  });
  const table = await runBin(words, { env });
  expect(table.stdout).toMatch(/^setting +value +source\n/);
  expect(table.stdout).toContain(`/prod`);
  expect(stdout + table.stdout + table.stderr).not.toContain("hidden");
});

test("the cluster's name is in the report, in the journal and in printed commands", async () => {
  const sandbox = await sandboxForTest({ speed: 20 });
  await sandbox.outage({ withNameservers: false });
  const { zkCluster, zkRootPath } = sandbox;
  const file = fileWith({
    clusters: { bank: { zk_cluster: zkCluster, zk_root_path: zkRootPath } },
  });
  const named = ["--cluster=bank", `--config=${file}`];
  const report = join(base, "report.json");
  const run = await runBin(["recoverdata", ...named, `--report=${report}`]);
  expect(run.code, run.stderr).toBe(0);
  expect(run.stderr).toContain(`connecting to bank: ZooKeeper ${zkCluster}`);
  const { readFileSync } = await import("node:fs");
  const document = JSON.parse(readFileSync(report, "utf8")) as {
    run: { cluster: string; id: string };
  };
  expect(document.run.cluster).toBe(`bank (${zkCluster}${zkRootPath})`);
  const history = await runBin(["history", `--id=${document.run.id}`, ...named]);
  expect(history.stdout).toContain("--cluster=bank");
});
