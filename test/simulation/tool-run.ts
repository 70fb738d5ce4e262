import type { Cluster } from "../../src/cluster/cluster.js";
import { messageOf } from "../../src/errors.js";
import { type Progress, type RecoverResult, recoverData } from "../../src/execution/recover.js";
import type { Rules } from "../../src/execution/rules.js";
import type { Loss } from "../../src/model/loss.js";
import type { OnEvent, RunEvent } from "../../src/model/outcome.js";
import { partitionName } from "../../src/model/partition-view.js";
import type { Method } from "../../src/model/plan.js";
import { stepText } from "../../src/model/step.js";
import type { RecoveryPlan } from "../../src/planning/recovery-plan.js";
import type { Guard } from "../../src/run/guard.js";
import { createKnownOffsetsStore } from "../../src/run/known-offsets-store.js";
import type { RunOwner } from "../../src/run/owner.js";
import { withRun } from "../../src/run/with-run.js";
import { znodeText } from "../../src/sandbox/table-store.js";
import type { Limits } from "../../src/steps/step-context.js";
import { again, print } from "../helpers/printing.js";
import { TOOL_SESSION_MS, type ToolProcess, type World } from "./world.js";

/** The limits that the command line has by default. */
const LIMITS: Limits = {
  concurrency: 128,
  loadsPerTablet: 3,
  opRetries: 3,
  opTimeoutMs: 600_000,
  cancelStuck: false,
  stallTimeoutMs: 600_000,
};
const HOUR_MS = 3_600_000;
const RUN_LIMIT_MS = 4 * HOUR_MS;
/** The time for which a run waits for the lock of a killed run. */
const LOCK_WAIT_MS = 60_000;

/** The end of a run; undefined if its process was killed. */
export type RunResult = RecoverResult | { readonly thrown: unknown } | undefined;

/** A bug that is planted in a run, which a checker must detect. Fields that are left out change nothing. */
export interface Planted {
  /** Decisions that are replaced. */
  readonly rules?: Partial<Rules>;
  /** Wraps the cluster that the run gets. */
  readonly cluster?: (cluster: Cluster) => Cluster;
  /** Wraps the run's guard of auto_failover. */
  readonly guard?: (guard: Guard) => Guard;
  /** Wraps the signal that stops the run. */
  readonly signal?: (signal: AbortSignal) => AbortSignal;
}

/** Runs `recoverdata` in a process of the tool as the command does: lock, marker, recovery. */
export async function runTool(
  world: World,
  tool: ToolProcess,
  options: {
    readonly method?: Method | undefined;
    /** The accepted leaders where rows may be given up, by `partitionName`. */
    readonly accept?: ReadonlyMap<string, string> | undefined;
    /** Tablets that the operator declares lost. */
    readonly lost?: ReadonlySet<string> | undefined;
    /** The number of rows that may be given up with them, in total. */
    readonly acceptsLossOfLost?: Loss | undefined;
    /** A saved plan to execute. */
    readonly planned?: RecoveryPlan | undefined;
    readonly keepsOff?: boolean | undefined;
    readonly signal?: AbortSignal | undefined;
    readonly onEvent?: OnEvent;
    readonly plant?: Planted | undefined;
  } = {},
): Promise<RunResult> {
  const { method, accept, planned, plant = {} } = options;
  const stopSignal = options.signal ?? new AbortController().signal;
  const signal = plant.signal?.(stopSignal) ?? stopSignal;
  world.note("tool: a run begins");
  const killed = (async () => {
    while (!tool.isKilled()) await world.clock.sleep(500);
    return undefined;
  })();
  const onEvent: OnEvent = (event) => {
    world.note(`tool: ${eventText(event)}`);
    options.onEvent?.(event);
  };
  const rootPath = world.model.root;
  const parts = {
    cluster: plant.cluster === undefined ? tool.cluster : wrapCluster(tool.cluster, plant.cluster),
    zk: tool.zk,
    rootPath,
    owner: ownerOf(tool),
    sessionTimeoutMs: TOOL_SESSION_MS,
    waitLockMs: LOCK_WAIT_MS,
    keepsOff: options.keepsOff ?? false,
    signal,
    stopSignal,
    onEvent,
    print,
  };
  let earlier: Progress | undefined;
  const work = withRun(parts, async (attempt) => {
    const ended = await recoverData(attempt.cluster, {
      limits: LIMITS,
      signal: plant.signal?.(attempt.signal) ?? attempt.signal,
      onEvent,
      again,
      print,
      method,
      accept,
      lost: options.lost,
      acceptsLossOfLost: options.acceptsLossOfLost,
      planned,
      async createGuard(observed) {
        const guard = await attempt.createGuard(observed);
        return plant.guard?.(guard) ?? guard;
      },
      earlier,
      rules: plant.rules,
      knownOffsetsStore: createKnownOffsetsStore({
        zk: tool.zk,
        clock: tool.cluster.clock,
        rootPath,
        onEvent,
      }),
    });
    if ("error" in ended) earlier = ended.progress;
    return ended;
  }).catch((thrown: unknown) => ({ thrown }));
  const result = await world.clock.run(Promise.race([work, killed]), RUN_LIMIT_MS);
  if (result !== undefined) tool.exit();
  world.note(`tool: ${endingOf(result, stopSignal.aborted)}`);
  return result;
}

