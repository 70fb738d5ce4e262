import { expect, test } from "vitest";
import {
  adviceText,
  changing,
  doing,
  followed,
  grouped,
  looking,
  NO_ADVICE,
} from "../src/model/advice.js";
import { finish } from "../src/model/work.js";

const RUN = "openmldb-ops recoverdata";

test("a following step is appended to alternatives without a command", () => {
  const ways = [changing("move it with", "openmldb-ops movetablet"), doing("start it", "server")];
  expect(followed(ways, "then run", RUN)).toEqual([
    changing("move it with", "openmldb-ops movetablet"),
    changing("start it, then run", RUN, "server"),
  ]);
  expect(followed([doing("start it", "server")], "then look again")).toEqual([
    doing("start it, then look again", "server"),
  ]);
});

test("the text of an advice lists its alternatives, each with its command after a colon", () => {
  const ways = [
    changing("run", RUN),
    changing("", "openmldb-ops restore"),
    doing("wait", "server"),
  ];
  expect(adviceText(ways)).toBe(`run: ${RUN}; or, openmldb-ops restore; or, wait`);
  expect(adviceText(NO_ADVICE)).toBe("");
});

test("equal advice forms one group, in the order of first occurrence", () => {
  const run = [changing("run", RUN)];
  const look = [looking("look", "openmldb-ops inspect")];
  const all = [
    { pid: 0, next: run },
    { pid: 1, next: look },
    { pid: 2, next: [...run] },
  ];
  const groups = finish(grouped(all, (one) => one.next));
  expect(groups.map(({ advice, of }) => [adviceText(advice), of.map((one) => one.pid)])).toEqual([
    [`run: ${RUN}`, [0, 2]],
    ["look: openmldb-ops inspect", [1]],
  ]);
});
