import {
  EXIT,
  interruptedBy,
  STOP_SIGNALS,
  type StopSignal,
  signalExitCode,
} from "../exit-codes.js";

/** Watches for the signals that end a run. */
export interface SignalWatch {
  /** Aborted by the first signal, or by {@link SignalWatch.abort}. */
  readonly signal: AbortSignal;
  /** The first signal that came; undefined if none did. */
  received(): StopSignal | undefined;
  /**
   * What is done before the process exits at once. The handler returns whether auto_failover may be
   * off. The last registration wins.
   */
  onSecond(handler: () => boolean): void;
  /** Stops the run for another reason than a signal. */
  abort(reason: unknown): void;
  /**
   * Exits the process at once, after the handler of {@link SignalWatch.onSecond}; with exit code 9
   * if auto_failover may be off.
   */
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
  // Only a run that changes the cluster registers one.
  let handler: (() => boolean) | undefined;
  const mayBeOff = (): boolean => {
    try {
      return handler?.() === true;
    } catch {
      // The exit comes first: the line that the handler prints is all that is lost.
      return false;
    }
  };
  const leave = (exitCode: number): never => process.exit(mayBeOff() ? EXIT.notRestored : exitCode);
  const onSignal = (name: StopSignal): void => {
    if (first !== undefined) {
      mayBeOff();
      process.exit(signalExitCode(name));
    }
    first = name;
    if (controller.signal.aborted) return;
    const doing = handler === undefined ? "stopping" : "stopping, putting things back";
    say(`${name}: ${doing} (again to exit at once)`);
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
