import { resolve } from "node:path";
import { isLoss, type Loss, lossFlagValue } from "../model/loss.js";
import type { PartitionRef } from "../model/partition-name.js";
import { partitionName } from "../model/partition-view.js";
import { pidText } from "../model/step.js";
import type { PrintCommand, ToolCommand } from "../model/tool-command.js";
import { shellWord } from "../util/text.js";
import { type CommonFlags, commonSpecs } from "./common-specs.js";
import { flagDuration } from "./flag-values.js";
import type { FlagSpec } from "./spec.js";

/** The name of the tool's executable. */
export const TOOL = "openmldb-ops";

/** Printed instead of a command with the character NUL, which an argument of a process cannot contain. */
const UNPRINTABLE = `(${TOOL} cannot get this command from a shell: a name contains the character NUL)`;

/** The value of a flag of {@link ToolCommand}. */
type FlagValue =
  | string
  | number
  | bigint
  | boolean
  | undefined
  | readonly string[]
  | readonly number[]
  | readonly (PartitionRef | Loss)[];

/**
 * The command and its flags as unquoted arguments. Flag and value form one argument (`--flag=value`), because the
 * value can begin with a dash.
 */
export function commandWords(command: ToolCommand): string[] {
  const { cmd, ...flags } = command;
  if (command.cmd === "confset") return [cmd, command.key, command.value];
  if (command.cmd === "confget") return [cmd, command.key];
  return [
    // The spelling of OpenMLDB's own manual.
    cmd === "recoverdata" ? `--cmd=${cmd}` : cmd,
    ...Object.entries<FlagValue>(flags).flatMap(([name, value]) => flagWord(name, value)),
  ];
}

function flagWord(name: string, value: FlagValue): string[] {
  if (value === undefined || value === false) return [];
  if (value === true) return [`--${name}`];
  if (typeof value !== "object")
    return [`--${name}=${name === "pid" && value === "all" ? "*" : value}`];
  if (value.length === 0) return [];
  const items = value.map((item) => (typeof item === "object" ? itemText(item) : item));
  const isPids = items.every((item) => typeof item === "number");
  return [`--${name}=${isPids ? pidText(items) : items.join(",")}`];
}

function itemText(item: PartitionRef | Loss): string {
  return isLoss(item) ? lossFlagValue(item) : partitionName(item);
}

/**
 * Returns the function that formats all printed commands: quoted for the shell (bash, zsh), with the connection flags
 * of this run. Secrets are left out; they come from the environment or from files.
 */
export function commandPrinter(flags: CommonFlags): PrintCommand {
  const connection = connectionWords(flags);
  return (command) => commandText([...commandWords(command), ...connection]);
}

/** Formats a command line from the arguments after the tool's name. */
export function commandText(args: readonly string[]): string {
  if (args.some((arg) => arg.includes("\0"))) return UNPRINTABLE;
  return [TOOL, ...args].map(shellWord).join(" ");
}

/**
 * The connection flags of this run that differ from the defaults. Paths are made absolute, because the command may be
 * run in another folder.
 */
function connectionWords(flags: CommonFlags): string[] {
  const { zkCert, zkAuthSchema, user, password, maxAnswerBytes } = flags;
  const { zkTimeoutMs, zkSessionTimeoutMs, rpcTimeoutMs, nsConcurrency } = commonSpecs;
  return [
    ...(flags.cluster === undefined ? [] : [`--cluster=${flags.cluster}`]),
    ...(flags.config === undefined ? [] : [`--config=${resolve(flags.config)}`]),
    `--zk_cluster=${flags.zkCluster.join(",")}`,
    `--zk_root_path=${flags.zkRootPath}`,
    ...(zkCert === undefined ? [] : [`--zk_auth_schema=${zkAuthSchema}`]),
    ...(user === undefined ? [] : [`--user=${user}`]),
    ...(password.file === undefined ? [] : [`--password_file=${resolve(password.file)}`]),
    ...other(zkTimeoutMs, flags.zkTimeoutMs, flagDuration),
    ...other(zkSessionTimeoutMs, flags.zkSessionTimeoutMs, flagDuration),
    ...other(rpcTimeoutMs, flags.rpcTimeoutMs, flagDuration),
    ...other(commonSpecs.maxAnswerBytes, maxAnswerBytes, (bytes) => `${Math.round(bytes / 1024)}K`),
    ...other(nsConcurrency, flags.nsConcurrency, String),
  ];
}

/** The flag, unless its value is the default. */
function other<T>({ name, absent }: FlagSpec<T>, value: T, text: (value: T) => string): string[] {
  return "value" in absent && absent.value === value ? [] : [`--${name}=${text(value)}`];
}
