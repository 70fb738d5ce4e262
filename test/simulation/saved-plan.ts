import { parsePlan, planDigest } from "../../src/commands/plan-store.js";
import { observeAndPlan } from "../../src/execution/observe-and-plan.js";
import type { Method } from "../../src/model/plan.js";
import { finish } from "../../src/model/work.js";
import { type RecoveryPlan, refusalOf } from "../../src/planning/recovery-plan.js";
import { planDocument, savedPlan } from "../../src/planning/saved-plan.js";
import { jsonText } from "../../src/util/text.js";
import { findPart } from "./partitions.js";
import type { World } from "./world.js";

const LOOK_LIMIT_MS = 600_000;

/** Makes a plan in a separate process of the tool, and reads it back from the text of its file. */
export async function savedPlanOf(world: World, method: Method | undefined): Promise<RecoveryPlan> {
  const tool = await world.open();
  const { signal } = new AbortController();
  const work = observeAndPlan(tool.cluster, { method, signal });
  const seen = await world.clock.run(work, LOOK_LIMIT_MS);
  tool.exit();
  const of = { command: "recoverdata", words: ["--cmd=recoverdata"], rootPath: world.model.root };
  const saved = finish(savedPlan(seen.plan, of, planDigest));
  const { plan } = parsePlan(jsonText(planDocument(saved)), "the plan");
  return { ...plan, method: seen.plan.method };
}

/**
 * Marks a replica not alive that a plan expects to be alive, as another client could between the plan and its execution.
 *
 * @returns A function that marks it alive again; undefined if there is no such replica.
 */
export function markReplicaDead(
  { model, note }: World,
  plan: RecoveryPlan,
): (() => void) | undefined {
  for (const planned of plan.partitions) {
    const of = findPart(model, planned.id);
    const meta = of?.part.partitionMeta.find((one) => one.isAlive);
    if (refusalOf(planned) !== undefined || of === undefined || meta === undefined) continue;
    const mark = (isAlive: boolean) => {
      meta.isAlive = isAlive;
      model.tables.save(of.table);
    };
    note(`another client marks ${of.name} at ${meta.endpoint} not alive`);
    mark(false);
    return () => mark(true);
  }
  return undefined;
}
