import { jsonText } from "../util/text.js";
import type { ProcessIo } from "./process-io.js";

/** The streams of a process with `--output=ndjson`, whose stdout has one JSON object a line. */
export interface StreamIo extends ProcessIo {
  /** Writes an event of the run, an object with a `kind`. */
  event(record: object): void;
}

/**
 * Converts the JSON documents of a command to NDJSON: each document becomes one line with `"kind":"result"`, which
 * distinguishes it from events.
 */
export function streamIo(io: ProcessIo): StreamIo {
  let lines: string[] = [];
  let rest = "";
  let hasResult = false;
  const take = (line: string): string => {
    lines.push(line);
    const isWhole = line === "}" || (lines.length === 1 && line.endsWith("}"));
    if (!isWhole) return "";
    const document = lines.join("\n");
    lines = [];
    hasResult = true;
    return resultLine(document);
  };
  const converted = (text: string): string => {
    const parts = `${rest}${text}`.split("\n");
    rest = parts.pop() ?? "";
    return parts.map(take).join("");
  };
  const print = (text: string) => {
    const made = converted(text);
    return made === "" ? Promise.resolve() : io.print(made);
  };
  return {
    ...io,
    print,
    out: (text) => void print(text),
    event: (record) => io.out(`${jsonText(record)}\n`),
    hasWritten: () => hasResult,
  };
}

/** A document as the line of a result; unchanged if it is not valid JSON. */
function resultLine(document: string): string {
  try {
    return `${jsonText({ kind: "result", ...(JSON.parse(document) as object) })}\n`;
  } catch {
    return `${document}\n`;
  }
}
