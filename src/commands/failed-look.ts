import type { GlobalFlags } from "../cli/common-specs.js";
import { errorDocument } from "../cli/show-error.js";
import { realClock } from "../cluster/real-clock.js";
import { messageOf, type OpsError } from "../errors.js";
import { exitCodeOf } from "../exit-codes.js";
import { safe } from "../util/text.js";
import type { CommandIo } from "./command.js";
import type { WatchScreen } from "./watch.js";

/** Reports a failed observation of `--watch`, for all commands: on the watch's screen, or as a JSON document. */
export function tellFailedLook(
  command: string,
  thrown: OpsError,
  on: {
    readonly flags: Pick<GlobalFlags, "output">;
    readonly io: CommandIo;
    /** Undefined without `--watch`, where such an error ends the command. */
    readonly screen: WatchScreen | undefined;
  },
): void {
  const nowMs = realClock.wallTime();
  if (on.flags.output === "json") {
    const time = new Date(nowMs).toISOString();
    on.io.stdout.write(errorDocument(thrown, exitCodeOf(thrown), { command, time }));
    return;
  }
  const hint = thrown.hint === undefined ? "" : ` (${safe(thrown.hint)})`;
  const line = `${command}: this observation failed: ${safe(messageOf(thrown))}${hint}`;
  on.screen?.show([...thrown.details.map(safe), line], nowMs);
}
