import { expect, test } from "vitest";
import { errorDocument, errorText } from "../src/cli/show-error.js";
import { OpsError } from "../src/errors.js";

const systemError = (code: string) =>
  Object.assign(new Error(`${code}: refused, open '/x'`), { code, syscall: "open" });

test.each([
  [
    systemError("EMFILE"),
    "EMFILE: refused, open '/x' (allow a process more open files: ulimit -n)",
  ],
  [
    systemError("ENOSPC"),
    "ENOSPC: refused, open '/x' (the disk is full: make room, then run it again)",
  ],
  [new OpsError({ code: "refused", message: "no" }), "no"],
])("%s is told with what to do", (error, text) => {
  expect(errorText(error)).toBe(text);
});

test("an error that is not expected is called a bug, on the screen and in JSON", () => {
  const error = new TypeError("x is undefined");
  expect(errorText(error)).toContain("this is a bug");
  expect(JSON.parse(errorDocument(error, 1)).error.code).toBe("unexpected");
});
