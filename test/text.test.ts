import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { table } from "../src/util/table.js";
import { allowsColor, jsonText, paint, safe, shellWord } from "../src/util/text.js";
import { textWidth } from "../src/util/width.js";
import "./helpers/fixed-cases.js";

/** Characters that no line may contain. The pattern is separate from that of the code. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are the subject.
const DANGEROUS = /[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/;

describe("safe", () => {
  it.each([
    ["db1.t1", "db1.t1"],
    ["数据库 é", "数据库 é"],
    ["a\nb", "a\\nb"],
    ["a\r\tb", "a\\r\\tb"],
    ["\x1b[2Jboo", "\\x1b[2Jboo"],
    ["\x9b31mred", "\\x9b31mred"],
    ["abc\u202etxt.exe", "abc\\u202etxt.exe"],
    ["zero\u200bwidth", "zero\\u200bwidth"],
    ["tag\u{e0041}", "tag\\u{e0041}"],
    ["half\ud800", "half\\ud800"],
  ])("%j is shown as %j", (given, shown) => {
    expect(safe(given)).toBe(shown);
  });

  it("leaves nothing unsafe, and is idempotent", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const shown = safe(text);
        expect(shown).not.toMatch(DANGEROUS);
        expect(safe(shown)).toBe(shown);
      }),
    );
  });
});

describe("jsonText", () => {
  it("is safe for a terminal and has the same meaning", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme-composite" }),
        fc.string({ unit: "binary" }),
        (a, b) => {
          const text = jsonText({ a, b }, 2);
          expect(text.replaceAll("\n", "")).not.toMatch(DANGEROUS);
          expect(JSON.parse(text)).toEqual({ a, b });
        },
      ),
    );
  });

  it("writes 64-bit numbers without losing digits", () => {
    expect(jsonText({ offset: 2n ** 64n - 1n })).toBe('{"offset":"18446744073709551615"}');
  });
});

describe("table", () => {
  const columns = [
    { title: "name" },
    { title: "offset", align: "right" as const },
    { title: "why" },
  ];

  it("aligns columns by what a terminal shows", () => {
    const text = table(columns, [
      ["t1", "7", "ok"],
      ["数据", "1234567", ""],
      ["e\u0301", "12"],
    ]);
    expect(text).toBe(
      ["name   offset  why", "t1          7  ok", "数据  1234567", "e\u0301          12", ""].join(
        "\n",
      ),
    );
  });

  it("writes one line for each row, whatever the names", () => {
    const text = table(columns, [["a\nb", "\x1b[31m1", "x\u2028y"]]);
    expect(text.split("\n")).toHaveLength(3);
    expect(text).toContain("a\\nb");
    expect(text).not.toContain("\x1b");
  });

  it("colours cells only if allowed, without moving columns", () => {
    const rows = [[{ text: "down", color: "bad" as const }, "1", "x"]];
    const plain = table(columns, rows);
    const colored = table(columns, rows, true);
    expect(colored).toContain("\x1b[31mdown\x1b[0m");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are taken off.
    expect(colored.replaceAll(/\x1b\[\d+m/g, "")).toBe(plain);
  });
});

describe("textWidth", () => {
  it.each([
    ["", 0],
    ["abc", 3],
    ["数据", 4],
    ["한글", 4],
    ["ｆｕｌｌ", 8],
    ["e\u0301", 1],
    ["😀", 2],
  ])("of %j is %i", (text, width) => {
    expect(textWidth(text)).toBe(width);
  });
});

describe("colours", () => {
  it.each([
    { environment: {}, isTerminal: true, isOff: false, allowed: true },
    { environment: {}, isTerminal: false, isOff: false, allowed: false },
    { environment: { NO_COLOR: "1" }, isTerminal: true, isOff: false, allowed: false },
    { environment: { NO_COLOR: "" }, isTerminal: true, isOff: false, allowed: true },
    { environment: { TERM: "dumb" }, isTerminal: true, isOff: false, allowed: false },
    {
      environment: { FORCE_COLOR: "1", NO_COLOR: "1" },
      isTerminal: false,
      isOff: false,
      allowed: true,
    },
    { environment: { FORCE_COLOR: "0" }, isTerminal: true, isOff: false, allowed: false },
    { environment: { FORCE_COLOR: "1" }, isTerminal: true, isOff: true, allowed: false },
  ])(
    "$environment, terminal $isTerminal, --no_color $isOff: $allowed",
    ({ allowed, ...options }) => {
      expect(allowsColor(options)).toBe(allowed);
    },
  );

  it("are left out if they are off", () => {
    expect(paint("x", "good", false)).toBe("x");
    expect(paint("x", "good", true)).toBe("\x1b[32mx\x1b[0m");
  });
});

describe("a word of a printed command", () => {
  const ODD = "x'\"\n\x1b[2J\u202e,\t é数据 $(id) \\ `";

  test.each(["db1", "--table=a b", "it's", ODD, `--table=${ODD}`, "$HOME", ""])(
    "%j is read back by a shell unchanged, and is safe",
    (word) => {
      const shown = shellWord(word);
      expect(safe(shown)).toBe(shown);
      const back = execFileSync("bash", ["-c", `printf %s ${shown}`], {
        encoding: "utf8",
        env: { ...process.env, LC_ALL: "C.UTF-8" },
      });
      expect(back).toBe(word);
    },
  );
});
