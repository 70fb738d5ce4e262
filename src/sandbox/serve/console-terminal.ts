import { createInterface, type Interface } from "node:readline";
import { type Readable, Writable } from "node:stream";
import type { Sandbox } from "../start.js";
import { shownServers } from "./console-answers.js";
import { commandNames, runConsoleLine } from "./console-commands.js";
import { answerText, changedServers, serverTable } from "./console-text.js";

const PROMPT = "sandbox> ";

/** An interactive terminal. */
export interface ConsoleTerminal {
  readonly input: Readable;
  readonly hasColor: boolean;
  /** Size now; it may change. */
  readonly columns: number;
  readonly rows: number;
  write(text: string): void;
  /** Writes control sequences; undefined for a terminal without them. */
  readonly control: ((sequence: string) => void) | undefined;
}

/**
 * The interactive console: shows the servers and the command that recovers the sandbox, ready to be
 * pasted into another terminal; then a prompt with history and completion. Answers are text and tables,
 * followed by the servers that the command changed.
 *
 * @param recoverCommand The command that recovers the sandbox from another terminal.
 * @returns A promise that resolves at `quit`, Ctrl-C, Ctrl-D, or when `signal` is aborted.
 */
export function runTerminal(
  sandbox: Sandbox,
  terminal: ConsoleTerminal,
  { recoverCommand, signal }: { readonly recoverCommand: string; readonly signal: AbortSignal },
): Promise<void> {
  terminal.write(introduction(sandbox, terminal.hasColor, recoverCommand));
  const lines = lineEditor(sandbox, terminal);
  let queue = Promise.resolve();
  return new Promise((resolve) => {
    const prompt = () => {
      if (!signal.aborted) lines.prompt();
    };
    let isTyping = true;
    lines.once("close", () => {
      if (isTyping) terminal.write("\n");
      resolve();
    });
    // The editor reads each key, so Ctrl-C raises no signal.
    lines.once("SIGINT", () => lines.close());
    signal.addEventListener("abort", () => lines.close(), { once: true });
    lines.on("line", (line) => {
      if (line.trim() === "quit") {
        isTyping = false;
        void queue.then(() => lines.close());
        return;
      }
      queue = queue.then(async () => {
        if (line.trim() !== "") terminal.write(await answerFor(sandbox, line, terminal));
        prompt();
      });
    });
    prompt();
  });
}

function introduction(sandbox: Sandbox, hasColor: boolean, recoverCommand: string): string {
  return [
    serverTable(shownServers(sandbox.model), hasColor),
    `ZooKeeper ${sandbox.zkCluster}, root path ${sandbox.zkRootPath}`,
    "",
    "In another terminal, after an outage:",
    recoverCommand,
    "",
    'Type "outage" to kill all tablets and start them again,',
    '"help" for all commands, "quit" to end.',
    "",
  ].join("\n");
}

async function answerFor(
  sandbox: Sandbox,
  line: string,
  { hasColor, columns, rows }: ConsoleTerminal,
): Promise<string> {
  const before = shownServers(sandbox.model);
  const answer = await runConsoleLine(sandbox, line);
  const servers = shownServers(sandbox.model);
  const text = answerText(answer, { hasColor, columns, rows, servers });
  const changed = "servers" in answer ? [] : changedServers(before, servers);
  return changed.length === 0 ? text : text + serverTable(changed, hasColor);
}

/** Reads lines with history and completion; plainly on a terminal without control sequences. */
function lineEditor(sandbox: Sandbox, terminal: ConsoleTerminal): Interface {
  const { input, control } = terminal;
  const output = new Writable({
    decodeStrings: false,
    write(chunk: string, _encoding, done) {
      if (control === undefined) terminal.write(chunk);
      else control(chunk);
      done();
    },
  });
  // The editor asks for the width whenever it draws a line.
  Object.defineProperty(output, "columns", { get: () => terminal.columns });
  return createInterface({
    input,
    output,
    terminal: control !== undefined,
    prompt: PROMPT,
    completer: (line: string) => completed(sandbox, line),
  });
}

/** Completions: commands for the first word, servers for later ones. */
function completed(sandbox: Sandbox, line: string): [string[], string] {
  const words = line.trimStart().split(/\s+/);
  const word = words.at(-1) ?? "";
  const known =
    words.length === 1 ? commandNames() : sandbox.model.processes.map(({ name }) => name);
  return [known.filter((name) => name.startsWith(word)).map((name) => `${name} `), word];
}
