import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { COMMANDS } from "../src/cli/command-table.js";
import { pidList } from "../src/cli/flag-values.js";
import { errorText } from "../src/cli/show-error.js";
import { OpsError } from "../src/errors.js";
import { cpuTimer } from "./helpers/cpu-time.js";
import { flagsOf } from "./helpers/flags-of.js";
import { runBin } from "./helpers/run-bin.js";
import "./helpers/fixed-cases.js";

/** The length of a long argument, in bytes: about the limit of the kernel for one argument. */
const LONG = 120_000;
/** The limit of processor time for any command line up to 120 kB; checking one takes milliseconds. */
const LIMIT_MS = 10_000;

/** The error of a command line; undefined if it is valid. */
function errorOf(argv: readonly string[]): string | undefined {
  try {
    flagsOf(argv, {});
    return undefined;
  } catch (error) {
    if (error instanceof OpsError && error.code === "usage") return errorText(error);
    // Help, version and an empty command line are valid, but no commands.
    if (error instanceof Error && error.message.startsWith("no command but ")) return undefined;
    throw error;
  }
}

/** Names of inherited object properties. */
const INHERITED = Object.getOwnPropertyNames(Object.prototype);

describe("any command line", () => {
  const names = COMMANDS.map((one) => one.name);
  const flags = [...new Set(COMMANDS.flatMap((one) => one.specs.map((spec) => spec.name)))];
  const piece = fc.oneof(
    fc.constantFrom(...names, ...INHERITED, "help", "-h", "-V", "--", "-", "--cmd", "*", ""),
    fc.constantFrom(...flags, ...INHERITED).map((name) => `--${name}`),
    fc
      .tuple(fc.constantFrom(...flags, ...INHERITED), fc.string({ unit: "binary", maxLength: 20 }))
      .map(([name, value]) => `--${name}=${value}`),
    fc.string({ unit: "binary", maxLength: 20 }),
    fc
      .tuple(fc.constantFrom("A", "--a", "-", "0-9,", "\u202e", "--=", "/", "'"), fc.nat(LONG))
      .map(([text, length]) => text.repeat(Math.ceil(length / text.length)).slice(0, length)),
  );

  it("is valid, or gets one line that is safe and readable on a terminal", () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (argv) => {
        const text = errorOf(argv);
        if (text === undefined) return;
        expect(text).not.toMatch(/[\n\u202e]|native code|\[object/);
        expect(text.length).toBeLessThan(5_000);
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    { what: "an unknown flag of 120 kB", argv: [`--${"A".repeat(LONG)}=1`] },
    { what: "an unknown command of 120 kB", argv: ["A".repeat(LONG)] },
    { what: "30,000 flags", argv: ["inspect", ...Array(30_000).fill("--db")] },
    {
      what: "30,000 flags of as many names",
      argv: Array.from({ length: 20_000 }, (_, i) => `--a${i}`),
    },
    { what: "60,000 words", argv: ["showtable", ...Array(60_000).fill("a")] },
    {
      what: "17,000 ranges of partitions",
      argv: ["recovertable", "t0", Array(17_000).fill("0-99999").join(",")],
    },
    {
      what: "60,000 servers",
      argv: ["showns", `--zk_cluster=${Array(60_000).fill("a").join(",")}`],
    },
    {
      what: "a path of 120 kB",
      argv: ["showns", "--zk_cluster=a", `--zk_root_path=${"/a".repeat(LONG / 2)}`],
    },
    { what: "a --cmd of 60,000 words", argv: [`--cmd=${"a ".repeat(LONG / 2)}`] },
    {
      what: "30,000 op ids",
      argv: ["showopstatus", `--op_id=${Array(30_000).fill("1").join(",")}`],
    },
  ])("with $what is checked at once", ({ argv }) => {
    const spentMs = cpuTimer();
    errorOf(argv);
    expect(spentMs()).toBeLessThan(LIMIT_MS);
  });

  it("of 120 kB ends the process in time, with a readable line", async () => {
    const { code, stderr } = await runBin([`--${"A".repeat(LONG)}=1`]);
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^openmldb-ops: unknown flag --A{200}\.\.\. \(120000 characters\) [^\n]*\n$/,
    );
  });
});

describe("names of inherited object properties", () => {
  const zk = ["--zk_cluster=h:1", "--zk_root_path=/x"];

  it.each(INHERITED)("%s is treated as an ordinary word", (name) => {
    expect(errorOf([name])).toContain(`unknown command "${name}"`);
    expect(errorOf([`--${name}=1`])).toContain("unknown flag");
    expect(errorOf(["showtable", `--${name}`])).toContain("unknown flag");
    expect(flagsOf(["showtable", name, ...zk])).toMatchObject({ table: name });
    expect(flagsOf(["showtable", "--table", name, ...zk])).toMatchObject({ table: name });
    expect(errorOf(["inspect", `--output=${name}`, ...zk])).toContain(
      "not one of table, wide, json",
    );
    expect(errorOf(["inspect", `--watch=1${name}`, ...zk])).toContain("not a time");
  });
});

it("many ranges of partitions are processed once each", () => {
  const text = Array(3_000).fill("0-999999").join(",");
  expect(pidList(text, "--pid")).toHaveLength(1_000_000);
});
