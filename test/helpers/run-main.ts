import type { EventEmitter } from "node:events";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, vi } from "vitest";
import { main } from "../../src/cli.js";
import { checkOutput } from "./check-output.js";
import { rawIn } from "./hostile-text.js";
import { STATE_HOME } from "./run-bin.js";

/** The result of a command line. */
export interface MainResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The events to which the program adds listeners that stay until its process ends. */
const ADDED: readonly (readonly [EventEmitter, string])[] = [
  [process.stdout, "error"],
  [process.stderr, "error"],
  [process, "uncaughtException"],
];

/**
 * Runs a command line in this process, as the program does, and returns its output. The test file must not use `process.exit`:
 * the program itself may call it a second later.
 *
 * @param environment Variables beside those of this process.
 */
export async function runMain(
  argv: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<MainResult> {
  let [stdout, stderr] = ["", ""];
  const kept = (add: (text: string) => void) => (text: unknown, done?: unknown) => {
    add(String(text));
    if (typeof done === "function") done();
    return true;
  };
  vi.spyOn(process, "exit").mockImplementation((() => undefined) as never);
  vi.stubEnv("OPENMLDB_OPS_COLUMNS", undefined);
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  const spies = [
    vi.spyOn(process.stdout, "write").mockImplementation(
      kept((text) => {
        stdout += text;
      }) as never,
    ),
    vi.spyOn(process.stderr, "write").mockImplementation(
      kept((text) => {
        stderr += text;
      }) as never,
    ),
  ];
  const listeners = ADDED.map(([emitter, event]) => ({
    ...{ emitter, event, before: emitter.listeners(event) },
  }));
  try {
    return { code: await main(argv), stdout, stderr };
  } finally {
    for (const spy of spies) spy.mockRestore();
    for (const { emitter, event, before } of listeners) {
      for (const one of emitter.listeners(event)) {
        if (!before.includes(one)) emitter.off(event, one as never);
      }
    }
    vi.unstubAllEnvs();
  }
}

let previous: Promise<unknown> = Promise.resolve();

/**
 * Runs a command line as `runBin` does, but in this process, which takes a fifth of the processor time. Several run one
 * after another. It is for what commands answer and do; starts, signals and ends of the program need processes.
 *
 * @throws Error if it printed JSON that does not fit its schema.
 */
export function runHere(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<MainResult> {
  const run = previous.then(async () => {
    const result = await runMain(args, { XDG_STATE_HOME: STATE_HOME, ...environment });
    if (args.includes("--output=json")) checkOutput(args, result.stdout);
    return result;
  });
  previous = run.catch(() => undefined);
  return run;
}

/** Checks that the output of a run has no raw control characters, and that its text lines are readable. */
export function expectClean(argv: readonly string[], { stdout, stderr }: MainResult): void {
  const what = argv.map((word) => word.slice(0, 60)).join(" ");
  expect(rawIn(stdout), `stdout of ${what}`).toBeUndefined();
  expect(rawIn(stderr), `stderr of ${what}`).toBeUndefined();
  expect(stdout + stderr, what).not.toMatch(/\[object |native code|this is a bug/);
}

/** Every file below a folder, with its content. */
export function filesIn(folder: string): { readonly path: string; readonly content: string }[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile())
    .map((path) => ({ path, content: readFileSync(path, "utf8") }));
}
