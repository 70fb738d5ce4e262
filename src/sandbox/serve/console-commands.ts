import { messageOf } from "../../errors.js";
import { nearest } from "../../util/nearest.js";
import type { ZooKeeperCopy } from "../model/model-absence.js";
import type { Sandbox } from "../start.js";
import { type ConsoleAnswer, rowsAnswer, shownServers } from "./console-answers.js";

// biome-ignore lint/suspicious/noConfusingVoidType: a command that returns nothing has the answer DONE.
type Result = ConsoleAnswer | void;

interface Command {
  /** Names of the arguments, for the help; a name in brackets is optional. */
  readonly usage: string;
  readonly help: string;
  run(sandbox: Sandbox, args: readonly string[]): Result | Promise<Result>;
}

const DONE: ConsoleAnswer = { ok: true };

/** The copies of `old-record copy`, by sandbox. */
const copies = new WeakMap<Sandbox, ZooKeeperCopy>();

/** NAME is `tablet1`, `nameserver2` and so on, or an endpoint. */
const COMMANDS: Readonly<Record<string, Command>> = {
  show: {
    usage: "",
    help: "list the servers with their addresses",
    run: (sandbox) => ({ servers: shownServers(sandbox.model) }),
  },
  kill: {
    usage: "NAME",
    help: "kill a tablet or nameserver at once",
    run(sandbox, [name]) {
      sandbox.model.kill(given(name, "NAME"));
      return sandbox.settled();
    },
  },
  restart: {
    usage: "NAME",
    help: "start a killed process again; a tablet registers when its old session is over",
    run: (sandbox, [name]) => sandbox.restart(given(name, "NAME")),
  },
  hang: {
    usage: "NAME",
    help: "make a process accept calls and never answer them",
    run: (sandbox, [name]) => sandbox.model.hang(given(name, "NAME")),
  },
  resume: {
    usage: "NAME",
    help: "end hang",
    run: (sandbox, [name]) => sandbox.model.resume(given(name, "NAME")),
  },
  wipe: {
    usage: "TABLET",
    help: "put an empty disk into a killed tablet",
    run: (sandbox, [name]) => sandbox.model.wipe(given(name, "TABLET")),
  },
  outage: {
    usage: "[with-ns]",
    help: "kill all tablets (and nameservers) and start them again; answers when all are registered",
    async run(sandbox, [what]) {
      if (what !== undefined && what !== "with-ns") {
        throw new TypeError(`"${what}" is not with-ns`);
      }
      await sandbox.outage({ withNameservers: what !== undefined });
    },
  },
  move: {
    usage: "TABLET",
    help: "start a tablet again under another address, with its disk",
    async run(sandbox, [name]) {
      return { ok: true, address: await sandbox.move(given(name, "TABLET")) };
    },
  },
  add: {
    usage: "tablet",
    help: "start one more tablet, with an empty disk",
    async run(sandbox, [what]) {
      if (what !== "tablet") throw new TypeError(`"${what ?? ""}" is not tablet`);
      return { ok: true, ...(await sandbox.addTablet()) };
    },
  },
  foreign: {
    usage: "TABLET",
    help: "let a tablet of another cluster answer at that tablet's address, until a restart",
    run(sandbox, [name]) {
      sandbox.model.putForeignTablet(given(name, "TABLET"));
      return sandbox.settled();
    },
  },
  "leave-nodes": {
    usage: "NAME",
    help: "kill a tablet or nameserver whose nodes then stay in ZooKeeper",
    run(sandbox, [name]) {
      sandbox.model.kill(given(name, "NAME"), { leavesNodes: true });
      return sandbox.settled();
    },
  },
  "end-session": {
    usage: "NAME",
    help: "remove the nodes of a killed tablet or nameserver at once",
    run(sandbox, [name]) {
      sandbox.model.endSession(given(name, "NAME"));
      return sandbox.settled();
    },
  },
  "old-record": {
    usage: "copy|restore",
    help: "copy the znodes, or restore the last copy (kill the nameservers first)",
    async run(sandbox, [what]) {
      if (what === "copy") {
        copies.set(sandbox, sandbox.model.copyZooKeeper());
        return;
      }
      const copy = copies.get(sandbox);
      if (what !== "restore") throw new TypeError(`"${what ?? ""}" is neither copy nor restore`);
      if (copy === undefined) throw new Error("there is no copy yet");
      sandbox.model.restoreZooKeeper(copy);
      await sandbox.settled();
    },
  },
  "step-clock": {
    usage: "NAMESERVER SECONDS",
    help: "set a nameserver's clock forward by so many seconds, or back with a minus",
    run(sandbox, [name, seconds]) {
      const text = given(seconds, "SECONDS");
      const ms = numberOf(text.replace(/^-/, ""), "SECONDS") * 1000;
      sandbox.model.stepClock(given(name, "NAMESERVER"), text.startsWith("-") ? -ms : ms);
    },
  },
  blip: {
    usage: "MS",
    help: "drop all calls for so many milliseconds",
    run: (sandbox, [ms]) => sandbox.model.blip(numberOf(ms, "MS")),
  },
  put: {
    usage: "N",
    help: "put N rows into every partition of the user tables",
    run(sandbox, [rows]) {
      const results = sandbox.model.put(numberOf(rows, "number of rows"));
      return {
        accepted: results.reduce((sum, result) => sum + result.accepted, 0),
        refused: results.filter((result) => result.refused !== undefined),
      };
    },
  },
  rows: {
    usage: "",
    help: "count the rows of the user tables",
    run: (sandbox) => rowsAnswer(sandbox.model.rows()),
  },
  cut: {
    usage: "TABLET DB.TABLE PID N",
    help: "cut the last N entries off the binlog of a killed tablet",
    run(sandbox, [name, table, pid, entries]) {
      const id = partitionOf(table, pid);
      sandbox.model.cutBinlog(given(name, "TABLET"), id, numberOf(entries, "number of entries"));
    },
  },
  "plant-row": {
    usage: "TABLET DB.TABLE PID N lost|other|doubled",
    help: "make entry N of a loaded replica differ from the others where no offset shows it",
    run(sandbox, [name, table, pid, entry, how]) {
      if (how !== "lost" && how !== "other" && how !== "doubled") {
        throw new TypeError(`"${how ?? ""}" is none of lost, other, doubled`);
      }
      const at = { tablet: given(name, "TABLET"), ...partitionOf(table, pid) };
      sandbox.model.plantRow(at, BigInt(numberOf(entry, "N")), how);
    },
  },
  expire: {
    usage: "TABLET DB.TABLE PID N",
    help: "let the first N rows of a loaded replica expire there, and nowhere else",
    run(sandbox, [name, table, pid, entries]) {
      const at = { tablet: given(name, "TABLET"), ...partitionOf(table, pid) };
      sandbox.model.expireRows(at, BigInt(numberOf(entries, "N")));
    },
  },
  "fail-op": {
    usage: "TASK [N]",
    help: "make the next N (1) tasks of that type fail, such as kDelReplica",
    run: (sandbox, [task, times]) =>
      sandbox.model.failOp(given(task, "TASK"), times === undefined ? 1 : numberOf(times, "N")),
  },
  "fail-load": {
    usage: "TABLET [N]",
    help: "make the next N (1) loads on that tablet fail",
    run: (sandbox, [name, times]) =>
      sandbox.model.failLoad(given(name, "TABLET"), times === undefined ? 1 : numberOf(times, "N")),
  },
  "slow-load": {
    usage: "TABLET MS",
    help: "make every load on that tablet take MS milliseconds longer",
    run: (sandbox, [name, ms]) => sandbox.model.slowLoad(given(name, "TABLET"), numberOf(ms, "MS")),
  },
  healthy: {
    usage: "",
    help: "check the whole cluster and list all faults",
    run(sandbox) {
      const complaints = sandbox.model.healthy();
      return { healthy: complaints.length === 0, complaints };
    },
  },
  help: {
    usage: "",
    help: "list the commands",
    run: () => ({
      commands: [
        ...Object.entries(COMMANDS).map(([name, { usage, help }]) =>
          `${name} ${usage}`.trimEnd().concat(`: ${help}`),
        ),
        "quit: stop the sandbox",
      ],
    }),
  },
};

