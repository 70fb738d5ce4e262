import type { GetFollowerFlags } from "../cli/show-specs.js";
import type { Cluster } from "../cluster/cluster.js";
import { OpsError } from "../errors.js";
import type { FollowerList } from "../model/cluster-state.js";
import { shownFollowers } from "../show/replicas.js";
import type { CommandIo } from "./command.js";
import { show } from "./show.js";
import { assertTablet, tablesSoon } from "./tablet-known.js";

/**
 * Shows the followers that a leader replicates to, read from its tablet.
 *
 * @returns 0; see {@link show}.
 * @throws OpsError `refused` for an unknown tablet, `rejected` if it does not run the leader.
 */
export function run(flags: GetFollowerFlags, io: CommandIo): Promise<number> {
  const { endpoint, tid, pid } = flags;
  return show("getfollower", flags, io, async (cluster) => {
    await assertTablet(cluster, endpoint, io);
    return shownFollowers({ endpoint, tid, pid }, await followers(cluster, flags));
  });
}

async function followers(cluster: Cluster, of: GetFollowerFlags): Promise<FollowerList> {
  try {
    return await cluster.getTableFollower(of.endpoint, of);
  } catch (thrown) {
    if (!(thrown instanceof OpsError) || thrown.code !== "rejected") throw thrown;
    throw new OpsError({
      code: "rejected",
      message: thrown.message,
      hint: await whereItLeads(cluster, of),
      cause: thrown,
    });
  }
}

/** A hint with the partition's leader in the record, because the operator named the wrong tablet. */
async function whereItLeads(cluster: Cluster, { tid, pid }: GetFollowerFlags): Promise<string> {
  const table = (await tablesSoon(cluster)).find((one) => one.tid === tid);
  const partition = table?.partitions.find((one) => one.pid === pid);
  if (partition === undefined) return `showtable shows where tid ${tid} pid ${pid} is`;
  const leader = partition.replicas.find((one) => one.isLeader && one.isAlive);
  return leader === undefined
    ? `no leader of tid ${tid} pid ${pid} is alive`
    : `its leader is at ${leader.endpoint}`;
}
