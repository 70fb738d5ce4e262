import type { RecoverTableFlags } from "../cli/recovery-commands.js";
import type { CommandIo } from "./command.js";
import { lostWords, recover } from "./recover.js";

/**
 * Brings back one table, some of its partitions, or its replicas on one tablet; see {@link recover}.
 * Healthy replicas are left alone, unless `--force` has them marked dead and recovered all the same.
 */
export function run(flags: RecoverTableFlags, io: CommandIo): Promise<number> {
  const { db, table, pids, endpoint, isForced } = flags;
  const words = [
    "recovertable",
    ...(db === undefined ? [] : [`--db=${db}`]),
    `--table=${table}`,
    ...(pids === "all" ? [] : [`--pid=${pids.join(",")}`]),
    ...(endpoint === undefined ? [] : [`--endpoint=${endpoint}`]),
    ...(isForced ? ["--force"] : []),
    ...lostWords(flags),
  ];
  const only = { db, table, pids: pids === "all" ? undefined : pids, endpoint, isForced };
  return recover(flags, io, { command: "recovertable", words, only });
}
