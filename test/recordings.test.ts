import { expect, test } from "vitest";
import { createCluster } from "../src/cluster/connect.js";
import { realClock } from "../src/cluster/real-clock.js";
import { diagnose } from "../src/diagnosis/diagnose.js";
import { partitionName, viewPartitions } from "../src/model/partition-view.js";
import { observe } from "../src/observe/cluster.js";
import { planDocumented } from "../src/planning/documented.js";
import { servingLeader } from "../src/policy/what-it-holds.js";
import { RECORDINGS, readRecording, replayTransport, replayZooKeeper } from "./helpers/replay.js";

/** Observes a recording through the real clients. @returns The diagnosis, one line for each partition. */
async function diagnosisOf(name: string): Promise<string> {
  const recording = readRecording(name);
  const cluster = await createCluster({
    zk: replayZooKeeper(recording),
    transport: replayTransport(recording),
    clock: realClock,
    rootPath: recording.zk_root_path,
    rpcTimeoutMs: 1_000,
  });
  const state = await observe(cluster);
  const lines = [
    `# ${recording.note}`,
    `nameserver ${state.topology.leader} standbys [${state.topology.standbys.join(" ")}] auto_failover ${state.autoFailover}`,
    `tablets ${[...state.tablets.values()].map((one) => `${one.endpoint} ${one.claim?.state} ${one.reports?.size ?? "silent"}`).join(", ")}`,
  ];
  for (const view of viewPartitions(state)) {
    const lane = planDocumented(view);
    lines.push(
      `${partitionName(view.id)} ${view.storageMode} led by ${servingLeader(view)?.endpoint ?? "nobody"}`,
      ...view.replicas.map((one) => {
        const flags = `${one.claim.isLeader ? "leader" : "follower"},${one.claim.isAlive ? "alive" : "dead"}`;
        const own = diagnose(view).filter((problem) => problem.endpoint === one.endpoint);
        return `    ${one.endpoint} ${flags} offset ${one.claim.offset ?? "-"}: ${own.map((problem) => problem.code).join(" ") || "healthy"}`;
      }),
      ...(lane.steps.length === 0
        ? []
        : [
            `  plan: ${lane.steps.map((step) => `${step.kind} ${step.endpoint ?? ""}`.trim()).join(", ")}`,
          ]),
      ...(lane.blocked === undefined ? [] : [`  blocked: ${lane.blocked.text}`]),
    );
  }
  await cluster.close();
  return `${lines.join("\n")}\n`;
}

test.each(RECORDINGS)("%s is diagnosed as described in its README", async (name) => {
  await expect(await diagnosisOf(name)).toMatchFileSnapshot(`golden/recording-${name}.txt`);
});

test.each(["restart-1-healthy", "names-1-healthy"])("%s: no wrong finding", async (name) => {
  expect(await diagnosisOf(name)).not.toMatch(/plan:|blocked:|marked-dead|not-loaded|behind/);
});
