import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

/** Test files that replace modules of `src` or call the program's `main` in their own process. */
const alone = readdirSync("test")
  .map((name) => `test/${name}`)
  .filter((path) => path.endsWith(".test.ts"))
  .filter((path) =>
    /\bvi\.(mock|doMock)\(|"\.\/helpers\/run-main\.js"/.test(readFileSync(path, "utf8")),
  );

export default defineConfig({
  test: {
    // The times only end a test that hangs: no test may depend on the speed of the machine.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 60_000 } },
    // Most tests wait for processes and timers most of the time: two files for each processor keep it busy.
    maxWorkers: 2 * availableParallelism(),
    projects: [
      {
        extends: true,
        test: {
          name: "shared",
          include: ["test/**/*.test.ts"],
          exclude: alone,
          // Starting a process and loading all modules for each file took a tenth of the time of all tests.
          isolate: false,
        },
      },
      { extends: true, test: { name: "alone", include: alone } },
    ],
  },
});
