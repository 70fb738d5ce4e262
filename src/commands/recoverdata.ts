import type { RecoverDataFlags } from "../cli/recovery-specs.js";
import type { CommandIo } from "./command.js";
import { recover } from "./recover.js";

/** Brings every partition back, of one database or of all; see {@link recover}. */
export function run(flags: RecoverDataFlags, io: CommandIo): Promise<number> {
  const { db, lost } = flags;
  return recover(flags, io, { typed: { cmd: "recoverdata", db, lost }, only: { db } });
}
