import type { ToolCommand } from "../../src/model/tool-command.js";
import { loadedAt, partsOf } from "./partitions.js";
import type { World } from "./world.js";

/** The reason for which the model cannot execute an operation, and the texts with which the tool must report it. */
export interface TrueRefusal {
  readonly reason: string;
  /** The output must contain each of them. */
  readonly texts: readonly string[];
}

/**
 * The reason for which a command must be refused on a healthy cluster, by the model's own record. It shares no code with the
 * tool.
 *
 * @returns Undefined if it can be done, or is done.
 */
export function trueRefusal({ model }: World, command: ToolCommand): TrueRefusal | undefined {
  const parts = partsOf(model);
  const isAt = (of: (typeof parts)[number], endpoint: string) =>
    of.part.partitionMeta.some((one) => one.endpoint === endpoint);
  const only = (found: boolean, reason: string, ...texts: string[]) =>
    found ? { reason, texts } : undefined;
  switch (command.cmd) {
    case "offlineendpoint": {
      const single = parts.filter(
        ({
          part: {
            partitionMeta: [one, ...others],
          },
        }) => {
          return others.length === 0 && one?.endpoint === command.endpoint && one.isAlive;
        },
      );
      const names = single.map((one) => one.name);
      const text = `${command.endpoint} has the only replica`;
      return only(single.length > 0, "it has the only replica of a partition", text, ...names);
    }
    case "migrate": {
      const { src, des } = command;
      if (src === des)
        return { reason: "both ends are one tablet", texts: ["are the same tablet"] };
      const of = parts.find(({ table, part }) => {
        return (
          table.db === command.db &&
          table.name === command.table &&
          [part.pid].toString() === String(command.pid)
        );
      });
      if (of === undefined || !isAt(of, src)) return undefined;
      const taken = `the destination ${des} has a replica of it already`;
      if (isAt(of, des)) return { reason: "the destination has a replica", texts: [taken] };
      // A kMigrateOP that failed leaves the replica that it loaded; no call of our protocol drops it.
      const left = `tablet ${des} has it loaded`;
      const isLeft = loadedAt(model, of, des) !== undefined;
      return only(isLeft, "the destination has a replica that is not on record", of.name, left);
    }
    case "changeleader": {
      const of = parts.find(({ table, part }) => {
        return table.db === command.db && table.name === command.table && part.pid === command.pid;
      });
      const isSingle = of?.part.partitionMeta.length === 1;
      return only(isSingle, "there is no follower", "it has one replica");
    }
    case "scalein": {
      const [leaving = ""] = command.endpoints;
      const others = [...model.tablets.keys()].filter(
        (one) => one !== leaving && model.leader?.isHealthy(one) === true,
      );
      const most = (of: (typeof parts)[number]) => {
        const has = of.part.partitionMeta.length;
        return of.table.replicaNum === 0 ? has : Math.min(has, of.table.replicaNum);
      };
      const isFull = parts.some((of) => most(of) > others.length);
      const holds = parts.some((of) => isAt(of, leaving));
      if (isFull && holds) return { reason: "too few tablets are left", texts: ["too few for"] };
      // A replica that an op left loaded takes a tablet away from its partition.
      const isTaken = (of: (typeof parts)[number]) =>
        isAt(of, leaving) &&
        most(of) >
          others.filter((one) => isAt(of, one) || loadedAt(model, of, one) === undefined).length;
      const taken = parts.find(isTaken);
      const reason = "the only tablet left has a replica that is not on record";
      return taken && { reason, texts: [taken.name, "has it loaded"] };
    }
    default:
      return undefined;
  }
}
