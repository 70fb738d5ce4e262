import * as zod from "zod";
import { DECISIONS_HEAD, DECISIONS_LINE } from "../../src/commands/decisions-file.js";
import { PLAN_BODY } from "../../src/commands/plan-schema.js";
import { event, history, journalLine, logLine } from "./events.js";
import { count, head } from "./parts.js";
import { report, runEnded } from "./report.js";
import {
  config,
  confSet,
  failure,
  inspect,
  operation,
  recovery,
  restore,
  sandboxAnswer,
  sandboxReady,
  verify,
} from "./results.js";
import {
  confGet,
  getFollower,
  getTableStatus,
  showDb,
  showNs,
  showOpStatus,
  showTable,
  showTableStatus,
  showTablet,
} from "./show.js";

/** One kind of document that this tool writes. */
export interface Described {
  readonly schema: zod.ZodType;
  /** The title of the schema. */
  readonly title: string;
  /** Whether the schema transforms the document, as its reader in the tool does. */
  readonly isReading?: true;
}

/** Every kind of JSON that this tool writes, by the name of its file in `schemas`. */
export const SCHEMAS: Readonly<Record<string, Described>> = {
  recoverdata: { schema: recovery, title: "result of recoverdata and recovertable" },
  operation: { schema: operation, title: "result of a command that carries out planned actions" },
  inspect: { schema: inspect, title: "result of inspect" },
  verify: { schema: verify, title: "result of verify" },
  history: { schema: history, title: "result of history" },
  confget: { schema: confGet, title: "result of confget" },
  confset: { schema: confSet, title: "result of confset" },
  restore: { schema: restore, title: "result of restore" },
  config: { schema: config, title: "result of config show" },
  showns: { schema: showNs, title: "result of showns" },
  showtablet: { schema: showTablet, title: "result of showtablet" },
  showdb: { schema: showDb, title: "result of showdb" },
  showtable: { schema: showTable, title: "result of showtable" },
  showtablestatus: { schema: showTableStatus, title: "result of showtablestatus" },
  showopstatus: { schema: showOpStatus, title: "result of showopstatus" },
  gettablestatus: { schema: getTableStatus, title: "result of gettablestatus" },
  getfollower: { schema: getFollower, title: "result of getfollower" },
  error: { schema: failure, title: "result of any command that ended with an error" },
  "dry-run": {
    schema: zod.object({
      ...head,
      dryRun: zod.literal(true),
      size: zod.record(zod.string(), count).optional(),
      plan: PLAN_BODY.schema(zod),
    }),
    title: "result of --dry_run of a command with a plan",
    isReading: true,
  },
  plan: {
    schema: PLAN_BODY.schema(zod),
    title: "plan: what --plan_out writes and --apply reads",
    isReading: true,
  },
  decisions: {
    schema: zod.union([DECISIONS_HEAD.schema(zod), DECISIONS_LINE.schema(zod)]),
    title:
      "line of what --decisions_out writes and --decisions reads: the first one, then one for each partition",
    isReading: true,
  },
  event: { schema: event, title: "event of a run: a line of --output=ndjson" },
  log: { schema: logLine, title: "line of a log: what --log_file appends" },
  journal: { schema: journalLine, title: "line of a journal" },
  report: { schema: report, title: "report: what --report=FILE.json writes" },
  "run-ended": { schema: runEnded, title: "what the command of --post_hook gets on stdin" },
  sandbox: { schema: sandboxReady, title: "what sandbox --output=json prints when it is ready" },
  "sandbox-answer": { schema: sandboxAnswer, title: "answer of the sandbox's console to one line" },
};
