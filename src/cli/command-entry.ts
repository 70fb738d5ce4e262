import type { Command, CommandIo } from "../commands/command.js";
import { OpsError } from "../errors.js";
import { safe } from "../util/text.js";
import { leadsElsewhere, readSettings } from "./cluster-file.js";
import type { CommonFlags, commonSpecs, GlobalFlags, globalSpecs } from "./common-specs.js";
import { type CommandLine, type Environment, readFlags } from "./flag-parse.js";
import type { FlagSpec, FlagsOf, Specs } from "./spec.js";

/** A command line that was found right, ready to run. */
export interface Prepared {
  readonly flags: GlobalFlags;
  /** Whether the result goes through `streamIo`; the command itself writes JSON then. */
  readonly isStream: boolean;
  /** What is about to happen, said before anything slow. */
  readonly announcement: string;
  run(io: CommandIo): Promise<number>;
}

/** One command: what help tells of it, and how it is run. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** Command lines without `openmldb-ops`; two at least. */
  readonly examples: readonly string[];
  /** Its page in `docs/reference`, without `.md`. */
  readonly page: string;
  readonly specs: readonly FlagSpec<unknown>[];
  /** Those of `specs` that words after the command stand for, in order, as in OpenMLDB's clients. */
  readonly words: readonly FlagSpec<unknown>[];
  /**
   * Judges a command line. Loads nothing and reaches nothing but files that the flags name.
   *
   * @throws OpsError `usage`.
   */
  prepare(line: CommandLine, environment: Environment): Prepared;
}

/** What an entry is made of. */
interface CommandParts<S extends Specs> {
  readonly name: string;
  readonly summary: string;
  readonly examples: readonly string[];
  /** Its page in `docs/reference`; the one of its name if left out. */
  readonly page?: string;
  readonly specs: S;
  /** Flags that words after the command stand for, in order. */
  readonly words?: readonly (keyof S & string)[];
  readonly announcement: (flags: FlagsOf<S>) => string;
  /** Judges the flags together; throws OpsError `usage`. */
  readonly check?: (flags: FlagsOf<S>) => void;
  readonly load: () => Promise<Command<FlagsOf<S>>>;
}

/** Makes the entry of a command of any kind. */
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
      const isElsewhere = settings !== undefined && leadsElsewhere(line, environment, settings);
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

/** The connection flags of examples. */
export const EXAMPLE_CLUSTER = "--zk_cluster=127.0.0.1:2181 --zk_root_path=/openmldb";

function connecting(flags: CommonFlags): string {
  const name = flags.cluster === undefined ? "" : `${safe(flags.cluster)}: `;
  return `connecting to ${name}ZooKeeper ${flags.zkCluster.join(",")}${safe(flags.zkRootPath)}`;
}

/** @throws OpsError `usage` for a password without a user. */
function checkUser(flags: CommonFlags): void {
  if (flags.password.text === "" || flags.user !== undefined) return;
  throw new OpsError({
    code: "usage",
    message: "there is a password, but no user",
    hint: "give the user with --user",
  });
}

/** The entry of a command that talks to a cluster. Its examples get the connection flags here. */
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
