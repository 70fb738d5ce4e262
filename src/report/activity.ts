import type { EventOf } from "../journal/record.js";
import { tallied } from "../model/counted.js";
import type { LogLine, PartitionText } from "./document.js";
import { failureText } from "./recovery-rows.js";
import type { TimedEvent } from "./timeline.js";

/** What a run did to one partition, or to a whole tablet. */
export interface PartitionActivity {
  /** Problem codes that its first plan solves, with their numbers, such as `not-loaded x3`. */
  readonly was: readonly string[];
  /** The steps that were done, such as `load-follower x3`, without waits. */
  readonly done: readonly string[];
  /** Milliseconds from its first step to the end of its last one; null if there were no steps. */
  readonly tookMs: number | null;
  /** The leader in its last plan; null if there is none. */
  readonly leader: string | null;
  /** The last failure; null if there was none. */
  readonly failure: string | null;
  readonly notes: readonly string[];
}

/** The contents of a run's events, summarized. */
export interface RunActivity {
  readonly partitions: ReadonlyMap<string, PartitionActivity>;
  readonly givenUp: readonly PartitionText[];
  readonly rebuilt: readonly PartitionText[];
  readonly log: readonly LogLine[];
}

/** Steps after which a replica holds a copy of the leader's data, whatever it held before. */
const REBUILDING: readonly string[] = ["recover-table"];
/** Codes that state a step's requirement, not a problem at the start of the run. */
const NO_PROBLEM: readonly string[] = ["forced", "op-in-flight"];

interface Gathered {
  /** A problem code for each problem, and a step for each that was done. */
  was: string[];
  done: string[];
  fromMs: number | undefined;
  toMs: number;
  leader: string | null;
  failure: string | null;
  notes: Set<string>;
  givesUp: boolean;
}

/** Summarizes the events of a run by partition. */
export function activityOf(events: readonly TimedEvent[]): RunActivity {
  const gathered = new Map<string, Gathered>();
  const rebuilt: PartitionText[] = [];
  const log: LogLine[] = [];
  const of = (partition: string): Gathered => {
    const known = gathered.get(partition);
    if (known !== undefined) return known;
    const made: Gathered = {
      was: [],
      done: [],
      fromMs: undefined,
      toMs: 0,
      leader: null,
      failure: null,
      notes: new Set(),
      givesUp: false,
    };
    gathered.set(partition, made);
    return made;
  };
  for (const { atMs, event } of events) {
    if (event.kind === "note" || event.kind === "warning") {
      log.push({ atMs, level: event.kind, text: event.text });
    } else if (event.kind === "plan") addPlan(of(event.partition), event);
    else if (event.kind === "step-ended") {
      addStep(of(event.partition), event, atMs);
      if (REBUILDING.includes(event.step) && event.result === "done")
        rebuilt.push(rebuiltText(event));
    } else if (event.kind === "partition-ended") {
      of(event.partition).failure = event.failure ?? null;
    }
  }
  const givenUp = [...gathered].flatMap(([partition, { givesUp, notes, done }]) =>
    givesUp && done.length > 0 ? [...notes].map((text) => ({ partition, text })) : [],
  );
  const partitions = new Map([...gathered].map(([name, one]) => [name, finished(one)]));
  return { partitions, givenUp, rebuilt, log };
}

/** The number of changing steps, counted as the run itself counts them. */
export function changesIn(events: readonly TimedEvent[]): number {
  return events.filter(({ event }) => event.kind === "step-ended" && isChange(event)).length;
}

function isChange({ step, result }: { readonly step: string; readonly result: string }): boolean {
  return result === "done" && !step.startsWith("wait-");
}

function addPlan(own: Gathered, plan: EventOf<"plan">): void {
  if (plan.round === 1 && own.was.length === 0) {
    const problems = new Map(
      plan.steps.map(({ why, endpoint = "" }) => [JSON.stringify([why, endpoint]), why]),
    );
    own.was = [...problems.values()].filter((why) => !NO_PROBLEM.includes(why));
  }
  own.leader = plan.leader ?? own.leader;
  if (plan.blocked !== undefined) own.failure = failureText({ step: "plan", detail: plan.blocked });
  for (const note of plan.notes ?? []) own.notes.add(note);
  if (plan.givesUp === true) own.givesUp = true;
}

function addStep(own: Gathered, step: EventOf<"step-ended">, atMs: number): void {
  own.fromMs = Math.min(own.fromMs ?? Number.POSITIVE_INFINITY, atMs - step.tookMs);
  own.toMs = Math.max(own.toMs, atMs);
  if (step.result === "failed") own.failure = failureText(step);
  if (isChange(step)) own.done.push(step.step);
}

function rebuiltText(event: EventOf<"step-ended">): PartitionText {
  const { partition, endpoint = "a replica", detail } = event;
  const how = detail === "" ? "" : ` (${detail})`;
  return { partition, text: `${endpoint} was sent the leader's data${how}` };
}

function finished({
  was,
  done,
  fromMs,
  toMs,
  leader,
  failure,
  notes,
}: Gathered): PartitionActivity {
  return {
    was: tallied(was),
    done: tallied(done),
    tookMs: fromMs === undefined ? null : Math.max(0, toMs - fromMs),
    leader,
    failure,
    notes: [...notes],
  };
}
