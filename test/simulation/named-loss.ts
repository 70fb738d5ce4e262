import type { SandboxModel } from "../../src/sandbox/model/model.js";
import { type Run, rowCount, subtract } from "../../src/sandbox/model/runs.js";
import {
  acceptsWrites,
  dirAt,
  heldOf,
  intersect,
  type Part,
  partsOf,
  surviving,
} from "./partitions.js";

/**
 * The greatest number of rows that a command loses by its text; undefined: the text gives no bound.
 */
export type Named = { readonly atMost: bigint | undefined };

const COUNT =
  /at least (\d+) entries \(how many at most is not known\)|(\d+) to (\d+) entries|(\d+) entries/g;

/**
 * The cost that the text before a command on the screen names: the numbers between the previous
 * command, or the beginning of its line, and the command.
 */
export function namedBefore(screen: string, command: string): Named {
  const at = screen.indexOf(command);
  const start = screen.lastIndexOf("\n", at) + 1;
  const [, said = ""] =
    /(?:^|openmldb-ops .*?\/openmldb)((?:(?!openmldb-ops ).)*)$/s.exec(screen.slice(start, at)) ??
    [];
  let most = 0n;
  for (const [, least, , to, exact] of said.matchAll(COUNT)) {
    if (least !== undefined) return { atMost: undefined };
    const count = BigInt(to ?? exact ?? "0");
    if (count > most) most = count;
  }
  return { atMost: most };
}

/** Acknowledged rows that can be had: of the leader that serves, else of every disk that is on record. */
function within(model: SandboxModel, of: Part): Run[] {
  const { partitionMeta } = of.part;
  const leader = partitionMeta.find((meta) => acceptsWrites(model, of, meta));
  const from = leader === undefined ? partitionMeta : [leader];
  let rows: Run[] = [];
  for (const { endpoint } of from) {
    rows = rows.concat(subtract(dirAt(model, of, endpoint)?.runs ?? [], rows));
  }
  return rows;
}

/** Acknowledged rows that a command costs, by partition. */
export class Losses {
  readonly #model: SandboxModel;
  readonly #before = new Map<string, readonly Run[]>();

  /** Notes the rows that can be kept now, by the history of the record. */
  constructor(model: SandboxModel) {
    this.#model = model;
    for (const of of partsOf(model)) {
      const acknowledged = surviving(of.part, model.ledger.of(of.id));
      const held = intersect(acknowledged, heldOf(model, of));
      this.#before.set(of.name, intersect(held, within(model, of)));
    }
  }

  /**
   * The rows that could be had before and cannot any more.
   *
   * @param isCounted Whether a partition is of concern.
   */
  since(
    isCounted: (of: Part) => boolean,
  ): Map<string, { readonly of: Part; readonly rows: Run[] }> {
    const lost = new Map<string, { of: Part; rows: Run[] }>();
    for (const of of partsOf(this.#model).filter(isCounted)) {
      const rows = subtract(this.#before.get(of.name) ?? [], within(this.#model, of));
      if (rowCount(rows) > 0) lost.set(of.name, { of, rows });
    }
    return lost;
  }
}
