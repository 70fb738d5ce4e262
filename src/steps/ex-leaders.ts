import type { Endpoint } from "../model/cluster-state.js";
import type { StepOutcome } from "../model/outcome.js";
import type { PartitionView } from "../model/partition-view.js";
import type { Step } from "../model/step.js";
import { exLeaders } from "../policy/ex-leaders.js";
import { laneOf } from "../policy/lane-of.js";
import { servingLeader } from "../policy/what-it-holds.js";
import type { StepContext } from "./step-context.js";

/**
 * Demotes the ex-leaders of a partition right before a replica is reloaded, see {@link exLeaders}. A
 * plan demotes those that it knows; this covers those that appeared since, and plans whose own steps
 * change the leader.
 *
 * @param endpoint The replica that is reloaded; its own op demotes it.
 * @returns The end of the step if one still runs as leader; undefined if none does.
 */
export async function demoteRunningExLeaders(
  context: StepContext,
  view: PartitionView,
  endpoint: Endpoint,
): Promise<StepOutcome | undefined> {
  const leader = servingLeader(view);
  if (leader === undefined) return undefined;
  for (const one of exLeaders(view, leader)) {
    if (one.endpoint === endpoint) continue;
    const step: Step = {
      kind: "demote",
      id: view.id,
      endpoint: one.endpoint,
      why: `${endpoint} is reloaded, and would get its old entries`,
      isDecided: false,
    };
    const outcome = await context.runStep(step, laneOf(view, { leader, steps: [step] }));
    if (outcome.result !== "failed" && outcome.result !== "stale") continue;
    const detail = `ex-leader ${one.endpoint} still runs as leader: ${outcome.detail}`;
    return { ...outcome, detail };
  }
  return undefined;
}
