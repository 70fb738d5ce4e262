import { describe, expect, it, test } from "vitest";
import { errorDocument, errorText } from "../src/cli/show-error.js";
import { runPostHook } from "../src/commands/post-hook.js";
import { OpsError } from "../src/errors.js";
import { clipped, jsonText, paint, printable, safe } from "../src/util/text.js";
import { runNode } from "./helpers/run-bin.js";

/** The hostile parts of names, messages and paths. */
const HOSTILE = "\x1b[2J\x1b]0;t\x07\x9b1A\r\u202e\u2066\u200b\u2028\ufeff\u{e0041}\ud800\x08";
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are the subject.
const RAW = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/;

describe("the output filter of the terminal", () => {
  it("passes lines and this tool's own colours, and escapes all other control characters", () => {
    const text = `${paint("down", "bad", true)} ${HOSTILE}\n数据\n`;
    const shown = printable(text);
    expect(shown.replaceAll("\x1b[31m", "").replaceAll("\x1b[0m", "")).not.toMatch(RAW);
    expect(shown).toContain("\x1b[31mdown\x1b[0m");
    expect(shown).toContain("\\u202e");
    expect(shown).toMatch(/\n数据\n$/);
    expect(printable(shown)).toBe(shown);
    expect(printable("\x1b[5mblink\x1b[31")).toBe("\\x1b[5mblink\\x1b[31");
  });

  it("changes nothing of a JSON document", () => {
    const text = `${jsonText({ name: HOSTILE, list: ["数据", 1n] }, 2)}\n`;
    expect(printable(text)).toBe(text);
    expect(JSON.parse(printable(text))).toEqual({ name: HOSTILE, list: ["数据", "1"] });
  });

  it("covers all output of the process: results, notes, errors, in one piece and in many", async () => {
    const module = JSON.stringify(new URL("../dist/cli/process-io.js", import.meta.url).href);
    const script = `
      const { guardProcessIo } = await import(${module});
      const io = guardProcessIo();
      const hostile = ${JSON.stringify(HOSTILE)};
      io.out("out " + hostile + "\\n");
      await io.print("print " + hostile + "\\n");
      io.err("err " + hostile + "\\n");
      io.err("long " + "x".repeat(750_000) + "\\nend\\n");
      io.control("stdout", "\\x1b[H");
    `;
    const { stdout, stderr } = await runNode(["--input-type=module", "--eval", script]);
    expect(stdout).toBe(`out ${safe(HOSTILE)}\nprint ${safe(HOSTILE)}\n\x1b[H`);
    const [first = "", long = "", last = ""] = stderr.split("\n");
    expect(first).toBe(`err ${safe(HOSTILE)}`);
    expect(long).toMatch(/^long x{19995}\.\.\. \(750005 characters\)$/);
    expect(last).toBe("end");
  });
});

test("a hook that cannot be started is reported, without further effect", async () => {
  const messages: string[] = [];
  const say = (text: string) => messages.push(text);
  const log = { error: say, warn: say, info: say, debug: say, record: say };
  const signal = new AbortController().signal;
  const facts = { document: "{}", variables: {} };
  await runPostHook(`: ${"x".repeat(3_000_000)}`, facts, { stderr: { write: say }, log, signal });
  expect(messages).toEqual([expect.stringMatching(/^--post_hook: .*E2BIG/)]);
});

describe("an error with text from outside", () => {
  const error = new OpsError({
    code: "refused",
    message: `no ${HOSTILE}${"y".repeat(750_000)}`,
    hint: `see ${HOSTILE}`,
    details: [HOSTILE],
  });

  it("is one line of limited length, hint included", () => {
    const text = errorText(error);
    expect(text).not.toMatch(RAW);
    expect(text).not.toContain("\n");
    expect(text.length).toBeLessThan(5_000);
    expect(text).toMatch(/characters\) \(see /);
  });

  it("is a document that is safe for a terminal", () => {
    const document = errorDocument(error, 4);
    expect(document.trimEnd()).not.toMatch(RAW);
    expect(JSON.parse(document).error.hint).toBe(`see ${HOSTILE}`);
  });

  it("long names in it are cut in place, so the rest stays readable", () => {
    const { message } = new OpsError({
      code: "rejected",
      message: `LoadTable at ${"e".repeat(100_000)} was refused: it is ${"t".repeat(300)}`,
    });
    expect(message).toBe(
      `LoadTable at ${"e".repeat(100)}... (100000 characters) was refused: it is ${"t".repeat(300)}`,
    );
  });

  it("shows its length if it is cut", () => {
    expect(clipped("abc", 3)).toBe("abc");
    expect(clipped("abcd", 3)).toBe("abc... (4 characters)");
  });
});
