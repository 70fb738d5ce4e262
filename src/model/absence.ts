import type { Endpoint, TabletView, Topology } from "./cluster-state.js";
import { ageText } from "./duration.js";

/**
 * How long a tablet that is gone counts as restarting: OpenMLDB's shipped `zk_session_timeout` (10 s),
 * within which it cannot register again, and a few seconds for a supervisor to start it.
 */
const RESTART_MS = 15_000n;

/**
 * Why a tablet cannot be worked with, with the facts that prove it.
 *
 * All facts come from ZooKeeper, from the nameserver (durations are measured by the nameserver) and
 * from our own call to the tablet; no time of this machine is compared with one of another.
 */
export type Absence =
  /**
   * It is registered and the nameserver counts it as healthy, and our call to it fails: it may be
   * serving clients that reach it.
   */
  | {
      readonly kind: "unreachable";
      /** Why our call failed. */
      readonly silence: string;
      /** Where the nameserver reaches it, if that is another address than `map/names` holds. */
      readonly nameserverAddress: string | undefined;
      /** The znode that registers it, if that belongs to no session: it was left behind. Absent if not. */
      readonly leftRegistration?: string | undefined;
    }
  /** It has just registered, or it has been gone for less than 15 s by the nameserver's count. */
  | {
      readonly kind: "restarting";
      /** What was seen, in words. */
      readonly sign: string;
    }
  /** It is not registered, and the nameserver knows that it is gone. */
  | { readonly kind: "down"; readonly state: string; readonly awayMs: bigint }
  /** It is on record only: the nameserver has not seen it since the nameserver itself started. */
  | { readonly kind: "unknown-to-nameserver" }
  /** It is not registered, and another tablet that holds nothing on record may be the same one. */
  | {
      readonly kind: "moved";
      /** How long it has been away; undefined if the nameserver never saw it. */
      readonly awayMs: bigint | undefined;
      /** Registered tablets without a replica on record that came up after it was gone. */
      readonly candidates: readonly Endpoint[];
    }
  /** It is not registered, and the operator has said that it will not come back. */
  | { readonly kind: "lost" }
  /** It answers, but it is not the tablet of that name. */
  | { readonly kind: "not-what-it-says"; readonly mismatch: string };

/** The znode with which a tablet is registered. */
export function registrationOf({ rootPath }: Pick<Topology, "rootPath">, tablet: Endpoint): string {
  return `${rootPath}/nodes/${tablet}`;
}

/** The states of absence, as programs read them. */
export type AbsenceKind = Absence["kind"];

/** Judges one tablet. Undefined if it can be worked with. */
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
 * Whether the tablet may be serving clients although this machine cannot work with it: what it leads
 * must be left alone, and its rows are not lost.
 */
export function mayBeServing(absence: Absence | undefined): boolean {
  return absence?.kind === "unreachable" || absence?.kind === "not-what-it-says";
}

/** Whether the tablet may be back in a moment, so that it is worth waiting for. */
export function mayBeReturning(absence: Absence | undefined): boolean {
  if (absence?.kind === "moved") return (absence.awayMs ?? RESTART_MS) < RESTART_MS;
  return absence?.kind === "restarting";
}

/**
 * Whether a decision to go on without the tablet's rows may be put to the operator. Not while the
 * tablet may be serving, and not while it may be back in a moment.
 */
export function mayBeGivenUp(absence: Absence | undefined): boolean {
  return !mayBeServing(absence) && !mayBeReturning(absence);
}
