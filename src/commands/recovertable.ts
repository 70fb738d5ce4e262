import type { RecoverTableFlags } from "../cli/recovery-specs.js";
import type { CommandIo } from "./command.js";
import { recover } from "./recover.js";

/**
 * Brings back one table, some of its partitions, or its replicas on one tablet; see {@link recover}.
 * Healthy replicas are left alone, unless `--force` has them marked dead and recovered all the same.
 */
export function run(flags: RecoverTableFlags, io: CommandIo): Promise<number> {
  const { db, table, pids, endpoint, isForced, lost } = flags;
  const some = pids === "all" ? undefined : pids;
  return recover(flags, io, {
    typed: { cmd: "recovertable", db, table, pid: some, endpoint, force: isForced, lost },
    only: { db, table, pids: some, endpoint, isForced },
  });
}
