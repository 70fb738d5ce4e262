/** Time as the tool and the sandbox see it, so that both run on a real or on a virtual clock. */
export interface Clock {
  /**
   * Milliseconds since some moment of this process. It never goes back and never jumps, so durations,
   * deadlines and ages are differences of it. It means nothing to another process.
   */
  now(): number;
  /**
   * Milliseconds since the epoch, as the clock of this machine is set now. It can be set forward and
   * back: for people and records only, never for a difference.
   */
  wallTime(): number;
  /**
   * Resolves after `ms` milliseconds.
   *
   * @throws The signal's reason, at once, when `signal` is or becomes aborted.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}
