import type { Endpoint, TabletView } from "../model/cluster-state.js";
import { compareText } from "../model/partition-view.js";

/**
 * How much longer than the missing tablet is away a candidate may have been up: a tablet that comes
 * back at another address registers at once, while its old registration ends with its ZooKeeper session.
 */
const SLACK_MS = 30_000n;

/**
 * For each tablet that has replicas on record and is not registered: the registered, answering tablets
 * without any replica on record that may be the same one at another address. One that was up long
 * before the other went away is not; both ages are the nameserver's.
 *
 * @param recorded Tablets with a replica on record.
 * @returns Only tablets with a candidate; candidates by name.
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
