import { moveAddress, withNaming } from "./addresses.js";
import { type Anomaly, applyAnomaly } from "./anomalies.js";
import type { Outage } from "./outage.js";
import type { Shape } from "./shape.js";
import type { World } from "./world.js";

/** A kind of anomaly that a seed has in addition to its outage. */
interface AnomalyKind {
  /** Changes the cluster of the seed so that the anomaly is possible. */
  readonly shaped: (shape: Shape) => Shape;
  /** Called after the outage. Adds the tablets that never return to `outage.away`. */
  readonly apply: (world: World, shape: Shape, outage: Outage) => Anomaly;
}

/**
 * By the value of OPS_ODD: `any`, a tablet that does not return or has a false identity, one kind a seed; `addresses`, changed
 * addresses only.
 */
export const ANOMALY_KINDS = {
  any: { shaped: (shape: Shape) => shape, apply: applyAnomaly },
  addresses: { shaped: withNaming, apply: moveAddress },
} satisfies Record<string, AnomalyKind>;

/** One of {@link ODD_KINDS}. */
export type AnomalyName = keyof typeof ANOMALY_KINDS;

/** @throws Error if there is no such kind. */
export function anomalyNamed(text: string): AnomalyName {
  if (!Object.hasOwn(ANOMALY_KINDS, text))
    throw new Error(`OPS_ODD=${text} is none of ${Object.keys(ANOMALY_KINDS).join(", ")}`);
  return text as AnomalyName;
}
