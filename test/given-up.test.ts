import { describe, expect, test } from "vitest";
import { mayGiveUp } from "../src/model/loss.js";
import { changeLeaderOperation } from "../src/operations/change-leader.js";
import { givenUpIfLeads } from "../src/policy/what-is-given-up.js";
import {
  clusterWith,
  disconnectFollower,
  flagsOf,
  operateOn,
  refusalOf,
  withC,
  withoutC,
} from "./helpers/operate-virtual.js";
import { print } from "./helpers/printing.js";
import { partition } from "./helpers/view.js";

const givenUp = (table: string, more: { fresh?: boolean; lastSeen?: bigint } = {}) => {
  const view = partition(table);
  const replicas = view.replicas.map((one) =>
    one.tablet === "ok" ? one : { ...one, isOffsetFresh: more.fresh },
  );
  const seen = { ...view, replicas };
  const choice = replicas.find((one) => one.endpoint === "a");
  if (choice === undefined) throw new Error("no replica a");
  const { atLeast, atMost } = givenUpIfLeads(seen, choice, { lastSeen: more.lastSeen });
  return `${atLeast}..${atMost ?? "?"}`;
};

describe("what is given up if replica a leads", () => {
  test.each([
    [
      "the leader of the newest term itself: nothing, although a follower is unreachable",
      "a leader,alive 9 follower,normal,9\n b follower,alive 9 offline",
      {},
      "0..0",
    ],
    [
      "the leader is unreachable, and its known offset may be old: not known",
      "a follower,alive 9 follower,normal,9\n l leader,alive 9 offline",
      {},
      "0..?",
    ],
    [
      "the leader is unreachable, and its known offset is no greater: nothing known",
      "a follower,alive 9 follower,normal,9\n l leader,alive 9 offline",
      { fresh: true },
      "0..0",
    ],
    [
      "the same, proven by an earlier observation",
      "a follower,alive 9 follower,normal,9\n l leader,alive 9 offline",
      { lastSeen: 9n },
      "0..0",
    ],
    [
      "an earlier observation proved another offset: not known",
      "a follower,alive 9 follower,normal,9\n l leader,alive 9 offline",
      { lastSeen: 8n },
      "0..?",
    ],
    [
      "the leader is unreachable and its known offset is greater",
      "a follower,alive 9 follower,normal,9\n l leader,alive 12 offline",
      { fresh: true },
      "3..3",
    ],
    [
      "the leader is unreachable, its known offset is greater, and that may be old",
      "a follower,alive 9 follower,normal,9\n l leader,alive 12 offline",
      {},
      "3..?",
    ],
    [
      "an ex-leader marked not alive is unreachable, and the leader answers",
      "a leader,alive 9 follower,normal,9\n l leader,dead 9 offline",
      {},
      "0..0",
    ],
    [
      "another replica holds more",
      "a follower,alive 9 follower,normal,9\n b follower,alive 9 follower,normal,14\n l leader,alive 9 follower,normal,9",
      {},
      "5..5",
    ],
    [
      "a leader that lost rows answers, and a follower that may have them is unreachable: not known",
      "a follower,alive 9 follower,normal,9\n b follower,alive 9 offline\n l leader,alive 9 follower,normal,4",
      {},
      "0..?",
    ],
    [
      "a leader that serves holds everything",
      "a follower,alive 9 follower,normal,9\n b follower,alive 9 offline\n l leader,alive 9 leader,normal,9 replicates",
      {},
      "0..0",
    ],
  ])("%s", (_name, table, more, wanted) => {
    expect(givenUp(table, more)).toBe(wanted);
  });

  test("entries may be given up unless both bounds are 0", () => {
    expect(mayGiveUp({ atLeast: 0n, atMost: 0n })).toBe(false);
    expect(mayGiveUp({ atLeast: 0n, atMost: undefined })).toBe(true);
    expect(mayGiveUp({ atLeast: 2n, atMost: 2n })).toBe(true);
  });
});

describe("the leader holds rows that no follower has, everything restarts, and its tablet stays down", () => {
  const change = (acceptsLoss: boolean) =>
    changeLeaderOperation({
      print,
      db: "db1",
      table: "t0",
      pid: 0,
      candidate: "auto",
      recovers: true,
      acceptsLoss,
    });

  async function leaderAway() {
    const virtual = await clusterWith();
    await disconnectFollower(virtual, "a:9527");
    await disconnectFollower(virtual, "b:9527");
    virtual.model.put(20);
    await virtual.pass(500);
    await withoutC(virtual);
    // After a restart a nameserver knows only the offsets of the record in ZooKeeper.
    const nameservers = virtual.model.processes.filter((one) => one.tablet === undefined);
    for (const one of nameservers) one.kill();
    for (const one of nameservers) one.start();
    await virtual.pass(30_000);
    return virtual;
  }

  test("a change of leader is refused, since the leader's entries are unknown", async () => {
    const virtual = await leaderAway();
    const text = await refusalOf(virtual, change(false));
    expect(text).toContain("nothing proves that it has all of c:9527");
    expect(text).toContain("at least 0 entries (how many at most is not known)");
    expect(text).toContain("--accept_data_loss");
    expect(flagsOf(virtual)).toContain("c leader alive");
  });

  test("accepted, the change is made, and the plan names the possible loss", async () => {
    const virtual = await leaderAway();
    const report = await operateOn(virtual, change(true));
    expect(report.complaints).toEqual([]);
    expect(report.plan.notes.join()).toContain(
      "--accept_data_loss: at least 0 entries (how many at most is not known) of db1.t0:0",
    );
    expect(flagsOf(virtual)).toContain("a leader alive");
    await withC(virtual);
  });
});
