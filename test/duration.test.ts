import { expect, test } from "vitest";
import { ageCell, ageText, durationText } from "../src/model/duration.js";

test.each([
  [0, "0 s"],
  [-5, "0 s"],
  [Number.NaN, "0 s"],
  [0.4, "0 ms"],
  [78.16445099999999, "78 ms"],
  [999.6, "1 s"],
  [1_234, "1.2 s"],
  [10_000, "10 s"],
  [99_999, "100 s"],
  [119_940, "119.9 s"],
  [120_000, "2 min"],
  [200_900, "3 min 20 s"],
  [3_605_000, "1 h"],
  [7_500_000, "2 h 5 min"],
  [190_800_000, "2 d 5 h"],
])("a duration of %s ms is %s", (ms, text) => {
  expect(durationText(ms)).toBe(text);
});

test.each([
  [-5n, "0s"],
  [71_147n, "71s"],
  [200_000n, "3m20s"],
  [3_605_000n, "1h"],
  [190_800_000n, "2d5h"],
])("an age of %s ms is %s in a table", (ms, text) => {
  expect(ageCell(ms)).toBe(text);
});

test.each([
  [0n, "0 s"],
  [-5n, "0 s"],
  [999, "0 s"],
  [119_999, "119 s"],
  [120_000n, "2 min"],
  [2n ** 64n - 1n, "213503982334 d 14 h"],
])("an age of %s ms is %s", (ms, text) => {
  expect(ageText(ms)).toBe(text);
});
