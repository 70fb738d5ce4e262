/**
 * Waits for `work`, but returns as soon as the signal is aborted, whatever calls are still in flight.
 *
 * @throws The signal's reason, or what `work` throws.
 */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  // After an abort the promise has no other handler: its rejection must not be unhandled.
  work.catch(() => undefined);
  signal.throwIfAborted();
  let leave = () => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    leave = () => reject(signal.reason);
    signal.addEventListener("abort", leave, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", leave);
  }
}
