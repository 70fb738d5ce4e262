import type { Clock } from "../model/clock.js";
import { interruption } from "./failure.js";

/** Sleeps between two attempts of a call. @throws OpsError of the signal once it is aborted. */
export async function pause(
  clock: Clock,
  ms: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await clock.sleep(ms, signal);
  } catch (error) {
    throw signal?.aborted === true ? interruption(signal) : error;
  }
}
