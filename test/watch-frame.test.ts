import { describe, expect, test } from "vitest";
import { frameLines } from "../src/show/frame.js";
import { columns, shownText } from "../src/show/shown.js";
import { fitColumns } from "../src/util/table.js";
import { paint, printable } from "../src/util/text.js";
import { shortened, textWidth } from "../src/util/width.js";

const ROWS = Array.from({ length: 6 }, (_, index) => [
  "demo_db",
  "orders_of_the_last_twelve_months",
  String(index),
  "tablet-with-a-long-name-1.example:10921",
  "123456789",
  "4.0 KiB",
]);
const SHOWN = {
  columns: columns("db", "name", ">pid", "endpoint", ">offset", "?>memused"),
  rows: ROWS,
  empty: "none",
  json: {},
};

function textAt(width: number, rows = Number.POSITIVE_INFINITY): string {
  return [...shownText(SHOWN, { hasColor: false, columns: width, rows })].join("");
}

describe("a table on a terminal", () => {
  test.each([200, 100, 60, 30])("of %i columns fits", async (width) => {
    const text = textAt(width);
    expect(Math.max(...text.split("\n").map(textWidth))).toBeLessThanOrEqual(width);
    await expect(text).toMatchFileSnapshot(`golden/table-${width}.txt`);
  });

  test("repeats its titles on each screenful of lines", () => {
    const lines = textAt(200, 4).trimEnd().split("\n");
    const titles = lines.flatMap((line, index) => (line.startsWith("db ") ? [index] : []));
    expect(titles).toEqual([0, 3, 6]);
    expect(lines).toHaveLength(ROWS.length + titles.length);
  });

  test("keeps numbers whole and its first column", () => {
    const narrow = fitColumns([{}, { align: "right" }, {}], [40, 20, 40], 1);
    expect(narrow).toEqual([12, undefined, undefined]);
    expect(fitColumns([{}, { align: "right" }], [40, 20], 34)).toEqual([12, 20]);
  });

  test("shortens text in the middle, by terminal columns", () => {
    expect(shortened("172.24.4.55:10921", 12)).toBe("172.2...0921");
    expect(shortened("表的名字很长很长", 9)).toBe("表...长");
    expect(shortened("abc", 2)).toBe("..");
  });
});

describe("an output of --watch", () => {
  const screen = { hasColor: false, columns: 30, rows: 8 };
  const before = ["id  state    age", "1   running  3m20s", "2   waiting  4s"];
  const now = ["id  state    age", "1   done     3m22s", "2   waiting  6s"];

  test("cuts a coloured line, and the end of the colour reaches the terminal", () => {
    for (const color of ["good", "bad", "doubtful", "faint"] as const) {
      const lines = [paint("x".repeat(60), color, true)];
      const [, shown = ""] = frameLines({ lines, before: undefined, stamp: "" }, screen);
      expect(printable(shown)).toBe(shown);
      expect(shown).toBe(`  ${paint("x".repeat(28), color, true)}`);
    }
  });

  test("marks changes, but not changed durations", () => {
    const look = { lines: now, before, stamp: "== now" };
    expect(frameLines(look, screen)).toEqual([
      "== now, 1 changed (*)",
      "  id  state    age",
      "* 1   done     3m22s",
      "  2   waiting  6s",
    ]);
    const first = frameLines({ ...look, before: undefined }, screen);
    expect(first.filter((line) => line.startsWith("*"))).toEqual([]);
    expect(frameLines({ ...look, lines: before }, screen)[0]).toBe("== now, no change");
  });

  test("fits the rows and columns, colours included, and keeps the last line", () => {
    const lines = Array.from(
      { length: 40 },
      (_, index) => `\x1b[31m${index} ${"x".repeat(50)}\x1b[0m`,
    );
    const frame = frameLines({ lines, before: [], stamp: "== now" }, { ...screen, hasColor: true });
    expect(frame).toHaveLength(screen.rows - 1);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are the subject.
    const plain = frame.map((line) => line.replaceAll(/\x1b\[\d+m/g, ""));
    expect(Math.max(...plain.map(textWidth))).toBe(screen.columns);
    expect(plain.at(-1)).toMatch(/^\* 39 x+$/);
    expect(plain.at(-2)).toBe("  ... 35 more lines");
  });
});
