import { type Advice, changing, doing, looking, type Way } from "../model/advice.js";
import type { Endpoint, PartitionId } from "../model/cluster-state.js";
import type { RowComparison } from "../model/rows.js";
import { type PrintCommand, partitionFlags } from "../model/tool-command.js";

/** The facts from which advice about differing replicas is made. */
export interface RowsAdviceFacts {
  readonly id: PartitionId;
  /** Tablets that can take a new replica of the partition. */
  readonly spare: readonly Endpoint[];
  readonly print: PrintCommand;
}

/**
 * Returns advice for replicas that differ. The tool never repairs rows: no log proves which rows are
 * right.
 *
 * A differing replica is rebuilt from its leader, so a replica with all rows must lead first. If a
 * spare tablet exists, the new replica is added there before the old one is deleted, so that the number
 * of copies never drops.
 */
export function adviseOnRows(compared: RowComparison<unknown>, facts: RowsAdviceFacts): Advice {
  const { leader, followers, differences } = compared;
  if (leader === undefined) return [];
  const groups = differences.flatMap((one) => one.groups);
  const lacking = new Set(groups.filter((one) => !one.isCopy).flatMap((one) => one.lack));
  const doubled = new Set(groups.filter((one) => one.isCopy).flatMap((one) => one.have));
  const isWhole = (endpoint: Endpoint) => !lacking.has(endpoint) && !doubled.has(endpoint);
  const { id, print } = facts;
  if (isWhole(leader)) {
    const [other] = followers.filter((one) => !isWhole(one));
    return other === undefined ? [] : [replaceReplica(other, facts, followers.length)];
  }
  const [whole] = followers.filter(isWhole);
  if (whole !== undefined) {
    const command = print({ cmd: "changeleader", ...partitionFlags(id), candidate: whole });
    return [
      changing(
        `${leader} leads and ${lacking.has(leader) ? "lacks rows" : "has rows twice"}; ${whole} has all rows once: make it the leader, then verify again`,
        command,
        "thought",
      ),
    ];
  }
  return [
    doing(
      "no replica has all rows: read the rows that the leader lacks from the replicas that have them, insert them again through the leader, then verify again; rebuild no replica before that",
      "thought",
    ),
    looking(
      "to see their keys",
      print({ cmd: "verify", deep: true, ...partitionFlags(id), show_keys: true }),
    ),
  ];
}

function replaceReplica(
  endpoint: Endpoint,
  { id, spare, print }: RowsAdviceFacts,
  followers: number,
): Way {
  const flags = partitionFlags(id);
  const remove = print({ cmd: "delreplica", ...flags, endpoint });
  const [elsewhere] = spare;
  if (elsewhere !== undefined) {
    const add = print({ cmd: "addreplica", ...flags, endpoint: elsewhere });
    return changing(
      `add a replica on ${elsewhere} from the leader, then delete the one on ${endpoint} (${remove}), then verify again; first`,
      add,
      "thought",
    );
  }
  const add = print({ cmd: "addreplica", ...flags, endpoint });
  const fewer = followers === 1 ? ", with one copy of the rows meanwhile" : "";
  return changing(
    `delete the replica on ${endpoint}${fewer}, then add it again from the leader (${add}), then verify again; first`,
    remove,
    "thought",
  );
}
