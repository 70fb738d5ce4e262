import type { RecoverDataFlags } from "../cli/recovery-commands.js";
import type { CommandIo } from "./command.js";
import { lostWords, recover } from "./recover.js";

/** Brings every partition back, of one database or of all; see {@link recover}. */
export function run(flags: RecoverDataFlags, io: CommandIo): Promise<number> {
  const { db } = flags;
  const words = [
    "--cmd=recoverdata",
    ...(db === undefined ? [] : [`--db=${db}`]),
    ...lostWords(flags),
  ];
  return recover(flags, io, { command: "recoverdata", words, only: { db } });
}
