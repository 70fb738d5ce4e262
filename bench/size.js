// Observe + diagnose + plan of clusters of any size: time, memory, and whether the event loop lives.
import { messageOf, start } from "./child.js";
import { shapeOf } from "./size-data.js";

const LIMIT_MS = 300_000;

/** A cluster of so many tables, whose tablets have all restarted, is looked at. */
export async function measureSize(tables) {
  const server = start("size-server.js", { tables });
  try {
    const cluster = await messageOf(server, LIMIT_MS);
    const result = await messageOf(start("size-look.js", cluster), LIMIT_MS);
    return { ...shapeOf(tables), ...result, answerBytes: cluster.bytes };
  } finally {
    server.disconnect();
  }
}
