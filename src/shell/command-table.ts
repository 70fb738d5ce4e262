import type { Command, CommandIo } from "../commands/command.js";
import { OpsError } from "../errors.js";
import type { CommonFlags, GlobalFlags, SandboxFlags } from "../flags.js";
import { safe } from "../text.js";
import { type CommandLine, type Environment, readFlags } from "./flag-parse.js";
import {
  confGetSpecs,
  confSetSpecs,
  type FlagSpec,
  inspectSpecs,
  recoverDataSpecs,
  type SpecsFor,
  sandboxSpecs,
} from "./flag-specs.js";

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
  const cert = flags.zkCert ?? "";
  return [cert, cert.slice(cert.indexOf(":") + 1), flags.password];
}

function checkUser(flags: CommonFlags): void {
  if (flags.password === "" || flags.user !== undefined) return;
  throw new OpsError({
    code: "usage",
    message: "there is a password, but no user",
    hint: "give the user with --user",
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
    check: checkUser,
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