/** All commands, `quit` included. */
export function commandNames(): string[] {
  return [...Object.keys(COMMANDS), "quit"];
}

/**
 * Runs one line of the console.
 *
 * @returns The answer; `{"error": ...}` for an invalid or failed command.
 */
export async function runConsoleLine(sandbox: Sandbox, line: string): Promise<ConsoleAnswer> {
  const [name = "", ...args] = line.trim().split(/\s+/);
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    const near = nearest(name, commandNames());
    const question = near === undefined ? "" : ` (did you mean ${near}?)`;
    return { error: `unknown command "${name}"${question}; "help" lists the commands` };
  }
  const wanted = command.usage === "" ? 0 : command.usage.split(" ").length;
  const usage = `usage: ${name} ${command.usage}`.trimEnd();
  if (args.length > wanted) {
    return { error: `too many words; ${usage}` };
  }
  try {
    return (await command.run(sandbox, args)) ?? DONE;
  } catch (error) {
    return {
      error: error instanceof TypeError ? `${messageOf(error)}; ${usage}` : messageOf(error),
    };
  }
}

/** The partition that `DB.TABLE` and `PID` name. */
function partitionOf(
  table: string | undefined,
  pid: string | undefined,
): { readonly db: string; readonly table: string; readonly pid: number } {
  const [db = "", ...rest] = (table ?? "").split(".");
  return { db, table: rest.join("."), pid: numberOf(pid, "PID") };
}

function given(text: string | undefined, what: string): string {
  if (text === undefined) {
    throw new TypeError(`${what} is missing`);
  }
  return text;
}

function numberOf(text: string | undefined, what: string): number {
  if (!/^\d{1,9}$/.test(given(text, what))) {
    throw new TypeError(`${what} is "${text}", which is no number`);
  }
  return Number(text);
}