/** Wraps a cluster, and those that it makes for further attempts. */
function wrapCluster(cluster: Cluster, wrap: (cluster: Cluster) => Cluster): Cluster {
  return {
    ...wrap(cluster),
    repeatingWhile: (permit) => wrapCluster(cluster.repeatingWhile(permit), wrap),
  };
}

/** Each process is on a machine of its own, so that no run can check whether another one has ended. */
function ownerOf({ id: run }: ToolProcess): RunOwner {
  return {
    runId: `run-${run}`,
    host: `machine-${run}.invalid`,
    pid: run,
    user: "operator",
    command: "openmldb-ops --cmd=recoverdata",
    time: "2023-11-14T22:13:20.000Z",
  };
}

/** The code of the error with which a run ended early, or before it began; undefined with a report. */
export function codeOfEnd(result: RunResult): string | undefined {
  if (result === undefined || "report" in result) return undefined;
  return codeOf("thrown" in result ? result.thrown : result.error);
}

/** The reason why auto_failover could not be restored; undefined if it was. */
export function notRestoredOf(result: RecoverResult): string | undefined {
  return "report" in result ? result.report.autoFailover.notRestored : result.notRestored;
}

/** The value of the leading nameserver, or the stored one that the next nameserver will read. */
export function autoFailoverOf(world: World): boolean {
  const { model } = world;
  return (
    model.leader?.autoFailover ??
    znodeText(world.tree, `${model.root}/config/auto_failover`) === "true"
  );
}

/** The end of a run in words, for the statistics. */
export function endingOf(result: RunResult, isStopped: boolean): string {
  const how = isStopped ? "stopped, " : "";
  if (result === undefined) return "killed";
  if ("thrown" in result) return `${how}refused: ${codeOf(result.thrown)}`;
  const kept = notRestoredOf(result) === undefined ? "" : ", auto_failover not restored";
  if ("error" in result) return `${how}ended early: ${codeOf(result.error)}${kept}`;
  const left = result.report.partitions.some((one) => one.status !== "recovered");
  return `${how}${left ? "some partitions left" : "all healthy"}${kept}`;
}

function codeOf(thrown: unknown): string {
  return thrown instanceof Error && "code" in thrown ? String(thrown.code) : messageOf(thrown);
}

function eventText(event: RunEvent): string {
  switch (event.kind) {
    case "note":
    case "warning":
      return event.text;
    case "lane": {
      const steps = event.lane.steps.map((one) => `${one.kind} ${one.endpoint ?? ""}`).join(", ");
      return `plan ${event.round} of ${partitionName(event.lane.id)}: ${event.lane.blocked?.text ?? steps}`;
    }
    case "lane-ended":
      return `${partitionName(event.id)} through ${event.failure?.detail ?? ""}`;
    case "step-started":
      return stepText(event.step);
    case "step-ended": {
      const detail = "detail" in event.outcome ? event.outcome.detail : "";
      return `${stepText(event.step)} ${event.outcome.result} ${detail}`;
    }
    default:
      return JSON.stringify(event, (_key, value: unknown) =>
        typeof value === "bigint" ? String(value) : value,
      );
  }
}
