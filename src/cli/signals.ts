import { interruptedBy, STOP_SIGNALS, type StopSignal, signalExitCode } from "../exit-codes.js";

/** Watches for the signals that end a run. */
export interface SignalWatch {
  /** Aborted by the first signal, or by {@link SignalWatch.abort}. */
  readonly signal: AbortSignal;
  /** The first signal that came; undefined if none did. */
  received(): StopSignal | undefined;
  /** What is done before a second signal ends the process. The last registration wins. */
  onSecond(handler: () => void): void;
  /** Stops the run for another reason than a signal. */
  abort(reason: unknown): void;
  /** Does what the second signal does, with an exit code of its own. */
  leave(exitCode: number): never;
  /** Ends watching: signals do what they do by default again. */
  stop(): void;
}

/**
 * Starts watching: the first SIGINT, SIGTERM or SIGHUP stops the run in good order, the second one
 * leaves at once with 128 + n.
 *
 * @param say Told one line, without line break, when the first signal comes.
 */
export function watchSignals(say: (line: string) => void): SignalWatch {
  const controller = new AbortController();
  let first: StopSignal | undefined;
  let handler = () => {};
  const leave = (exitCode: number): never => {
    try {
      handler();
    } finally {
      process.exit(exitCode);
    }
  };
  const onSignal = (name: StopSignal): void => {
    if (controller.signal.aborted) leave(signalExitCode(name));
    first = name;
    say(`${name}: stopping, putting things back (again to leave at once)`);
    controller.abort(interruptedBy(name));
  };
  for (const name of STOP_SIGNALS) process.on(name, onSignal);
  return {
    signal: controller.signal,
    received: () => first,
    onSecond(next) {
      handler = next;
    },
    abort: (reason) => controller.abort(reason),
    leave,
    stop() {
      for (const name of STOP_SIGNALS) process.off(name, onSignal);
    },
  };
}
