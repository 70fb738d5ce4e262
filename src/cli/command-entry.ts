import type { Command, CommandIo } from "../commands/command.js";
import { usageError } from "../errors.js";
import { safe } from "../util/text.js";
import { overridesCluster, readSettings } from "./cluster-file.js";
import type { CommonFlags, commonSpecs, GlobalFlags, globalSpecs } from "./common-specs.js";
import { type CommandLine, type Environment, readFlags } from "./flag-parse.js";
import type { FlagSpec, FlagsOf, Specs } from "./spec.js";

/** A valid command line, ready to run. */
export interface Prepared {
  readonly flags: GlobalFlags;
  /** True for `--output=ndjson`: the command writes JSON, which `streamIo` converts. */
  readonly isStream: boolean;
  /** What the command is going to do; printed before anything slow. */
  readonly announcement: string;
  run(io: CommandIo): Promise<number>;
}

/** One command: its description for help, and its implementation. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** Command lines without `openmldb-ops`; at least two. */
  readonly examples: readonly string[];
  /** Its page in `docs/reference`, without `.md`. */
  readonly page: string;
  readonly specs: readonly FlagSpec<unknown>[];
  /** The flags that can be given as positional words, in order, as in OpenMLDB's clients. */
  readonly words: readonly FlagSpec<unknown>[];
  /**
   * Validates a command line. Loads no command module, and accesses only files that the flags name.
   *
   * @throws OpsError `usage`.
   */
  prepare(line: CommandLine, environment: Environment): Prepared;
}

/** The parts of an entry. */
interface CommandParts<S extends Specs> {
  readonly name: string;
  readonly summary: string;
  readonly examples: readonly string[];
  /** Its page in `docs/reference`; named like the command if left out. */
  readonly page?: string;
  readonly specs: S;
  /** The flags that can be given as positional words, in order. */
  readonly words?: readonly (keyof S & string)[];
  readonly announcement: (flags: FlagsOf<S>) => string;
  /** Checks the combination of flags; throws OpsError `usage`. */
  readonly check?: (flags: FlagsOf<S>) => void;
  readonly load: () => Promise<Command<FlagsOf<S>>>;
}

/** Creates the entry of a command. */
export function entryOf<S extends Specs & typeof globalSpecs>(
  parts: CommandParts<S>,
): CommandEntry {
  const { name, summary, examples, specs, words = [] } = parts;
  return {
    name,
    summary,
    examples,
    page: parts.page ?? name,
    specs: Object.values(specs),
    words: words.map((key) => specs[key] as FlagSpec<unknown>),
    prepare(line, environment) {
      const settings = "cluster" in specs ? readSettings(line, environment) : undefined;
      const read = readFlags(specs, line, environment, words, settings);
      const isElsewhere = settings !== undefined && overridesCluster(line, environment, settings);
      const given: FlagsOf<S> = isElsewhere
        ? { ...read, cluster: undefined, config: undefined }
        : read;
      const isStream = given.output === "ndjson";
      const flags = isStream ? { ...given, output: "json" as const } : given;
      parts.check?.(flags);
      return {
        flags,
        isStream,
        announcement: parts.announcement(flags),
        run: async (io) => (await parts.load()).run(flags, io),
      };
    },
  };
}

/** The connection flags in examples. */
export const EXAMPLE_CLUSTER = "--zk_cluster=127.0.0.1:2181 --zk_root_path=/openmldb";

function connecting(flags: CommonFlags): string {
  const name = flags.cluster === undefined ? "" : `${safe(flags.cluster)}: `;
  return `connecting to ${name}ZooKeeper ${flags.zkCluster.join(",")}${safe(flags.zkRootPath)}`;
}

/** @throws OpsError `usage` for a password without a user. */
function checkUser(flags: CommonFlags): void {
  if (flags.password.text === "" || flags.user !== undefined) return;
  throw usageError("there is a password, but no user", "give the user with --user");
}

/** Creates the entry of a command that connects to a cluster. Appends the connection flags to its examples. */
export function clusterEntryOf<S extends Specs & typeof commonSpecs>(
  parts: Omit<CommandParts<S>, "announcement">,
): CommandEntry {
  return entryOf<S>({
    ...parts,
    examples: parts.examples.map((example) => `${example} ${EXAMPLE_CLUSTER}`),
    announcement: connecting,
    check(flags) {
      checkUser(flags);
      parts.check?.(flags);
    },
  });
}
