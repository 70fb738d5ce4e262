import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { extname } from "node:path";
import { commandText } from "../cli/printed-command.js";
import { messageOf } from "../errors.js";
import { redactArgs, redactFlags } from "../journal/redact.js";
import { buildReport, type ReportParts } from "../report/build.js";
import type { Parameter, ReportDocument, RunFacts } from "../report/document.js";
import { type PageAssets, reportHtml } from "../report/html.js";
import { reportMarkdown } from "../report/markdown.js";
import { processIdentity } from "../util/process-identity.js";
import { replaceFile } from "../util/replace-file.js";
import { jsonText, safe } from "../util/text.js";
import type { CommandIo } from "./command.js";

/** The parts of a report that this file fills in. */
type Known = "run" | "parameters" | "beganMs";

/** The parts of a report that a command supplies. */
export interface ReportInput extends Omit<ReportParts, Known> {
  readonly beganMs: number;
  readonly endedMs: number | null;
  readonly run: Pick<RunFacts, "id" | "cluster" | "nameserver" | "calls" | "changes"> &
    Partial<Pick<RunFacts, "host" | "user" | "version" | "commandLine">>;
  /** The flags of the run; those of this process if left out. */
  readonly ranWith?: object | undefined;
}

/**
 * Makes the report of a run of this process, or of a past run.
 *
 * @param flags The flags of this process; secrets in them are left out of the report.
 */
export function makeReport(flags: object, input: ReportInput): ReportDocument {
  // Convert to plain data, as a reader of the JSON file gets it.
  return JSON.parse(jsonText(buildReport(partsOf(input, flags)))) as ReportDocument;
}

/** Writes a report in the format of the file's extension: `.html`, `.md`, else JSON. An error is only logged. */
export function writeReport(
  path: string,
  report: ReportDocument,
  io: Pick<CommandIo, "log">,
): void {
  try {
    replaceFile(path, formatted(report, path));
    io.log.info(`the report is in ${safe(path)}`);
  } catch (error) {
    io.log.error(`the report could not be written to ${safe(path)}: ${messageOf(error)}`);
  }
}

function formatted(report: ReportDocument, path: string): string {
  switch (extname(path)) {
    case ".html":
      return reportHtml(report, reportAssets());
    case ".md":
      return reportMarkdown(report);
    default:
      return `${jsonText(report, 2)}\n`;
  }
}

const STYLES = ["colors", "page", "parts", "media"];

/** Reads the style sheets and the script of HTML reports from the package. */
export function reportAssets(): PageAssets {
  const read = (name: string) =>
    readFileSync(new URL(`../../assets/report/${name}`, import.meta.url), "utf8");
  return {
    css: STYLES.map((name) => read(`${name}.css`)).join("\n"),
    script: read("script.js"),
    sha256: (text) => createHash("sha256").update(text, "utf8").digest("base64"),
  };
}

function partsOf(
  { beganMs, endedMs, run, ranWith, ...rest }: ReportInput,
  flags: object,
): ReportParts {
  const { timeZone } = new Intl.DateTimeFormat().resolvedOptions();
  return {
    ...rest,
    beganMs,
    run: {
      began: new Date(beganMs).toISOString(),
      ended: endedMs === null ? null : new Date(endedMs).toISOString(),
      tookMs: endedMs === null ? null : Math.max(0, endedMs - beganMs),
      timeZone,
      // The Swedish locale formats times as ISO 8601.
      beganLocal: new Date(beganMs).toLocaleString("sv-SE"),
      ...ownFacts(),
      ...run,
    },
    parameters: parametersOf(ranWith ?? redactFlags(flags)),
  };
}

function ownFacts(): Pick<RunFacts, "host" | "user" | "version" | "commandLine"> {
  const { host, user, version } = processIdentity();
  const words = redactArgs(process.argv.slice(2));
  return { host, user, version, commandLine: commandText(words) };
}

/** The flags with a value, sorted by name. */
function parametersOf(flags: object): Parameter[] {
  return Object.entries(flags)
    .flatMap(([name, value]: [string, unknown]) => {
      const isNone = value === undefined || value === null || value === "";
      if (isNone || (Array.isArray(value) && value.length === 0)) return [];
      return [{ name, value: typeof value === "string" ? value : jsonText(value) }];
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
