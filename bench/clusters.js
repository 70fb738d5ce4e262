// The clusters that are recovered, by their number of replicas, including 10 of system tables. 20 rows in each partition.

/** Options of `startSandbox`. */
export const CLUSTERS = {
  empty: { tables: 0, partitions: 1, replicas: 1, tablets: 3 },
  // Each tablet has 21 replicas of user tables.
  21: { tables: 7, partitions: 3, replicas: 3, tablets: 3 },
  // Like the small real cluster that was measured, with a disk table and single replicas.
  27: { tables: 7, partitions: 1, replicas: 3, tablets: 3, hddTables: 1, singleReplicaTables: 2 },
  130: { tables: 10, partitions: 4, replicas: 3, tablets: 3 },
  1000: { tables: 33, partitions: 10, replicas: 3, tablets: 3 },
  // Like the real cluster that was recovered by a script.
  2410: { tables: 100, partitions: 8, replicas: 3, tablets: 3 },
};

/** A cluster of about so many replicas for the virtual clock. Larger ones have more tablets. */
export function clusterOf(replicas) {
  const known = CLUSTERS[replicas];
  if (known !== undefined) return known;
  const tables = Math.round((replicas - 10) / 24);
  return { tables, partitions: 8, replicas: 3, tablets: Math.round(replicas / 240) };
}
