import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { NameServer } from "../src/gen/openmldb/nameserver_pb.js";
import { runConsoleLine } from "../src/sandbox/serve/console-commands.js";
import { runTerminal } from "../src/sandbox/serve/console-terminal.js";
import type { SandboxOptions } from "../src/sandbox/start.js";
import { callSandbox, sandboxForTest } from "./helpers/sandbox.js";
import { runAtTerminal } from "./helpers/terminal.js";

const RECOVER = "openmldb-ops --cmd=recoverdata --zk_cluster=127.0.0.1:1 --zk_root_path=/openmldb";

/**
 * A console at a terminal; `type` types a text, and `shown` is everything that the terminal showed.
 */
async function consoleForTest(options: SandboxOptions, size = { columns: 80, rows: 24 }) {
  const sandbox = await sandboxForTest({ partitions: 2, rows: 10, speed: 40, ...options });
  const input = new PassThrough();
  const stop = new AbortController();
  const screen = { shown: "" };
  const write = (text: string) => {
    screen.shown += text;
  };
  const terminal = { ...size, input, hasColor: false, write, control: undefined };
  const ended = runTerminal(sandbox, terminal, { recoverCommand: RECOVER, signal: stop.signal });
  const type = async (line: string): Promise<string> => {
    const { length } = screen.shown;
    input.write(`${line}\n`);
    await expect.poll(() => screen.shown.slice(length)).toMatch(/sandbox> $/);
    return screen.shown.slice(length).replace(/sandbox> $/, "");
  };
  return { sandbox, screen, type, ended, input, stop };
}

test("the terminal shows the servers, and the command that recovers them, ready to paste", async () => {
  const { sandbox, screen } = await consoleForTest({});
  for (const process of sandbox.model.processes) {
    expect(screen.shown).toMatch(new RegExp(`^${process.name} +${process.address} `, "m"));
  }
  expect(screen.shown.split("\n")).toContain(RECOVER);
});

test("names are shown with addresses, and each command shows the servers that it changed", async () => {
  const { sandbox, type } = await consoleForTest({});
  const [first = ""] = sandbox.tablets;
  expect(await type("kill tablet1")).toMatch(
    new RegExp(`^done\nname +address +state +loaded +on disk\ntablet1 +${first} +down +0 +\\d+\n$`),
  );
  expect(await type("healthy")).toContain(`${first} (tablet1)`);
  expect(await type("rows")).toMatch(/^db1\.t0:\d +127\.0\.0\.1:\d+ \(tablet[23]\) +10 +10 +0$/m);
  expect(await type("kil tablet1")).toBe(
    'unknown command "kil" (did you mean kill?); "help" lists the commands\n',
  );
  expect(await type("resume tablet9")).toBe("the sandbox has no process tablet9\n");
});

test("tables that do not fit the screen are summed up, refused rows are reported once", async () => {
  const { type } = await consoleForTest({ tables: 2, partitions: 20 });
  expect(await type("rows")).toMatch(/^db1\.t1 +of 20 of 20 partitions +200 +200 +0$/m);
  expect(await type("outage")).toMatch(/^tablet3 +\S+ +up +0 +\d+$/m);
  expect(await type("put 1")).toMatch(
    /^0 rows were accepted\nrefused by .* and 39 more partitions: /,
  );
});

test("the help fits 80 columns and has every command", async () => {
  const { sandbox, type } = await consoleForTest({});
  const help = await type("help");
  expect(help.split("\n").filter((line) => line.length > 79)).toEqual([]);
  const { commands } = (await runConsoleLine(sandbox, "help")) as { commands: string[] };
  for (const line of commands) expect(help).toContain(line.slice(0, line.indexOf(": ")));
});

test.each([false, true])(
  "add tablet: one more tablet is registered (named: %s)",
  async (serverNames) => {
    const { sandbox, type } = await consoleForTest({ serverNames });
    expect(await type("add tablet")).toMatch(/^tablet4 started\n.*\ntablet4 .* up +0 +0\n$/);
    const process = sandbox.model.process("tablet4");
    expect(process.endpoint).toBe(serverNames ? "tablet-4" : process.address);
    const leader = sandbox.addressOf(sandbox.model.leader?.endpoint ?? "");
    const shown = async () => (await callSandbox(leader, NameServer.method.showTablet, {})).tablets;
    await expect
      .poll(async () => (await shown()).map(({ endpoint, state }) => `${endpoint} ${state}`))
      .toContain(`${process.endpoint} kHealthy`);
  },
);

test.each(["quit", "the end of the input", "a signal"])("ends at %s", async (how) => {
  const { ended, input, stop, screen } = await consoleForTest({ partitions: 1 });
  if (how === "quit") input.write("quit\n");
  else if (how === "a signal") stop.abort();
  else input.end();
  await ended;
  expect(screen.shown).toMatch(how === "quit" ? /sandbox> $/ : /sandbox> \n$/);
});

test("on a real terminal there is a prompt, and Ctrl-C ends it with exit code 0", async () => {
  const { code, shown } = await runAtTerminal(
    ["sandbox", "--tables=1", "--speed=50"],
    [
      [/sandbox> /, "show\r"],
      [/nameserver2.*nameserver2.*sandbox> /s, "\x03"],
    ],
    { TERM: "xterm" },
  );
  expect(shown).toMatch(/openmldb-ops --cmd=recoverdata --zk_cluster=127\.0\.0\.1:\d+ /);
  expect(code).toBe(0);
});
