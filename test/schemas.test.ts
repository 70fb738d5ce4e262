import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { COMMANDS } from "../src/cli/command-table.js";
import { runConsoleLine } from "../src/sandbox/serve/console-commands.js";
import { type Sandbox, startSandbox } from "../src/sandbox/start.js";
import { itemOf } from "../src/util/quick-check.js";
import { checkOutput, documentsIn, kindOf } from "./helpers/check-output.js";
import { runBin } from "./helpers/run-bin.js";
import { runHere } from "./helpers/run-main.js";
import { noticedGone } from "./helpers/sandbox.js";
import { SCHEMAS } from "./schemas/all.js";
import { inspect } from "./schemas/results.js";

const folder = fileURLToPath(new URL("../schemas/", import.meta.url));
const kinds = Object.keys(SCHEMAS);

/**
 * The JSON schema of a document. It contains the items of long lists, which zod checks separately.
 */
function jsonSchemaOf(schema: z.ZodType): z.core.JSONSchema.BaseSchema {
  return z.toJSONSchema(schema, {
    io: "input",
    override({ zodSchema, jsonSchema }) {
      const item = itemOf(zodSchema);
      if (item === undefined) return;
      const { $schema: _, ...items } = jsonSchemaOf(item);
      jsonSchema.items = items;
    },
  });
}

describe("schemas in the package", () => {
  test.each(kinds)("%s is up to date with its definition", async (kind) => {
    const { schema, title } = SCHEMAS[kind]!;
    // Readers must allow further fields, which later versions may add.
    const generated = { title, ...jsonSchemaOf(schema) };
    await expect(`${JSON.stringify(generated, null, 2)}\n`).toMatchFileSnapshot(
      join(folder, `${kind}.schema.json`),
    );
  });

  test("are exactly those listed in their README", () => {
    const listed = readFileSync(join(folder, "README.md"), "utf8");
    const files = kinds.map((kind) => `${kind}.schema.json`).sort();
    expect(readdirSync(folder).sort()).toEqual(["README.md", ...files].sort());
    expect(files.filter((file) => !listed.includes(`](${file})`))).toEqual([]);
  });
});

/** Every document that the runs below wrote, by kind. */
const seen = new Map<string, object[]>();
let sandbox: Sandbox;
let scratch: string;

function note(kind: string, documents: readonly object[]): void {
  seen.set(kind, [...(seen.get(kind) ?? []), ...documents]);
}

async function ops(...words: string[]): Promise<void> {
  const where = [`--zk_cluster=${sandbox.zkCluster}`, `--zk_root_path=${sandbox.zkRootPath}`];
  const { stdout, stderr } = await runHere([...words, ...where]);
  const documents = documentsIn(stdout);
  expect(documents.length, stderr).toBeGreaterThan(0);
  for (const document of documents) {
    const { kind, ...rest } = document as { readonly kind?: string };
    if (kind !== undefined && kind !== "result") note("event", [document]);
    else note(kindOf(words[0], rest) ?? "without a schema", [rest]);
  }
}

/** The sandbox's JSON output when it is ready, and the JSON output of its console. */
async function noteSandbox(): Promise<void> {
  const { code, stdout } = await runBin(["sandbox", "--tables=0", "--output=json"], {
    stdio: "pipe",
    onStart: (child) => child.stdin?.end("quit\n"),
  });
  expect(code).toBe(0);
  note("sandbox", documentsIn(stdout));
  for (const line of ["show", "help", "rows", "put 1", "healthy", "kill tablet9", "blip 1"]) {
    const answer = JSON.stringify(await runConsoleLine(sandbox, line));
    note("sandbox-answer", documentsIn(answer));
  }
}

beforeAll(async () => {
  sandbox = await startSandbox({ tables: 2, partitions: 2, replicas: 2, rows: 9, speed: 60 });
  scratch = mkdtempSync(join(tmpdir(), "openmldb-ops-schemas-"));
});
afterAll(async () => {
  await sandbox.stop();
  rmSync(scratch, { recursive: true, force: true });
});

