/** Time as the tool and the sandbox see it, so that both run on a real or on a virtual clock. */
export interface Clock {
  /**
   * Monotonic time: milliseconds since an arbitrary moment of this process. Durations, deadlines and ages
   * are differences of it. The value means nothing to another process.
   */
  now(): number;
  /**
   * Milliseconds since the epoch by this machine's clock, which can be set forward and back. For display and
   * records only, never for a difference.
   */
  wallTime(): number;
  /**
   * Resolves after `ms` milliseconds.
   *
   * @throws The signal's reason, at once, when `signal` is or becomes aborted.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}
