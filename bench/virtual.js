// Recoveries of clusters of any size on the virtual clock, in the time of the sandbox's model.
import { messageOf, start } from "./child.js";

const LIMIT_MS = 900_000;
/** Enough for 240,000 replicas and their calls; a large young generation makes garbage collection cheap. */
const NODE_FLAGS = ["--max-old-space-size=6000", "--max-semi-space-size=64"];

/** One recovery; `{ tooLong }` in milliseconds if this machine does not compute it in time. */
export async function recoverVirtually(replicas, way) {
  const child = start("virtual-run.js", { replicas, way }, NODE_FLAGS);
  try {
    return await messageOf(child, LIMIT_MS);
  } catch (error) {
    if (!/no result within/.test(error.message)) throw error;
    return { tooLong: LIMIT_MS };
  }
}
