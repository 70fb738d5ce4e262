import type { CommonFlags, StateFlags } from "../cli/common-specs.js";
import type { ZooKeeper } from "../cluster/zookeeper.js";
import { type Journal, openJournal } from "../journal/journal.js";
import { defaultStateDir } from "../util/process-identity.js";
import { safe } from "../util/text.js";
import type { CommandIo } from "./command.js";

/** The facts about a run other than its flags. */
export interface KeptRun {
  /** Name of the command. */
  readonly command: string;
  /** Id of the run, the same as in its lock; a new one if left out. */
  readonly id?: string | undefined;
  /** The ZooKeeper that gets a summary of the run; left out: no summary is written. */
  readonly zk?: ZooKeeper | undefined;
}

/** Opens the journal of a command's run from its flags. Never throws. */
export function keepJournal(
  flags: CommonFlags & StateFlags & { readonly resume?: boolean },
  io: CommandIo,
  { command, id, zk }: KeptRun,
): Promise<Journal> {
  return openJournal({
    stateDir: flags.stateDir ?? defaultStateDir(),
    command,
    argv: process.argv.slice(2),
    flags,
    cluster: { zkCluster: flags.zkCluster, zkRootPath: flags.zkRootPath },
    isResuming: flags.resume ?? false,
    zk,
    id,
    note: (text) => io.log.info(safe(text)),
    warn: (text) => io.log.warn(safe(text)),
  });
}
