import type { Command, CommandIo } from "../commands/command.js";
import { OpsError } from "../errors.js";
import type {
  CommonFlags,
  GlobalFlags,
  HistoryFlags,
  RecoverDataFlags,
  SandboxFlags,
} from "../flags.js";
import { safe } from "../text.js";
import { type CommandLine, type Environment, readFlags } from "./flag-parse.js";
import {
  confGetSpecs,
  confSetSpecs,
  historySpecs,
  inspectSpecs,
  recoverDataSpecs,
  restoreSpecs,
  sandboxSpecs,
} from "./flag-specs.js";
import type { FlagSpec, SpecsFor } from "./spec-makers.js";

/** A command line that was found right, ready to run. */
export interface Prepared {
  readonly flags: GlobalFlags;
  /** Texts that must not reach a log. */
  readonly secrets: readonly string[];
  /** What is about to happen, said before anything slow. */
  readonly announcement: string;
  run(io: CommandIo): Promise<number>;
}

/** One command: what help tells of it, and how it is run. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** Command lines without `openmldb-ops`. */
  readonly examples: readonly string[];
  readonly specs: readonly FlagSpec<unknown>[];
  /**
   * Judges a command line. Loads nothing and reaches nothing but files that the flags name.
   *
   * @throws OpsError `usage`.
   */
  prepare(line: CommandLine, environment: Environment): Prepared;
}

interface CommandParts<F extends GlobalFlags> {
  readonly name: string;
  readonly summary: string;
  readonly examples: readonly string[];
  readonly specs: SpecsFor<F>;
  readonly secrets?: (flags: F) => readonly string[];
  readonly announcement: (flags: F) => string;
  /** Judges the flags together; throws OpsError `usage`. */
  readonly check?: (flags: F) => void;
  readonly load: () => Promise<Command<F>>;
}

function entryOf<F extends GlobalFlags>(parts: CommandParts<F>): CommandEntry {
  const { name, summary, examples } = parts;
  return {
    name,
    summary,
    examples,
    specs: Object.values<FlagSpec<unknown>>(parts.specs),
    prepare(line, environment) {
      const flags = readFlags(parts.specs, line, environment);
      parts.check?.(flags);
      return {
        flags,
        secrets: parts.secrets?.(flags) ?? [],
        announcement: parts.announcement(flags),
        run: async (io) => (await parts.load()).run(flags, io),
      };
    },
  };
}

const cluster = "--zk_cluster=127.0.0.1:2181 --zk_root_path=/openmldb";

function connecting(flags: CommonFlags): string {
  return `connecting to ZooKeeper ${flags.zkCluster.join(",")} (root path ${safe(flags.zkRootPath)}) ...`;
}

function secretsOf(flags: CommonFlags): string[] {
  return [...certTexts(flags), flags.password];
}

function certTexts({ zkCert = "" }: Pick<CommonFlags, "zkCert">): string[] {
  return [zkCert, zkCert.slice(zkCert.indexOf(":") + 1)];
}

function checkUser(flags: CommonFlags): void {
  if (flags.password === "" || flags.user !== undefined) return;
  throw new OpsError({
    code: "usage",
    message: "there is a password, but no user",
    hint: "give the user with --user",
  });
}

function checkHistory(flags: HistoryFlags): void {
  if (flags.zkCluster.length === 0 || flags.zkRootPath !== undefined) return;
  throw new OpsError({
    code: "usage",
    message: "there is --zk_cluster, but no --zk_root_path",
    hint: "such as --zk_root_path=/openmldb",
  });
}

function checkRecoverData(flags: RecoverDataFlags): void {
  checkUser(flags);
  const { acceptDataLoss, leader } = flags;
  if (acceptDataLoss.length === leader.length) return;
  throw new OpsError({
    code: "usage",
    message: `--accept_data_loss names ${acceptDataLoss.length} partitions and --leader ${leader.length} replicas`,
    hint: "give one --leader for each --accept_data_loss, in the same order",
  });
}

