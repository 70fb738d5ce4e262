import { OpsError } from "../errors.js";
import type { Endpoint, Op } from "../model/cluster-state.js";
import { isInLongTask, STANDSTILL_MS } from "../model/ops.js";
import type { StepContext } from "./step-context.js";

/** Accepted age in milliseconds of an answer about tablets. */
const LOOK_AGE_MS = 5_000;
/**
 * Accepted age in milliseconds of the list of left-behind registrations: one stays until the operator deletes it.
 */
const LEFT_AGE_MS = 60_000;

/**
 * Detects, before a long wait, that ops cannot end: the nameserver ends no op before each tablet that
 * it counts as healthy has answered (OpenMLDB 0.9 nameserver: DeleteTask).
 *
 * A tablet that does not answer may only be busy, or its registration may be about to end, so ops must
 * have made no progress for a while first. A tablet with a left-behind registration is detected at
 * once.
 *
 * @param active The ops that are awaited; empty if an op is about to be requested.
 * @param stillMs Milliseconds for which nothing has changed at the nameserver.
 * @returns The error `deadline`; undefined if nothing is known to block them.
 */
export async function opsBlocked(
  context: StepContext,
  active: readonly Op[],
  stillMs: number,
): Promise<OpsError | undefined> {
  const left = await context.leftRegistrations.lately(LEFT_AGE_MS);
  const isStill = stillMs >= STANDSTILL_MS && !active.some(isInLongTask);
  if (!isStill && left.size === 0) return undefined;
  const silent = await silentTablets(context, isStill ? undefined : left);
  if (silent.length === 0) return undefined;
  const [first] = active;
  const what =
    first === undefined ? "an op would not end" : `op ${first.id} (${first.type}) does not end`;
  const [does, is] = silent.length === 1 ? ["does", "is"] : ["do", "are"];
  const znodes = silent.flatMap((one) => left.get(one) ?? []);
  const see =
    znodes.length === 0
      ? `make ${silent.join(", ")} answer`
      : `if no tablet runs there, delete what was left behind: ${znodes.join(", ")}`;
  const cancel =
    first === undefined ? "" : "; or run again with --cancel_stuck, which cancels such ops";
  return new OpsError({
    code: "deadline",
    message: `${what}: the nameserver waits for ${silent.join(", ")}, which ${is} registered and healthy for the nameserver and ${does} not answer`,
    hint: `${see}${cancel}`,
  });
}

/** @param among Only these are read; if undefined, all tablets that the nameserver waits for. */
async function silentTablets(
  context: StepContext,
  among: ReadonlyMap<Endpoint, string> | undefined,
): Promise<readonly Endpoint[]> {
  const [registered, claims] = await Promise.all([
    context.registered.lately(LOOK_AGE_MS),
    context.tablets.lately(LOOK_AGE_MS),
  ]);
  const awaited = [...registered].filter(
    (one) => claims.get(one)?.isHealthy === true && among?.has(one) !== false,
  );
  const answers = await Promise.all(
    awaited.map((endpoint) =>
      context
        .statusOf(endpoint)
        .lately(LOOK_AGE_MS)
        .then(
          () => true,
          () => false,
        ),
    ),
  );
  context.signal.throwIfAborted();
  return awaited.filter((_, index) => answers[index] === false).sort();
}
