import { z } from "zod";
import { type Described, SCHEMAS } from "../schemas/all.js";

/** Commands whose results have the schema of another command. */
const SAME_AS: Readonly<Record<string, string>> = { recovertable: "recoverdata" };

/** Commands that carry out a plan of actions. */
const OPERATIONS = [
  "addreplica",
  "cancelop",
  "changeleader",
  "deleteop",
  "delreplica",
  "loadtable",
  "migrate",
  "movetablet",
  "offlineendpoint",
  "post-upgrade",
  "pre-upgrade",
  "recoverendpoint",
  "scalein",
  "scaleout",
  "updatetablealive",
];

/** The kind of a document that a command printed; undefined if it has no schema. */
export function kindOf(command: string | undefined, document: object): string | undefined {
  if ("error" in document && !("actions" in document)) return "error";
  if ("plan" in document) return "dry-run";
  const name = "command" in document ? String(document.command) : (command ?? "");
  if (OPERATIONS.includes(name)) return "operation";
  const kind = SAME_AS[name] ?? name;
  return kind in SCHEMAS ? kind : undefined;
}

/**
 * Checks the output of a command with `--output=json` against its schema.
 *
 * @throws Error that names the difference and its place in the output.
 */
export function checkOutput(args: readonly string[], stdout: string): void {
  const command = args.find((arg) => /^(--cmd=)?[a-z]+(-upgrade)?$/.test(arg));
  const name = command?.replace("--cmd=", "");
  for (const document of documentsIn(stdout)) {
    const kind = kindOf(name, document);
    if (kind === undefined) continue;
    const { schema } = SCHEMAS[kind] as Described;
    const checked = schema.safeParse(document);
    if (checked.success) continue;
    throw new Error(`${name} does not fit schemas/${kind}: ${z.prettifyError(checked.error)}`);
  }
}

/** One document, or one on each line; nothing if it was cut off. */
export function documentsIn(stdout: string): object[] {
  const whole = objectIn(stdout);
  if (whole !== undefined) return [whole];
  return stdout.split("\n").flatMap((line) => objectIn(line) ?? []);
}

function objectIn(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