describe("the output of the commands", () => {
  test("while the cluster is healthy", async () => {
    const endpoint = `--endpoint=${sandbox.tablets[0]}`;
    const json = "--output=json";
    for (const command of ["showns", "showtablet", "showdb", "showtable", "showtablestatus"]) {
      await ops(command, json);
    }
    await ops("confget", json, `--log_file=${join(scratch, "log.jsonl")}`);
    note("log", documentsIn(readFileSync(join(scratch, "log.jsonl"), "utf8")));
    await ops("config", "show", json);
    await noteSandbox();
    await ops("inspect", json);
    await ops("verify", json, `--post_hook=cat > '${join(scratch, "run-ended.json")}'`);
    await ops("verify", json, "--deep", `--state_dir=${scratch}`);
    await ops("gettablestatus", json, endpoint);
    await ops("showtable", json, "--no_such_flag");
    await ops("confset", json, "auto_failover", "false", "--dry_run");
    await ops("confset", json, "auto_failover", "false", `--state_dir=${scratch}`);
    await ops("restore", json, `--state_dir=${scratch}`);
    note("run-ended", documentsIn(readFileSync(join(scratch, "run-ended.json"), "utf8")));
  });

  test("in an outage and after it", async () => {
    const json = "--output=json";
    const state = `--state_dir=${scratch}`;
    await sandbox.outage({ withNameservers: false });
    const path = join(scratch, "report.json");
    await ops("inspect", json, `--report=${path}`);
    note("report", documentsIn(readFileSync(path, "utf8")));
    const plan = join(scratch, "plan.json");
    await ops("recoverdata", json, "--dry_run", `--plan_out=${plan}`);
    note("plan", documentsIn(readFileSync(plan, "utf8")));
    await ops("recoverdata", "--output=ndjson", state);
    await ops("changeleader", json, "--dry_run", "--table=t0", "--pid=0", "--candidate=auto");
    const inspected = inspect.parse(seen.get("inspect")?.at(-1));
    const { tid, pid } = inspected.partitions.find((one) => one.table === "t0")!;
    for (const tablet of sandbox.tablets) {
      await ops("getfollower", json, `--endpoint=${tablet}`, `--tid=${tid}`, `--pid=${pid}`);
    }
    await ops("changeleader", json, state, "--table=t0", "--pid=0", "--candidate=auto");
    await ops("showopstatus", json);
    await ops("history", json, state);
    const runs = readdirSync(join(scratch, "runs"));
    for (const name of runs) {
      await ops("history", json, state, `--id=${name.replace(/\.jsonl$/, "")}`);
      note("journal", documentsIn(readFileSync(join(scratch, "runs", name), "utf8")));
    }
  });

  test("with open decisions", async () => {
    const table = sandbox.model.rows().find(({ pid }) => pid === 0);
    await sandbox.outage({ withNameservers: false });
    const led = table?.replicas.find(({ role }) => role === "leader")?.endpoint ?? "tablet1";
    sandbox.model.kill(led);
    await noticedGone(sandbox, led);
    // A tablet that is gone for less than 15 s may be restarting, and nothing is to be decided.
    await sandbox.model.clock.sleep(20_000);
    const path = join(scratch, "decisions.jsonl");
    await ops("recoverdata", "--output=json", `--state_dir=${scratch}`, `--decisions_out=${path}`);
    note("decisions", documentsIn(readFileSync(path, "utf8")));
    await ops("movetablet", "--output=json", `--from=${sandbox.tablets[0]}`, "--to=127.0.0.1:1");
  });

  test.each(kinds)(
    "%s was written, fits its schema, and has no field that is not in it",
    (kind) => {
      const documents = seen.get(kind) ?? [];
      expect(documents.length).toBeGreaterThan(0);
      const { schema, isReading } = SCHEMAS[kind]!;
      if (isReading === true) {
        for (const one of documents) expect(schema.safeParse(one).error).toBeUndefined();
        return;
      }
      // Fields that the schema does not name are left out by parsing.
      expect(documents.map((one) => schema.parse(one))).toEqual(documents);
    },
  );

  test("every command has a schema, and every output has one", () => {
    const results = COMMANDS.map(({ name }) => name).filter((name) => name !== "completion");
    expect(results.filter((name) => kindOf(name, {}) === undefined)).toEqual([]);
    expect(seen.get("without a schema")).toBeUndefined();
  });

  test("invalid output fails every test that requests JSON", () => {
    const good = JSON.stringify({ schemaVersion: 1, conf: { auto_failover: "true" } });
    expect(() => checkOutput(["confget", "--output=json"], good)).not.toThrow();
    const bad = JSON.stringify({ schemaVersion: 1, conf: { auto_failover: true } });
    expect(() => checkOutput(["confget", "--output=json"], bad)).toThrow(
      /schemas\/confget.*conf\.auto_failover/s,
    );
  });
});
