import type { GetFollowerFlags, GetTableStatusFlags } from "../cli/show-specs.js";
import type { Cluster } from "../cluster/cluster.js";
import { messageOf, OpsError, refused } from "../errors.js";
import { EXIT } from "../exit-codes.js";
import type {
  Endpoint,
  FollowerList,
  PartitionNumbers,
  ReplicaReport,
  TableClaim,
  Topology,
} from "../model/cluster-state.js";
import { compareText } from "../model/partition-view.js";
import { tableNames } from "../show/known.js";
import {
  shownFollowers,
  shownReplicas,
  shownReplicasOfAll,
  type TabletAnswer,
} from "../show/replicas.js";
import { unknownName } from "../util/nearest.js";
import { within } from "../util/within.js";
import type { CommandIo } from "./command.js";
import { type Answer, showCommand } from "./show.js";

/**
 * Shows the replicas that one tablet, or every tablet, has loaded, read from the tablets.
 *
 * @returns 0; see {@link showCommand}. Without an endpoint 3 if a tablet did not answer.
 * @throws OpsError `refused` for an unknown tablet, and if the requested replica is not loaded there.
 */
export const getTableStatus = showCommand<GetTableStatusFlags>(
  "gettablestatus",
  async (cluster, { flags, io }) => {
    const { endpoint } = flags;
    if (endpoint === undefined) return statusOfAll(cluster, flags);
    await assertTablet(cluster, endpoint, io);
    const [all, tables] = await Promise.all([
      cluster.getTableStatus(endpoint),
      tablesSoon(cluster),
    ]);
    const reports = all.filter((one) => isWanted(one, flags));
    if (flags.tid !== undefined && reports.length === 0) throw notLoaded(endpoint, flags, all);
    return shownReplicas(endpoint, reports, tableNames(tables, endpoint));
  },
);

/** The filter of the shown replicas. */
type Wanted = Pick<GetTableStatusFlags, "tid" | "pid">;

function isWanted(one: Pick<ReplicaReport, "tid" | "pid">, { tid, pid }: Wanted): boolean {
  return (tid === undefined || one.tid === tid) && (pid === undefined || one.pid === pid);
}

async function statusOfAll(cluster: Cluster, wanted: Wanted): Promise<Answer> {
  const [tables, endpoints] = await Promise.all([tablesSoon(cluster), allTablets(cluster)]);
  const answers = await Promise.all(
    endpoints.map(async (endpoint): Promise<TabletAnswer> => {
      const names = tableNames(tables, endpoint);
      try {
        const all = await cluster.getTableStatus(endpoint);
        return { endpoint, names, reports: all.filter((one) => isWanted(one, wanted)) };
      } catch (error) {
        if (!(error instanceof OpsError) || error.code === "interrupted") throw error;
        return { endpoint, names, error: messageOf(error) };
      }
    }),
  );
  const isPartly = answers.some((one) => "error" in one);
  return { ...shownReplicasOfAll(answers), exitCode: isPartly ? EXIT.partly : EXIT.ok };
}

/** All tablets that ZooKeeper or the nameserver lists, sorted. */
async function allTablets(cluster: Cluster): Promise<Endpoint[]> {
  const [topology, claims] = await Promise.all([cluster.topology(), cluster.showTablet()]);
  const known = [...topology.tablets, ...claims.map((one) => one.endpoint)];
  return [...new Set(known)].sort(compareText);
}

function notLoaded(
  endpoint: Endpoint,
  { tid, pid }: Wanted,
  all: readonly PartitionNumbers[],
): OpsError {
  const tids = [...new Set(all.map((one) => one.tid))].sort((a, b) => a - b);
  const pids = all.filter((one) => one.tid === tid).map((one) => one.pid);
  const loaded =
    pids.length > 0 ? `of tid ${tid} pid ${pids.join(", ")}` : `tid ${tids.join(", ")}`;
  return refused(
    `${endpoint} has not loaded tid ${tid}${pid === undefined ? "" : ` pid ${pid}`}`,
    all.length === 0 ? "it has loaded nothing" : `it has loaded ${loaded}`,
  );
}

/**
 * Shows the followers that a leader replicates to, read from its tablet.
 *
 * @returns 0; see {@link showCommand}.
 * @throws OpsError `refused` for an unknown tablet, `rejected` if it does not run the leader.
 */
export const getFollower = showCommand<GetFollowerFlags>(
  "getfollower",
  async (cluster, { flags, io }) => {
    const { endpoint, tid, pid } = flags;
    await assertTablet(cluster, endpoint, io);
    return shownFollowers({ endpoint, tid, pid }, await followers(cluster, flags));
  },
);

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

/** Limit in milliseconds for reading tables that are needed for display names only. */
const SOON_MS = 2_000;

/** All tables, to display names for tids; empty if no nameserver answers within {@link SOON_MS}. */
async function tablesSoon(cluster: Cluster): Promise<readonly TableClaim[]> {
  return within(cluster.clock, SOON_MS, "the nameserver", cluster.showTable()).catch(() => []);
}

/**
 * Refuses an endpoint that is not a tablet of the cluster. An endpoint that is registered in ZooKeeper is accepted
 * without calling the nameserver, and any endpoint is accepted while no nameserver leads.
 *
 * @throws OpsError `refused` with the nearest known endpoint, and the errors of ZooKeeper and the nameserver.
 */
async function assertTablet(cluster: Cluster, endpoint: Endpoint, io: CommandIo): Promise<void> {
  const topology = await topologyIfLed(cluster, endpoint, io);
  if (topology === undefined || topology.tablets.includes(endpoint)) return;
  const claims = await cluster.showTablet();
  if (claims.some((one) => one.endpoint === endpoint)) return;
  const known = [...topology.tablets, ...claims.map((one) => one.endpoint)];
  throw unknownName("tablet", endpoint, [...new Set(known)].sort(compareText));
}

async function topologyIfLed(
  cluster: Cluster,
  endpoint: Endpoint,
  io: CommandIo,
): Promise<Topology | undefined> {
  try {
    return await cluster.topology();
  } catch (thrown) {
    if (!(thrown instanceof OpsError) || thrown.code !== "no-leader") throw thrown;
    io.log.warn(`${messageOf(thrown)}; ${endpoint} is queried anyway`);
    return undefined;
  }
}
