import type { Endpoint, TabletClaim, Topology } from "../model/cluster-state.js";
import { ageCell } from "../model/duration.js";
import { compareText } from "../model/partition-view.js";
import { columns, orNothing, type Shown } from "./shown.js";

/** Addresses of servers that have a name, by that name; servers without a name are absent. */
export type RealEndpoints = ReadonlyMap<Endpoint, string>;

/** The nameservers with a live session: the leader, then the standbys in the order of succession. */
export function shownNameservers(
  { leader, standbys }: Topology,
  realEndpoints: RealEndpoints,
): Shown {
  const servers = [leader, ...standbys].map((endpoint, index) => ({
    endpoint,
    realEndpoint: realEndpoints.get(endpoint) ?? null,
    role: index === 0 ? "leader" : "standby",
  }));
  return {
    columns: columns("endpoint", "?real_endpoint", "role"),
    rows: servers.map((one) => [one.endpoint, orNothing(one.realEndpoint ?? ""), one.role]),
    empty: "no nameserver is registered",
    json: { nameservers: servers },
  };
}

/** The tablets that the nameserver lists, sorted by endpoint. */
export function shownTablets(claims: readonly TabletClaim[], realEndpoints: RealEndpoints): Shown {
  const tablets = [...claims].sort((a, b) => compareText(a.endpoint, b.endpoint));
  const real = (one: TabletClaim) =>
    one.realEndpoint === "" ? realEndpoints.get(one.endpoint) : one.realEndpoint;
  return {
    columns: columns("endpoint", "?real_endpoint", "state", ">age"),
    rows: tablets.map((one) => [
      one.endpoint,
      orNothing(real(one)),
      { text: one.state, color: one.isHealthy ? "good" : "bad" },
      ageCell(one.ageMs),
    ]),
    empty: "the nameserver lists no tablet",
    json: {
      tablets: tablets.map((one) => ({
        endpoint: one.endpoint,
        realEndpoint: real(one) ?? null,
        state: one.state,
        healthy: one.isHealthy,
        ageMs: one.ageMs,
      })),
    },
  };
}
