import type { Endpoint, PartitionId } from "./cluster-state.js";

/** What an action does, in the words of OpenMLDB's own clients. */
export type ActionVerb =
  | "change-leader"
  | "add-replica"
  | "del-replica"
  | "migrate"
  | "offline-endpoint"
  | "recover-endpoint"
  | "recover-table"
  | "mark-alive"
  | "mark-dead"
  | "load-table"
  | "cancel-op"
  | "delete-op";

/**
 * One change that an operator's command makes, as plain data: it can be shown, saved, compared and
 * executed.
 */
export interface Action {
  readonly verb: ActionVerb;
  /** The partition; undefined for an action on a whole tablet or on ops. */
  readonly id: PartitionId | undefined;
  /** The replica or tablet it acts on; undefined where there is none, such as with ops. */
  readonly endpoint: Endpoint | undefined;
  /** Where a replica goes with `migrate`; undefined otherwise. */
  readonly to?: Endpoint | undefined;
  /** What else the call needs, such as `{"op": "42"}`; plain text, numbers in decimal digits. */
  readonly with?: Readonly<Record<string, string>> | undefined;
  /** Why it is done, as half a sentence. */
  readonly why: string;
}

/** An action as one line, such as `change-leader db1.t1:0 to 10.0.0.1:9527`. */
export function actionText(action: Action): string {
  const { id, endpoint, to } = action;
  const db = id === undefined || id.db === "" ? "" : `${id.db}.`;
  const more = Object.entries(action.with ?? {}).map(([name, value]) => `${name}=${value}`);
  return [
    action.verb,
    ...(id === undefined ? [] : [`${db}${id.table}:${id.pid}`]),
    ...(endpoint === undefined ? [] : [endpoint]),
    ...(to === undefined ? [] : ["->", to]),
    ...more,
  ].join(" ");
}
