import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fittingOnes, shellReplies, typedWords } from "../src/cli/complete-line.js";
import { type Sandbox, startSandbox } from "../src/sandbox/start.js";
import { BIN, runBin } from "./helpers/run-bin.js";
import { closedPort } from "./helpers/tcp.js";
import { startTurnClock } from "./helpers/turn-clock.js";

const BASH_BREAKS = " \t\n\"'@><=;|&(:";

describe("an incomplete command line", () => {
  it.each([
    { line: "x ", words: ["x", ""] },
    { line: "x  a", words: ["x", "a"] },
    { line: "x 'a b' c\\ d", words: ["x", "a b", "c d"] },
    { line: 'x "a\\"b" --db=\'q', words: ["x", 'a"b', "--db=q"] },
    { line: "x '\\n' $(touch z)", words: ["x", "\\n", "$(touch", "z)"] },
    { line: "x a\\", words: ["x", "a"] },
    { line: "x 数\\ 据", words: ["x", "数 据"] },
  ])("$line has the words $words", ({ line, words }) => {
    expect(typedWords(line, BASH_BREAKS).map((word) => word.text)).toEqual(words);
  });

  it.each([
    { typed: "--db=", breaks: BASH_BREAKS, text: "--db=a b", reply: "a\\ b " },
    { typed: "--db=", breaks: "", text: "--db=a b", reply: "--db=a\\ b " },
    { typed: "--at=h:9", breaks: BASH_BREAKS, text: "--at=h:90", reply: "90 " },
    { typed: "--at=h:9", breaks: "", text: "--at=h:90", reply: "--at=h:90 " },
    { typed: "--db='a", breaks: BASH_BREAKS, text: "--db=a $b", reply: "a $b" },
    { typed: '--db="a', breaks: BASH_BREAKS, text: "--db=a b", reply: "a b" },
    { typed: '--db="a', breaks: BASH_BREAKS, text: "--db=a $b", reply: undefined },
    { typed: "--db='a", breaks: BASH_BREAKS, text: "--db=a'b", reply: undefined },
    { typed: "--db=a\\ ", breaks: BASH_BREAKS, text: "--db=a b", reply: "a\\ b " },
    {
      typed: "--db=",
      breaks: BASH_BREAKS,
      text: "--db=$(x);`y`*",
      reply: "\\$\\(x\\)\\;\\`y\\`\\* ",
    },
    { typed: "--db=", breaks: BASH_BREAKS, text: "--db=a\nb", reply: undefined },
    { typed: "--db=", breaks: BASH_BREAKS, text: "--db=\x1b[2J", reply: undefined },
    { typed: "--db=x", breaks: BASH_BREAKS, text: "--db=y", reply: undefined },
  ])("$typed is completed to $text as $reply", ({ typed, breaks, text, reply }) => {
    const word = typedWords(`x ${typed}`, breaks).at(-1)!;
    const replies = shellReplies(word, fittingOnes(word, [{ text, isWhole: true }]));
    expect(replies).toEqual(reply === undefined ? [] : [reply]);
  });
});

