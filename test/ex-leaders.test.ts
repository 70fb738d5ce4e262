import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { ChangeLeaderRequestSchema, NameServer } from "../src/gen/openmldb/nameserver_pb.js";
import { rowCount } from "../src/sandbox/model/runs.js";
import { dirAt, partsOf } from "./simulation/partitions.js";
import { runTool } from "./simulation/tool-run.js";
import { startWorld, type World } from "./simulation/world.js";

const T = { db: "db", table: "t" };

/** ChangeLeader to that replica, while clients write; the old leader goes on as leader on its tablet. */
async function changeLeader(world: World, candidateLeader: string): Promise<void> {
  const { model, clock } = world;
  const request = create(ChangeLeaderRequestSchema, {
    db: T.db,
    name: T.table,
    pid: 0,
    candidateLeader,
  });
  const server = model.leader?.address ?? "";
  // The last rows of the old leader are on no follower yet.
  model.put(4, T);
  await clock.run(model.call(server, NameServer.method.changeLeader, request), 10_000);
  await clock.advance(1_000);
  model.put(20, T);
  await clock.advance(1_000);
}

test.each(["direct", "documented"] as const)(
  "%s: a replica that is rebuilt gets nothing from an ex-leader that still runs",
  async (method) => {
    const world = await startWorld({
      tablets: 3,
      nameservers: 1,
      seed: 3,
      options: { autoFailover: false },
    });
    const { model, clock } = world;
    model.createTable({ ...T, partitions: 1, replicas: 3 });
    model.put(40, T);
    await clock.advance(5_000);
    const [of] = partsOf(model);
    const followers = of?.part.partitionMeta.filter((one) => !one.isLeader) ?? [];
    for (const { endpoint } of followers) await changeLeader(world, endpoint);

    await runTool(world, await world.open(), { method });
    await clock.advance(10_000);
    model.put(5, T);
    await clock.advance(5_000);

    expect(model.healthy()).toEqual([]);
    for (const part of partsOf(model)) {
      for (const { endpoint } of part.part.partitionMeta) {
        const dir = dirAt(model, part, endpoint);
        // No hole: as many rows as the offset says.
        expect(rowCount(dir?.runs ?? []), endpoint).toBe(Number(dir?.offset));
      }
    }
  },
);
