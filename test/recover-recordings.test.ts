import { describe, expect, test } from "vitest";
import { RECORDINGS } from "./helpers/replay.js";
import { runBin } from "./helpers/run-bin.js";
import { sandboxFromRecording } from "./helpers/sandbox.js";

/** The sandbox's seconds per real second: an op takes 10 s for each follower and queue. */
const SPEED = 40;

/** Healthy clusters. A tablet without replicas on record may be down, or have old replicas on its disk. */
const HEALTHY = [
  "restart-1-healthy",
  "names-1-healthy",
  "rows-1-healthy",
  "lost-2-taken-off-the-record",
  "lost-3-back-with-its-old-disk",
  "moved-2-record-names-the-new-one",
];

/** A tablet that is on record does not answer. */
const TABLET_AWAY = [
  "autofailover-1-one-tablet-dead",
  "lost-1-one-tablet-stays-away",
  "moved-1-back-under-another-port",
];

const UNHEALTHY = RECORDINGS.filter((name) => ![...HEALTHY, ...TABLET_AWAY].includes(name));

interface Report {
  readonly exitCode: number;
  readonly healthy: boolean;
  readonly changes: number;
  readonly autoFailover: { readonly before: boolean; readonly after: boolean };
  readonly counts: Readonly<Record<string, number>>;
  readonly partitions: readonly {
    readonly db: string;
    readonly table: string;
    readonly status: string;
    readonly serving: boolean;
    readonly next: string | null;
    readonly problems: readonly { readonly code: string; readonly endpoint: string | null }[];
  }[];
}

async function recover(
  zkCluster: string,
): Promise<{ code: number | undefined; report: Report; stderr: string }> {
  const { code, stdout, stderr } = await runBin([
    "--cmd=recoverdata",
    `--zk_cluster=${zkCluster}`,
    "--zk_root_path=/openmldb",
    "--output=json",
  ]);
  return { code, report: JSON.parse(stdout) as Report, stderr };
}

describe("the real binary on a sandbox booted from a recording", () => {
  test.each(UNHEALTHY)(
    "%s: fully healthy, no row lost, and a second run changes nothing",
    async (name) => {
      const sandbox = await sandboxFromRecording(name, { speed: SPEED });
      const before = sandbox.model.rows();
      const autoFailover = sandbox.model.leader?.autoFailover;

      const first = await recover(sandbox.zkCluster);
      expect(first.code, first.stderr).toBe(0);
      expect(first.report).toMatchObject({ exitCode: 0, healthy: true, counts: { unhealthy: 0 } });
      expect(first.report.autoFailover).toEqual({
        before: autoFailover,
        after: autoFailover,
        notRestored: null,
      });
      expect(sandbox.model.healthy()).toEqual([]);
      for (const partition of sandbox.model.rows()) {
        const was = before.find((one) => one.tid === partition.tid && one.pid === partition.pid);
        // All rows that a disk held when the run began are now on the leader and on all followers.
        const held = Math.max(...(was?.replicas.map((one) => one.acknowledged) ?? [0]));
        expect(partition).toMatchObject({ served: held, lost: was?.lost });
        expect(partition.replicas.map((one) => one.held)).toEqual(
          partition.replicas.map(() => held),
        );
      }

      const second = await recover(sandbox.zkCluster);
      expect(second.code).toBe(0);
      expect(second.report).toMatchObject({ changes: 0, partitions: [] });
      expect(sandbox.model.leader?.autoFailover).toBe(autoFailover);
    },
  );

  test("autofailover-2: 120 rows in every partition of db1.t0, where the old tool left 50 in one", async () => {
    const sandbox = await sandboxFromRecording("autofailover-2-everything-restarted", {
      speed: SPEED,
    });
    expect((await recover(sandbox.zkCluster)).code).toBe(0);
    const rows = sandbox.model.rows({ db: "db1", table: "t0" });
    expect(rows.map((one) => one.served)).toEqual([120, 120, 120, 120]);
    expect(rows.flatMap((one) => one.replicas.map((replica) => replica.held))).toEqual(
      Array(12).fill(120),
    );
  });

  test("autofailover-1: a tablet is down: exit 3, recoverable partitions serve, the others name that tablet", async () => {
    const sandbox = await sandboxFromRecording("autofailover-1-one-tablet-dead", { speed: SPEED });
    const { code, report } = await recover(sandbox.zkCluster);
    expect(code).toBe(3);
    expect(sandbox.model.leader?.autoFailover).toBe(true);
    const dead = sandbox.addresses.get("127.0.0.1:15922");
    for (const partition of report.partitions) {
      expect(partition.serving).toBe(partition.table !== "single0");
      expect(partition.problems.map((one) => one.endpoint)).toEqual([dead]);
      expect(partition.next).toContain(`start tablet ${dead}`);
    }
    expect(report.partitions.map((one) => one.status)).toEqual(
      report.partitions.map(() => "unhealthy"),
    );
    expect(report.counts).toMatchObject({ partitions: 10, serving: 9 });
  });

  test.each(HEALTHY)("%s: nothing is changed", async (name) => {
    const sandbox = await sandboxFromRecording(name);
    const { code, report } = await recover(sandbox.zkCluster);
    expect(code).toBe(0);
    expect(report).toMatchObject({ changes: 0, partitions: [], healthy: true });
  });
});
