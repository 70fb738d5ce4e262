import { expect, test } from "vitest";
import { createLiveArea } from "../src/cli/live-area.js";
import { type Narrowing, terminal } from "./helpers/terminal-screen.js";

const BOTH: readonly Narrowing[] = ["wraps", "cuts"];

/** A terminal with a live area on it, and a log above. */
function screen(columns: number, rows: number, narrowing: Narrowing) {
  const tty = terminal(columns, rows, narrowing);
  const area = createLiveArea({ write: tty.write, size: tty.size });
  const log = (text: string) => area.around(text, () => tty.write(text));
  return { tty, area, log };
}

/** Lines of the full width of the terminal, with a number that changes. */
function block(count: number, value: number) {
  return ({ columns, rows }: { readonly columns: number; readonly rows: number }) =>
    Array.from({ length: Math.min(count, rows) }, (_, index) =>
      `line ${index} is at ${value} ${"x".repeat(100)}`.slice(0, columns - 1),
    );
}

test.each(BOTH)(
  "a terminal that %s: the block is drawn in place, below the log lines",
  (narrowing) => {
    const { tty, area, log } = screen(40, 12, narrowing);
    log("begins\n");
    area.show(block(2, 1));
    const drawn = (value: number) => block(2, value)({ columns: 40, rows: 9 });
    expect(tty.text()).toEqual(["begins", "", ...drawn(1)]);
    for (let value = 2; value < 50; value += 1) area.show(block(2, value));
    log("a warning\n");
    log("in two ");
    expect(tty.text()).toEqual(["begins", "a warning", "in two"]);
    log("pieces\n");
    expect(tty.text()).toEqual(["begins", "a warning", "in two pieces", "", ...drawn(49)]);
    area.show(undefined);
    log("ends\n");
    expect(tty.text()).toEqual(["begins", "a warning", "in two pieces", "ends"]);
  },
);

test.each(BOTH)("a terminal that %s: a change of its size leaves no remains", (narrowing) => {
  const { tty, area, log } = screen(80, 24, narrowing);
  log("begins\n");
  area.show(block(4, 0));
  const sizes = [
    [60, 24],
    [200, 50],
    [50, 20],
    [80, 10],
    [41, 24],
    [120, 8],
    [30, 24],
    [80, 24],
  ] as const;
  for (const [index, [columns, rows]] of sizes.entries()) {
    tty.resize(columns, rows);
    area.show(block(4, index + 1));
    const wanted = block(4, index + 1)({ columns, rows: rows - 2 });
    expect(tty.text(), `at ${columns}x${rows}`).toEqual(["begins", "", ...wanted]);
  }
  area.show(undefined);
  expect(tty.text()).toEqual(["begins"]);
});

test("a screen that is too low has no block, and lines stay separate if the screen shrinks", () => {
  const { tty, area, log } = screen(80, 2, "wraps");
  log("begins\n");
  area.show(block(2, 1));
  expect(tty.text()).toEqual(["begins"]);
  tty.resize(80, 24);
  // The process gets the event for the new width only after it has drawn.
  area.show(({ rows }) => {
    tty.resize(20, rows);
    return ["a".repeat(60), "b"];
  });
  expect(tty.text()).toEqual(["begins", "", "a".repeat(20), "b"]);
  area.show(undefined);
  expect(tty.text()).toEqual(["begins"]);
});

test("while a question is asked there is no block, and after the answer there is one again", () => {
  const { tty, area, log } = screen(80, 24, "wraps");
  area.show(block(2, 1));
  area.show(undefined);
  log("Continue? [y/N] ");
  area.show(undefined);
  tty.write("y\n");
  area.show(block(1, 2));
  expect(tty.text()).toEqual(["Continue? [y/N] y", "", ...block(1, 2)({ columns: 80, rows: 9 })]);
});
