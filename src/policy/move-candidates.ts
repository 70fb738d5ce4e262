import type { Endpoint, TabletView } from "../model/cluster-state.js";
import { compareText } from "../model/partition-view.js";

/**
 * By how much a candidate's uptime may exceed the time that the missing tablet has been away: a tablet
 * that comes back at another address registers at once, while its old registration ends with its
 * ZooKeeper session.
 */
const SLACK_MS = 30_000n;

/**
 * Finds tablets that may have come back at another address. For each unregistered tablet with replicas
 * on record: the registered tablets that answer, have no replica on record, and did not start long
 * before the other one went away. Both ages are the nameserver's.
 *
 * @param recorded Tablets with a replica on record.
 * @returns Only tablets with a candidate; candidates are sorted by name.
 */
export function moveCandidates(
  tablets: ReadonlyMap<Endpoint, TabletView>,
  recorded: ReadonlySet<Endpoint>,
): ReadonlyMap<Endpoint, readonly Endpoint[]> {
  const views = [...tablets.values()];
  const spare = views
    .filter((one) => one.isRegistered && one.reports !== undefined && !recorded.has(one.endpoint))
    .sort((a, b) => compareText(a.endpoint, b.endpoint));
  const found = new Map<Endpoint, readonly Endpoint[]>();
  if (spare.length === 0) return found;
  for (const { endpoint, claim, isRegistered } of views) {
    if (isRegistered || !recorded.has(endpoint) || claim?.isHealthy === true) continue;
    const may = spare.filter((one) => {
      const upMs = one.claim?.ageMs;
      return upMs === undefined || claim === undefined || upMs <= claim.ageMs + SLACK_MS;
    });
    if (may.length > 0)
      found.set(
        endpoint,
        may.map((one) => one.endpoint),
      );
  }
  return found;
}
