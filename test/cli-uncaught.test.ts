import { describe, expect, test } from "vitest";
import { NameServer } from "../src/gen/openmldb/nameserver_pb.js";
import type { Sandbox } from "../src/sandbox/start.js";
import { type RunResult, runBin, when } from "./helpers/run-bin.js";
import { callSandbox, sandboxForTest } from "./helpers/sandbox.js";

/** A planted bug: the callback at the end of an answer throws, for every call of some methods. */
function throwsInCallback(methods: RegExp): string {
  const code = `
    import http2 from "node:http2";
    const { connect } = http2;
    http2.connect = (...to) => {
      const session = connect(...to);
      const { request } = session;
      session.request = function (headers, ...rest) {
        const stream = request.call(this, headers, ...rest);
        if (${methods}.test(headers[":path"])) {
          stream.once("trailers", () => {
            throw new TypeError("planted: thrown in a callback");
          });
        }
        return stream;
      };
      return session;
    };`;
  return `data:text/javascript,${encodeURIComponent(code)}`;
}

async function autoFailover({ model, addressOf }: Sandbox): Promise<string | undefined> {
  const address = addressOf(model.leader?.endpoint ?? "");
  const { conf } = await callSandbox(address, NameServer.method.confGet, {});
  return conf.find((one) => one.key === "auto_failover")?.value;
}

/** A recovery with a planted bug; `atFirst` runs at the first error. */
async function recoverWith(
  methods: RegExp,
  atFirst: (sandbox: Sandbox) => void = () => undefined,
): Promise<RunResult & { readonly sandbox: Sandbox }> {
  const sandbox = await sandboxForTest({ speed: 1, tables: 2, partitions: 8, rows: 20 });
  await sandbox.outage({ withNameservers: false });
  const result = await runBin(
    [
      "recoverdata",
      "--method=documented",
      `--zk_cluster=${sandbox.zkCluster}`,
      `--zk_root_path=${sandbox.zkRootPath}`,
    ],
    {
      nodeArgs: ["--import", throwsInCallback(methods)],
      ...when(["planted", () => atFirst(sandbox)]),
    },
  );
  return { ...result, sandbox };
}

describe("many uncaught errors", () => {
  test("end the run, and auto_failover is on again", async () => {
    const { code, stderr, sandbox } = await recoverWith(/UpdateTableAliveStatus/);
    expect(code, stderr).toBe(1);
    expect(stderr).toContain("switching auto_failover off");
    expect(stderr).toContain("auto_failover is on again");
    expect(stderr.match(/planted/g)?.length).toBeLessThanOrEqual(5);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(await autoFailover(sandbox)).toBe("true");
  });

  test("exit 9 with the command to type if it cannot be restored", async () => {
    const { code, stderr } = await recoverWith(
      /UpdateTableAliveStatus/,
      ({ nameservers, model }) => {
        for (const one of nameservers) model.hang(one);
      },
    );
    expect(code, stderr).toBe(9);
    expect(stderr).toMatch(/openmldb-ops restore --zk_cluster=/);
  });

  test("after the end of the run are reported and do not change the exit code", async () => {
    const { zkCluster, zkRootPath } = await sandboxForTest();
    const late = `process.once("beforeExit", () => { throw new TypeError("planted: late"); });`;
    const { code, stdout, stderr } = await runBin(
      ["verify", `--zk_cluster=${zkCluster}`, `--zk_root_path=${zkRootPath}`],
      { nodeArgs: ["--import", `data:text/javascript,${encodeURIComponent(late)}`] },
    );
    expect(code, stderr).toBe(0);
    expect(stdout).toContain("healthy");
    expect(stderr).toContain("planted: late");
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test.each([
    ["a timer", "globalThis.setTimeout = bombed(globalThis.setTimeout, 1)"],
    ["a timer that comes again", "globalThis.setInterval = bombed(globalThis.setInterval, 1)"],
    [
      "all listeners of streams and sockets, those of its own log included",
      `const { emit } = EventEmitter.prototype;
       EventEmitter.prototype.emit = function (name, ...values) {
         const isHeard = emit.call(this, name, ...values);
         if (/^(data|close|end|finish)$/.test(String(name))) explode(1_000);
         return isHeard;
       };`,
    ],
  ])("in %s: auto_failover is on again", async (_what, plant) => {
    const sandbox = await sandboxForTest({ speed: 1, tables: 1, partitions: 2, rows: 20 });
    await sandbox.outage({ withNameservers: false });
    // The loads keep the run alive until the timer fires.
    for (const name of sandbox.model.tablets.keys()) sandbox.model.slowLoad(name, 3_000);
    const code = `
      import { EventEmitter } from "node:events";
      let [isArmed, count] = [false, 0];
      const { write } = process.stderr;
      process.stderr.write = function (text, ...rest) {
        isArmed ||= String(text).includes("switching auto_failover off");
        return write.call(this, text, ...rest);
      };
      const explode = (max) => {
        if (isArmed && count++ < max) throw new TypeError("planted: thrown in a callback");
      };
      const bombed = (make, max) => (work, ...rest) =>
        make((...values) => { explode(max); return work(...values); }, ...rest);
      ${plant}`;
    const result = await runBin(
      ["recoverdata", `--zk_cluster=${sandbox.zkCluster}`, `--zk_root_path=${sandbox.zkRootPath}`],
      { nodeArgs: ["--import", `data:text/javascript,${encodeURIComponent(code)}`] },
    );
    expect(result.code, result.stderr).toBe(1);
    expect(result.stderr).toContain("planted: thrown in a callback");
    expect(result.stderr).not.toMatch(/^\s+at |could not be restored/m);
    expect(await autoFailover(sandbox)).toBe("true");
  });

  test("exit 9 also if the answer of ConfSet itself throws", async () => {
    const { code, stderr } = await recoverWith(/UpdateTableAliveStatus|ConfSet/);
    expect(code, stderr).toBe(9);
    expect(stderr).toMatch(/openmldb-ops restore --zk_cluster=/);
  });
});
