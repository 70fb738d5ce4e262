import { TableState } from "../../src/gen/openmldb/api_pb.js";
import type { RunEvent } from "../../src/model/outcome.js";
import { subtract } from "../../src/sandbox/model/runs.js";
import {
  acceptsWrites,
  dirAt,
  findPart,
  heldOf,
  loadedAt,
  type Part,
  seemsForeign,
  surviving,
} from "./partitions.js";
import type { World } from "./world.js";

/** Steps that make a replica the leader. */
const LEADER_STEPS: readonly string[] = ["promote", "load-leader", "change-role"];

/**
 * Another operator, without the lock, makes a leader by hand in the same partition right before the n-th step of the tool that
 * would make one: after the plan, and before the preconditions of the step are checked.
 *
 * @param onDone Called with a description of the change.
 * @returns A listener for every event of the run.
 */
export function leaderByHand(
  world: World,
  number: number | undefined,
  onDone: (what: string) => void,
): (event: RunEvent) => void {
  let seen = 0;
  return (event) => {
    if (event.kind !== "step-started" || !LEADER_STEPS.includes(event.step.kind)) return;
    seen += 1;
    if (seen !== number) return;
    const of = event.step.id && findPart(world.model, event.step.id);
    const endpoint = of && lead(world, of, event.step.endpoint);
    if (endpoint === undefined) return;
    world.note(`fault: another operator makes ${endpoint} leader of ${of?.name} by hand`);
    onDone(`leader made by hand at ${event.step.kind}`);
  };
}

/**
 * @returns The new leader; undefined if no replica but `planned` could lead without a loss of rows.
 */
function lead({ model }: World, of: Part, planned: string | undefined): string | undefined {
  const metas = of.part.partitionMeta;
  if (metas.some((meta) => acceptsWrites(model, of, meta))) return undefined;
  const all = surviving(of.part, heldOf(model, of));
  const meta = metas.find(({ endpoint }) => {
    const runs = dirAt(model, of, endpoint)?.runs ?? [];
    const isWhole = subtract(all, runs).length === 0 && subtract(runs, all).length === 0;
    // A tablet of another cluster has no replica of the partition, and a moved tablet cannot be reached by its name.
    const isThere = model.process(endpoint).isAnswering && !seemsForeign(model, endpoint);
    return endpoint !== planned && isWhole && runs.length > 0 && isThere;
  });
  const tablet = meta && model.process(meta.endpoint).tablet;
  if (meta === undefined || tablet === undefined) return undefined;
  const old = loadedAt(model, of, meta.endpoint);
  if (old !== undefined) tablet.unload(old);
  const dir = dirAt(model, of, meta.endpoint);
  if (dir === undefined) return undefined;
  const term = of.part.termOffset.at(-1)?.term ?? 0n;
  dir.meta = { ...dir.meta, mode: "leader", term };
  // The replica serves at once: during a load the tool could make its own leader first.
  const state = TableState.kTableNormal;
  tablet.add({ ...of.id, dir, role: "leader", state, term, offset: dir.offset }, []);
  for (const one of metas) one.isLeader = one === meta;
  meta.isAlive = true;
  model.tables.save(of.table);
  return meta.endpoint;
}