function checkSandbox(flags: SandboxFlags): void {
  const { tablets, replicas, tables, hddTables, singleReplicaTables } = flags;
  if (flags.from === undefined && replicas > tablets) {
    throw new OpsError({
      code: "usage",
      message: `--replicas=${replicas} needs as many tablets, and there are ${tablets}`,
      hint: `give --replicas=${tablets}, or more --tablets`,
    });
  }
  const special = { hdd_tables: hddTables, single_replica_tables: singleReplicaTables };
  for (const [name, count] of Object.entries(special)) {
    if (count <= tables) continue;
    throw new OpsError({
      code: "usage",
      message: `--${name}=${count} is more than all tables (${tables})`,
      hint: "give more --tables",
    });
  }
}

/** Every command, in the order in which help lists them. */
export const COMMANDS: readonly CommandEntry[] = [
  entryOf({
    name: "recoverdata",
    summary: "bring every partition back after tablets or nameservers restarted",
    examples: [`recoverdata ${cluster}`, `recoverdata ${cluster} --db=demo_db --output=json`],
    specs: recoverDataSpecs,
    secrets: secretsOf,
    announcement: connecting,
    check: checkRecoverData,
    load: () => import("../commands/recoverdata.js"),
  }),
  entryOf({
    name: "inspect",
    summary: "say what is wrong, partition by partition; changes nothing",
    examples: [`inspect ${cluster}`],
    specs: inspectSpecs,
    secrets: secretsOf,
    announcement: connecting,
    check: checkUser,
    load: () => import("../commands/inspect.js"),
  }),
  entryOf({
    name: "confget",
    summary: "show the nameserver's configuration, or one KEY of it",
    examples: [`confget ${cluster}`, `confget auto_failover ${cluster}`],
    specs: confGetSpecs,
    secrets: secretsOf,
    announcement: connecting,
    check: checkUser,
    load: () => import("../commands/confget.js"),
  }),
  entryOf({
    name: "confset",
    summary: "set a KEY of the nameserver's configuration: auto_failover to true or false",
    examples: [`confset auto_failover true ${cluster}`],
    specs: confSetSpecs,
    secrets: secretsOf,
    announcement: connecting,
    check: checkUser,
    load: () => import("../commands/confset.js"),
  }),
  entryOf({
    name: "restore",
    summary: "put auto_failover back after a run that was killed; does nothing else",
    examples: [`restore ${cluster}`],
    specs: restoreSpecs,
    secrets: secretsOf,
    announcement: connecting,
    check: checkUser,
    load: () => import("../commands/restore.js"),
  }),
  entryOf({
    name: "history",
    summary: "list the runs of this tool, or show the one with --id",
    examples: ["history", "history --id=20260102T030405Z-1a2b3c4d", `history ${cluster}`],
    specs: historySpecs,
    secrets: certTexts,
    announcement: (flags) =>
      flags.zkCluster.length === 0 ? "reading journals" : "reading journals and ZooKeeper ...",
    check: checkHistory,
    load: () => import("../commands/history.js"),
  }),
  entryOf({
    name: "sandbox",
    summary: "run a small OpenMLDB cluster model on this machine, to try things on",
    examples: ["sandbox", "sandbox --tablets=3 --tables=2 --rows=1000 --speed=10"],
    specs: sandboxSpecs,
    announcement: () => "starting a sandbox cluster ...",
    check: checkSandbox,
    load: () => import("../commands/sandbox.js"),
  }),
];

/**
 * Commands of `openmldb_ops.py` that this version does not have, and its flags that belong to them:
 * somebody who comes from there gets a better answer than "unknown".
 */
export const OLD_COMMANDS: readonly string[] = [
  "scaleout",
  "scalein",
  "pre-upgrade",
  "post-upgrade",
  "showopstatus",
  "showtablestatus",
];

/** See {@link OLD_COMMANDS}. */
export const OLD_FLAGS: readonly string[] = [
  "endpoints",
  "statfile",
  "allow_single_replica",
  "filter",
];
