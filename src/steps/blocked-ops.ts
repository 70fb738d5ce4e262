import { OpsError } from "../errors.js";
import type { Endpoint, Op } from "../model/cluster-state.js";
import type { StepContext } from "./step-context.js";

/**
 * How long ops may stand still before it is asked why. The nameserver takes the next step of an op within 4 s
 * (OpenMLDB 0.9: get_task_status_interval, 2 s).
 */
const STANDSTILL_MS = 10_000;
/** How old an answer about the tablets may be. */
const LOOK_AGE_MS = 5_000;
/** Tasks that can take long while nothing about them shows. */
const LONG_TASKS: readonly string[] = [
  "kSendSnapshot",
  "kLoadTable",
  "kMakeSnapshot",
  "kCheckBinlogSyncProgress",
];

/**
 * Finds out, before a long wait, that ops cannot end: the nameserver ends no task of an op before each
 * tablet that it counts as healthy has answered (OpenMLDB 0.9 nameserver: UpdateTaskStatus).
 *
 * @param stillMs How long nothing has moved at the nameserver.
 * @throws OpsError `deadline` that names the tablets, if some that are registered and healthy for the
 *   nameserver do not answer and the ops have stood still for a while.
 */
export async function assertNotBlocked(
  context: StepContext,
  active: readonly Op[],
  stillMs: number,
): Promise<void> {
  const [first] = active;
  if (first === undefined || stillMs < STANDSTILL_MS) return;
  if (active.some((op) => op.status === "doing" && LONG_TASKS.includes(op.task))) return;
  const silent = await silentTablets(context);
  if (silent.length === 0) return;
  const [does, is] = silent.length === 1 ? ["does", "is"] : ["do", "are"];
  throw new OpsError({
    code: "deadline",
    message: `op ${first.id} (${first.type}) does not end: the nameserver waits for ${silent.join(", ")}, which ${is} registered and healthy for the nameserver and ${does} not answer`,
  });
}

async function silentTablets(context: StepContext): Promise<readonly Endpoint[]> {
  const [registered, claims] = await Promise.all([
    context.registered.lately(LOOK_AGE_MS),
    context.tablets.lately(LOOK_AGE_MS),
  ]);
  const healthy = [...registered].filter((one) => claims.get(one)?.isHealthy === true);
  const answers = await Promise.all(
    healthy.map((endpoint) =>
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
  return healthy.filter((_, index) => answers[index] === false).sort();
}
