import type { Endpoint, TabletView, Topology } from "./cluster-state.js";
import { ageText } from "./duration.js";

/**
 * Milliseconds for which a missing tablet counts as restarting: OpenMLDB's shipped `zk_session_timeout`
 * (10 s), during which it cannot register again, plus 5 s for a supervisor to start it.
 */
const RESTART_MS = 15_000n;

/**
 * Why the tool cannot use a tablet, with the facts that prove it.
 *
 * The facts come from ZooKeeper, from the nameserver (which measures the durations) and from the tool's
 * own call to the tablet. The clocks of two machines are never compared.
 */
export type Absence =
  /**
   * The tablet is registered and the nameserver counts it as healthy, but the tool's call to it fails. It may
   * be serving clients.
   */
  | {
      readonly kind: "unreachable";
      /** Why the call failed. */
      readonly silence: string;
      /** The address that the nameserver uses, if it differs from the one in `map/names`. */
      readonly nameserverAddress: string | undefined;
      /** Path of the znode that registers it, if no session owns that znode (a leftover). Absent otherwise. */
      readonly leftRegistration?: string | undefined;
    }
  /** It has just registered, or the nameserver has counted it as offline for less than 15 s. */
  | {
      readonly kind: "restarting";
      /** The observation, in words. */
      readonly sign: string;
    }
  /** It is not registered, and the nameserver counts it as offline. */
  | { readonly kind: "down"; readonly state: string; readonly awayMs: bigint }
  /** Only the record names it: the nameserver has not seen it since the nameserver started. */
  | { readonly kind: "unknown-to-nameserver" }
  /** It is not registered, and a tablet at another address may be the same one. */
  | {
      readonly kind: "moved";
      /** How long it has been away; undefined if the nameserver never saw it. */
      readonly awayMs: bigint | undefined;
      /** Registered tablets without a replica on record that registered after it went offline. */
      readonly candidates: readonly Endpoint[];
    }
  /** It is not registered, and the operator declared it lost (`--lost`). */
  | { readonly kind: "lost" }
  /** A tablet answers, but not the one of that name. */
  | { readonly kind: "not-what-it-says"; readonly mismatch: string };

/** Path of the znode that registers a tablet. */
export function registrationOf({ rootPath }: Pick<Topology, "rootPath">, tablet: Endpoint): string {
  return `${rootPath}/nodes/${tablet}`;
}

/** The kinds of absence, as JSON documents have them. */
export type AbsenceKind = Absence["kind"];

/** Classifies one tablet. Undefined if the tool can use it. */
export function absenceOf(view: TabletView): Absence | undefined {
  const { claim, isRegistered, mismatch } = view;
  if (mismatch !== undefined) return { kind: "not-what-it-says", mismatch };
  if (isRegistered) return absenceOfRegistered(view);
  if (claim?.isHealthy === true) {
    return view.reports === undefined
      ? { kind: "restarting", sign: "its registration in ZooKeeper has just ended" }
      : undefined;
  }
  if (view.isLost === true) return { kind: "lost" };
  const candidates = view.mayBeAt ?? [];
  if (candidates.length > 0) return { kind: "moved", awayMs: claim?.ageMs, candidates };
  if (claim !== undefined && claim.ageMs < RESTART_MS) {
    return { kind: "restarting", sign: `${claim.state} for ${ageText(claim.ageMs)}` };
  }
  return claim === undefined
    ? { kind: "unknown-to-nameserver" }
    : { kind: "down", state: claim.state, awayMs: claim.ageMs };
}

function absenceOfRegistered(view: TabletView): Absence | undefined {
  const { claim, reports, silence, address } = view;
  if (claim?.isHealthy !== true) {
    const state = claim === undefined ? "does not know it" : `still calls it ${claim.state}`;
    return { kind: "restarting", sign: `registered in ZooKeeper, the nameserver ${state}` };
  }
  if (reports !== undefined) return undefined;
  const { realEndpoint } = claim;
  const isOther = realEndpoint !== "" && address !== undefined && realEndpoint !== address;
  return {
    kind: "unreachable",
    silence: silence ?? "no reason known",
    nameserverAddress: isOther ? realEndpoint : undefined,
    ...(view.leftRegistration === undefined ? {} : { leftRegistration: view.leftRegistration }),
  };
}

/**
 * True if the tablet may be serving clients although the tool cannot use it. The partitions that it leads
 * must be left alone, and its rows are not lost.
 */
export function mayBeServing(absence: Absence | undefined): boolean {
  return absence?.kind === "unreachable" || absence?.kind === "not-what-it-says";
}

/** True if the tablet is probably restarting, so that waiting for it makes sense. */
export function mayBeReturning(absence: Absence | undefined): boolean {
  if (absence?.kind === "moved") return (absence.awayMs ?? RESTART_MS) < RESTART_MS;
  return absence?.kind === "restarting";
}

/**
 * True if the operator may be asked to go on without the tablet's rows: the tablet is neither possibly
 * serving nor probably restarting.
 */
export function mayBeGivenUp(absence: Absence | undefined): boolean {
  return !mayBeServing(absence) && !mayBeReturning(absence);
}
