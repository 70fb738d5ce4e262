// The clusters that are recovered, by their number of replicas; the system tables' 10 are counted.
// 20 rows in each partition.

/** As `startSandbox` takes them. */
export const CLUSTERS = {
  empty: { tables: 0, partitions: 1, replicas: 1, tablets: 3 },
  // Each tablet has 21 replicas of tables of users.
  21: { tables: 7, partitions: 3, replicas: 3, tablets: 3 },
  // The small cluster that was measured with the real thing has a disk table and single replicas.
  27: { tables: 7, partitions: 1, replicas: 3, tablets: 3, hddTables: 1, singleReplicaTables: 2 },
  130: { tables: 10, partitions: 4, replicas: 3, tablets: 3 },
  1000: { tables: 33, partitions: 10, replicas: 3, tablets: 3 },
  // What was recovered by hand on a real cluster.
  2410: { tables: 100, partitions: 8, replicas: 3, tablets: 3 },
};

/** A cluster of about so many replicas for the virtual clock: larger ones have more tablets. */
export function clusterOf(replicas) {
  const known = CLUSTERS[replicas];
  if (known !== undefined) return known;
  const tables = Math.round((replicas - 10) / 24);
  return { tables, partitions: 8, replicas: 3, tablets: Math.round(replicas / 240) };
}
