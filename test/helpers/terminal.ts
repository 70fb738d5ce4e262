import { spawn } from "node:child_process";
import { BIN, KILL_MS } from "./run-bin.js";

/** The program of util-linux that gives another program a terminal. */
const TERMINAL = "script";

/** The screen of a terminal after a program has written to it. */
export interface TerminalResult {
  readonly code: number | null;
  /** The whole output, with the echo of the typed lines. */
  readonly shown: string;
}

/**
 * Runs the built program at a real terminal of 80 columns and 24 lines.
 *
 * @param args Words of the command line, or the whole line as a shell gets it.
 * @param typing The texts to type, each once as soon as the output matches.
 * @param environment Variables beside PATH and HOME.
 */
export function runAtTerminal(
  args: readonly string[] | string,
  typing: readonly (readonly [RegExp, string])[],
  environment: NodeJS.ProcessEnv = { TERM: "dumb" },
): Promise<TerminalResult> {
  return new Promise((resolve, reject) => {
    const tool = `'${process.execPath}' '${BIN}'`;
    const words = typeof args === "string" ? args : args.map((word) => `'${word}'`).join(" ");
    const line = `stty cols 80 rows 24; exec ${tool} ${words}`;
    const env = { PATH: process.env["PATH"], HOME: process.env["HOME"], ...environment };
    const child = spawn(TERMINAL, ["-qec", line, "/dev/null"], { env });
    const timer = setTimeout(() => child.kill("SIGKILL"), KILL_MS);
    const steps = [...typing];
    let shown = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      shown += text;
      if (steps[0]?.[0].test(shown)) child.stdin.write(steps.shift()?.[1] ?? "");
    });
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve({ code, shown });
    });
  });
}
