import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { Sandbox } from "../start.js";
import { runConsoleLine } from "./console-commands.js";

/**
 * Runs the lines of `input` one after the other and writes one line of JSON for each; empty lines are
 * skipped. The end of the input has no effect.
 *
 * @returns A promise that resolves at the line `quit` or when `signal` is aborted.
 */
export function runConsole(
  sandbox: Sandbox,
  input: Readable,
  write: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const lines = createInterface({ input, terminal: false });
  let queue = Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      lines.close();
      resolve();
    };
    if (signal.aborted) {
      end();
    }
    signal.addEventListener("abort", end, { once: true });
    lines.on("line", (line) => {
      if (line.trim() === "quit") {
        void queue.then(end);
      } else if (line.trim() !== "") {
        queue = queue.then(async () => {
          write(`${JSON.stringify(await runConsoleLine(sandbox, line))}\n`);
        });
      }
    });
  });
}
