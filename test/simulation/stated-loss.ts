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

/** The loss that the text before a command states. */
export interface StatedLoss {
  /** The largest number of rows; undefined: the text gives no bound. */
  readonly atMost: bigint | undefined;
  /** Whether it says that the last entries of a leader, which the nameserver has not seen, are given up too. */
  readonly isTailUnknown: boolean;
}

const COUNT =
  /at least (\d+) entries \(how many at most is not known\)|(\d+) to (\d+) entries|(\d+) entries/g;

/**
 * The loss that the output states before a command: the largest number between the previous command, or the beginning of the
 * line, and the command.
 */
export function lossStatedBefore(screen: string, command: string): StatedLoss {
  const at = screen.indexOf(command);
  const start = screen.lastIndexOf("\n", at) + 1;
  const [, text = ""] =
    /(?:^|openmldb-ops .*?\/openmldb)((?:(?!openmldb-ops ).)*)$/s.exec(screen.slice(start, at)) ??
    [];
  const isTailUnknown = text.includes("acknowledged in its last 2 s");
  let most = 0n;
  for (const [, least, , to, exact] of text.matchAll(COUNT)) {
    if (least !== undefined) return { atMost: undefined, isTailUnknown };
    const count = BigInt(to ?? exact ?? "0");
    if (count > most) most = count;
  }
  return { atMost: most, isTailUnknown };
}

/** The rows that can be kept: those of the serving leader, or else of every disk on record. */
function keepable(model: SandboxModel, of: Part): Run[] {
  const { partitionMeta } = of.part;
  const leader = partitionMeta.find((meta) => acceptsWrites(model, of, meta));
  const from = leader === undefined ? partitionMeta : [leader];
  let rows: Run[] = [];
  for (const { endpoint } of from) {
    rows = rows.concat(subtract(dirAt(model, of, endpoint)?.runs ?? [], rows));
  }
  return rows;
}

/** Acknowledged rows that a command loses, by partition. */
export class Losses {
  readonly #model: SandboxModel;
  readonly #before = new Map<string, readonly Run[]>();

  /** Records the rows of the surviving history that can be kept now. */
  constructor(model: SandboxModel) {
    this.#model = model;
    for (const of of partsOf(model)) {
      const acknowledged = surviving(of.part, model.ledger.of(of.id));
      const held = intersect(acknowledged, heldOf(model, of));
      this.#before.set(of.name, intersect(held, keepable(model, of)));
    }
  }

  /**
   * The rows that could be kept then and cannot be kept now.
   *
   * @param isCounted Whether a partition counts.
   */
  since(
    isCounted: (of: Part) => boolean,
  ): Map<string, { readonly of: Part; readonly rows: Run[] }> {
    const lost = new Map<string, { of: Part; rows: Run[] }>();
    for (const of of partsOf(this.#model).filter(isCounted)) {
      const rows = subtract(this.#before.get(of.name) ?? [], keepable(this.#model, of));
      if (rowCount(rows) > 0) lost.set(of.name, { of, rows });
    }
    return lost;
  }
}