describe("in bash", () => {
  const folder = mkdtempSync(join(tmpdir(), "openmldb-ops-completion-"));
  let sandbox: Sandbox;
  let script: string;
  const nasty = 'it\'s "a" $(touch pwned) `touch pwned`; *';

  beforeAll(async () => {
    sandbox = await startSandbox({ tables: 2, partitions: 1, rows: 1, autoFailover: false });
    // ZooKeeper refuses control characters in names, and allows those that turn the direction of text.
    for (const db of [nasty, "turned\u202eround", "zero\u200bwidth", "数据库", "has space"]) {
      sandbox.model.createTable({ db, table: "only here", partitions: 1, replicas: 1 });
    }
    mkdirSync(join(folder, "bin"));
    symlinkSync(BIN, join(folder, "bin", "openmldb-ops"));
    mkdirSync(join(folder, "logs"));
    writeFileSync(join(folder, "lo file"), "");
    script = (await runBin(["completion", "bash"])).stdout;
  });
  afterAll(async () => {
    await sandbox.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The content of COMPREPLY in a real bash when the line is completed at its end. */
  async function replies(
    line: string,
    env: Readonly<Record<string, string>> = {},
  ): Promise<string[]> {
    const driver = `
${script}
COMP_LINE=$1
COMP_POINT=\${#COMP_LINE}
_openmldb_ops openmldb-ops "" ""
for reply in "\${COMPREPLY[@]}"; do printf '%s\\0' "$reply"; done
`;
    const { stdout, stderr, code } = await bash(["-u", "-c", driver, "bash", line], env);
    expect({ stderr, code }).toEqual({ stderr: "", code: 0 });
    return stdout.split("\0").slice(0, -1);
  }

  function bash(
    args: readonly string[],
    env: Readonly<Record<string, string>>,
  ): Promise<{ stdout: string; stderr: string; code: number | null }> {
    return new Promise((resolve, reject) => {
      const child = spawn("bash", ["--norc", ...args], {
        cwd: folder,
        env: { PATH: `${join(folder, "bin")}:${process.env["PATH"]}`, LC_ALL: "C.UTF-8", ...env },
        timeout: 200_000,
      });
      let [stdout, stderr] = ["", ""];
      child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
      child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
      child.on("error", reject);
      child.on("close", (code) => resolve({ stdout, stderr, code }));
    });
  }

  const live = (): Readonly<Record<string, string>> => ({
    OPENMLDB_OPS_ZK_CLUSTER: sandbox.zkCluster,
    OPENMLDB_OPS_ZK_ROOT_PATH: sandbox.zkRootPath,
  });

  /** The same with names of a cluster, repeated: on a busy machine one attempt of 300 ms may not be enough. */
  async function liveReplies(line: string, env = live()): Promise<string[]> {
    let list: string[] = [];
    const ask = async () => {
      list = await replies(line, env);
      return list.length;
    };
    await expect.poll(ask).toBeGreaterThan(0);
    return list;
  }

  it.each([
    { line: "openmldb-ops showtabl", list: ["showtable ", "showtablestatus ", "showtablet "] },
    { line: "openmldb-ops --cmd=showd", list: ["showdb "] },
    { line: "openmldb-ops help showd", list: ["showdb "] },
    { line: "openmldb-ops showdb --zk_c", list: ["--zk_cert=", "--zk_cluster="] },
    { line: "openmldb-ops showdb --zk-c", list: ["--zk-cert=", "--zk-cluster="] },
    { line: "openmldb-ops showdb --zk_cluster=x --zk_c", list: ["--zk_cert="] },
    { line: "openmldb-ops showopstatus --wai", list: ["--wait "] },
    { line: "openmldb-ops showdb --wai", list: [] },
    { line: "openmldb-ops showdb --output=", list: ["json ", "ndjson ", "table ", "wide "] },
    { line: "openmldb-ops showdb --output j", list: ["json "] },
    { line: "openmldb-ops showopstatus --filter=kDone,kF", list: ["kDone,kFailed"] },
    { line: "openmldb-ops confset auto_failover ", list: ["false ", "true "] },
    { line: "openmldb-ops --output json completion ", list: ["bash ", "fish ", "zsh "] },
    { line: "openmldb-ops showdb --log_file=lo", list: ["lo\\ file ", "logs/"] },
    { line: "openmldb-ops showdb $(touch pwned", list: [] },
    { line: "openmldb-ops nonsense --db=", list: [] },
  ])("$line: $list", async ({ line, list }) => {
    expect(await replies(line)).toEqual(list);
    expect(readdirSync(folder).sort()).toEqual(["bin", "lo file", "logs"]);
  });

  it("names come from the live cluster, none is executed, and names that cannot be typed are left out", async () => {
    const dbs = await liveReplies("openmldb-ops showtable --db=");
    expect(dbs).toEqual([
      "INFORMATION_SCHEMA ",
      "__INTERNAL_DB ",
      "__PRE_AGG_DB ",
      "db1 ",
      "has\\ space ",
      'it\\\'s\\ \\"a\\"\\ \\$\\(touch\\ pwned\\)\\ \\`touch\\ pwned\\`\\;\\ \\* ',
      "数据库 ",
    ]);
    const connection = `--zk_cluster=${sandbox.zkCluster} --zk_root_path=${sandbox.zkRootPath}`;
    const line = `openmldb-ops showtable ${connection} --db=db1 --table=t`;
    expect(await liveReplies(line, {})).toEqual(["t0 ", "t1 "]);
    const quoted = await liveReplies("openmldb-ops showtable --db='has space' --table='only");
    expect(quoted).toEqual(["only here"]);
    const ports = await liveReplies("openmldb-ops gettablestatus --endpoint=127.0.0.1:");
    expect(ports.sort()).toEqual(sandbox.tablets.map((one) => `${one.split(":")[1]} `).sort());
    expect(readdirSync(folder).sort()).toEqual(["bin", "lo file", "logs"]);
  });

  it("bash parses a completed line to the name itself", async () => {
    const list = await liveReplies("openmldb-ops showtable --db=it");
    expect(list).toHaveLength(1);
    const echoed = await bash(["-c", `set -f; printf '%s\\n' --db=${list[0]}`], {});
    expect(echoed.stdout).toBe(`--db=${nasty}\n`);
    expect(readdirSync(folder)).not.toContain("pwned");
  });

  it("a cluster that does not answer costs 300 ms and prints nothing", async () => {
    let openMs = 0;
    const silent = createServer((socket) => {
      const since = startTurnClock();
      socket.resume().on("close", () => {
        openMs += since();
      });
    });
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const address = silent.address();
    const port = typeof address === "object" ? address?.port : 0;
    const at = (one: number | undefined) => ({
      OPENMLDB_OPS_ZK_CLUSTER: `127.0.0.1:${one}`,
      OPENMLDB_OPS_ZK_ROOT_PATH: "/openmldb",
    });
    const ask = (env: Readonly<Record<string, string>>) =>
      replies("openmldb-ops showtable --db=", env);
    expect(await ask({ OPENMLDB_OPS_ZK_CLUSTER: "::bad::" })).toEqual([]);
    expect(await ask(at(await closedPort()))).toEqual([]);
    expect(await ask(at(port))).toEqual([]);
    silent.close();
    await once(silent, "close");
    expect(openMs).toBeLessThan(5_000);
  });

  it("zsh gets the same function, through bashcompinit", async () => {
    const zsh = (await runBin(["completion", "zsh"])).stdout;
    const body = (text: string) => text.slice(text.indexOf("_openmldb_ops() {"));
    expect(body(zsh)).toBe(body(script));
    expect(zsh).toMatch(
      /^#[^\n]*\n[^\n]*compinit[^\n]*\nautoload -Uz bashcompinit && bashcompinit\n/,
    );
    const wrong = await runBin(["completion", "csh"]);
    expect(wrong).toMatchObject({ code: 2, stdout: "" });
    expect(wrong.stderr).toContain("not one of bash, zsh, fish");
    expect((await runBin(["completion"])).stderr).toContain("SHELL is missing");
  });

  it("fish gets unquoted words, which it quotes itself", async () => {
    const fish = (await runBin(["completion", "fish"])).stdout;
    expect(fish).toMatch(
      /^complete -c openmldb-ops -f -a '\(command openmldb-ops __complete .* "" fish /m,
    );
    const typed = async (line: string) =>
      (await runBin(["__complete", line, "", "fish"], { env: live() })).stdout;
    expect(await typed("openmldb-ops showtabl")).toBe("showtable\nshowtablestatus\nshowtablet\n");
    expect(await typed("openmldb-ops showdb --zk_c")).toBe("--zk_cert=\n--zk_cluster=\n");
    await expect.poll(() => typed("openmldb-ops showtable --db=has")).toBe("--db=has space\n");
  });
});
