import { diagnose } from "../diagnosis/diagnose.js";
import { type Endpoint, type PartitionId, replicaKey } from "../model/cluster-state.js";
import { givenUpCount, isWithin } from "../model/loss.js";
import { type PartitionView, partitionName, replicaAt } from "../model/partition-view.js";
import type { ChoiceOfLeader, PartitionResult, RunReport } from "../model/report.js";
import type { RecoverAgain } from "../model/tool-command.js";
import { lossIfLeads } from "../policy/what-is-given-up.js";
import { isServing, trueOffset } from "../policy/what-it-holds.js";

/** The name of the decisions file in printed commands. */
const FILE = "decisions.jsonl";

/** The commands that write the open decisions to a file and that apply the file. */
export function decideCommands(again: RecoverAgain): NonNullable<RunReport["decide"]> {
  return { write: again({ decisions_out: FILE }), apply: again({ decisions: FILE }) };
}

/** A partition that needs a decision, and the decision. */
export interface LeaderDecision {
  readonly id: PartitionId;
  /** The code of the problem that blocks the recovery; `why` is the problem in words. */
  readonly cause: string;
  readonly why: string;
  /** The replicas that can lead, with the loss of each choice. */
  readonly candidates: readonly ChoiceOfLeader[];
  /** The chosen leader; undefined if not decided. */
  readonly choice: Endpoint | undefined;
}

/** The decisions that a run left open, none chosen. */
export function openDecisions(partitions: readonly PartitionResult[]): LeaderDecision[] {
  return partitions.flatMap(({ id, status, failure, choices = [] }) =>
    status !== "needs-decision" || failure?.decision === undefined
      ? []
      : [
          {
            id,
            cause: failure.decision.code,
            why: failure.decision.text,
            candidates: choices,
            choice: undefined,
          },
        ],
  );
}

/** The chosen leaders by `partitionName`, as far as decided. */
export function acceptedIn(decisions: readonly LeaderDecision[]): Map<string, Endpoint> {
  return new Map(
    decisions.flatMap(({ id, choice }): [string, Endpoint][] =>
      choice === undefined ? [] : [[partitionName(id), choice]],
    ),
  );
}

/**
 * Returns why decisions no longer fit the cluster. A partition that is healthy by now counts as done.
 *
 * @param views All partitions in the scope of the run.
 * @returns One line for each decision that does not fit; empty if all do.
 */
export function staleDecisions(
  decisions: readonly LeaderDecision[],
  views: readonly PartitionView[],
): string[] {
  const byKey = new Map(views.map((view) => [replicaKey(view.id), view]));
  return decisions.flatMap((one) => {
    if (one.choice === undefined) return [];
    const view = byKey.get(replicaKey(one.id));
    const name = partitionName(one.id);
    if (view === undefined || partitionName(view.id) !== name) return [`${name} is gone`];
    if (diagnose(view).length === 0) return [];
    const why = whyStale(view, one.choice, one.candidates);
    return why === undefined ? [] : [`${name}: ${why}`];
  });
}

function whyStale(
  view: PartitionView,
  choice: Endpoint,
  candidates: readonly ChoiceOfLeader[],
): string | undefined {
  const known = candidates.find((one) => one.endpoint === choice);
  const replica = replicaAt(view, choice);
  if (known === undefined || replica === undefined) return `${choice} holds no replica of it`;
  if (!isServing(replica)) return `${choice} is not loaded now`;
  const offset = trueOffset(replica);
  if (offset !== known.offset) return `${choice} is at offset ${offset}, no longer ${known.offset}`;
  const loss = lossIfLeads(view, replica);
  return isWithin(loss, known.loss)
    ? undefined
    : `if ${choice} leads, ${givenUpCount(loss)} would be given up, no longer ${givenUpCount(known.loss)}`;
}
