import {
  EXIT,
  interruptedBy,
  STOP_SIGNALS,
  type StopSignal,
  signalExitCode,
} from "../exit-codes.js";

/** Handles the signals that end a run. */
export interface SignalWatch {
  /** Aborted by the first signal, or by {@link SignalWatch.abort}. */
  readonly signal: AbortSignal;
  /** The first signal received; undefined if there was none. */
  received(): StopSignal | undefined;
  /**
   * Registers a handler that runs before the process exits at once. It returns true if auto_failover may be off. A
   * later registration replaces an earlier one.
   */
  onSecond(handler: () => boolean): void;
  /** Stops the run for another reason than a signal. */
  abort(reason: unknown): void;
  /**
   * Exits the process at once, after the handler of {@link SignalWatch.onSecond}; with exit code 9
   * if auto_failover may be off.
   */
  leave(exitCode: number): never;
  /** Removes the handlers: signals have their default effect again. */
  stop(): void;
}

/**
 * Installs the handlers: the first SIGINT, SIGTERM or SIGHUP stops the run in an orderly way, the second one exits at
 * once with 128 + n.
 *
 * @param print Receives one line, without line break, after the first signal.
 */
export function watchSignals(print: (line: string) => void): SignalWatch {
  const controller = new AbortController();
  let first: StopSignal | undefined;
  // Registered only by a run that changes the cluster.
  let handler: (() => boolean) | undefined;
  const mayBeOff = (): boolean => {
    try {
      return handler?.() === true;
    } catch {
      // Exit in any case; only the line of the handler is lost.
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
    const doing = handler === undefined ? "stopping" : "stopping, restoring auto_failover";
    print(`${name}: ${doing} (again to exit at once)`);
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
