import type { GlobalFlags } from "../cli/common-specs.js";
import { EXIT } from "../exit-codes.js";
import { table } from "../util/table.js";
import { jsonText } from "../util/text.js";
import type { CommandIo } from "./command.js";

const SCHEMA_VERSION = 1;

/** The effective value of one connection flag, and its source. */
export interface ConfigRow {
  readonly name: string;
  /** Null if there is no value; `set` for a secret. */
  readonly value: string | null;
  /** `--flag`, `OPENMLDB_OPS_NAME`, file and field, or `default`. */
  readonly source: string;
}

/** The input of `config show`. */
export interface ConfigFlags extends Pick<GlobalFlags, "output"> {
  readonly rows: readonly ConfigRow[];
}

/** Shows the effective connection settings and their sources. Does not connect. @returns 0. */
export function run({ rows, output }: ConfigFlags, io: CommandIo): Promise<number> {
  if (output === "json") {
    const head = { schemaVersion: SCHEMA_VERSION, command: "config", exitCode: EXIT.ok };
    io.stdout.write(`${jsonText({ ...head, settings: rows }, 2)}\n`);
    return Promise.resolve(EXIT.ok);
  }
  const titles = ["setting", "value", "source"].map((title) => ({ title }));
  const cells = rows.map(({ name, value, source }) => [name, value ?? "-", source]);
  io.stdout.write(table(titles, cells, io.hasColor));
  return Promise.resolve(EXIT.ok);
}
