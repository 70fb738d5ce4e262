import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { PartitionView } from "../src/model/partition-view.js";
import { NO_ATTEMPTS } from "../src/planning/attempt-history.js";
import { checkLeaderChange } from "../src/policy/check-leader-change.js";
import { givenUpIfLeads, mayGiveUp } from "../src/policy/what-is-given-up.js";
import { withoutLost } from "../src/policy/without-lost-tablets.js";
import { partition } from "./helpers/view.js";

const TWO = [
  { term: 1n, offset: 0n },
  { term: 3n, offset: 51n },
];

/** Tells which nameserver offsets are fresh; all others may be old. */
function fresh(view: PartitionView, endpoints: readonly string[]): PartitionView {
  const replicas = view.replicas.map((one) => ({
    ...one,
    isOffsetFresh: endpoints.includes(one.endpoint),
  }));
  return { ...view, replicas };
}

const summary = (view: PartitionView, lost: readonly string[]) => {
  const { leader, blocked, isProvisional, givesUp, parted } = withoutLost(
    view,
    new Set(lost),
    NO_ATTEMPTS,
  );
  const first = blocked?.code ?? leader?.endpoint ?? "-";
  return `${first} ${givesUp.atLeast}..${givesUp.atMost ?? "?"}${isProvisional ? " provisional" : ""}${parted > 0n ? ` parted ${parted}` : ""}`;
};

describe("a partition without the tablets that are lost for good", () => {
  test.each([
    [
      "a lost follower: the leader holds everything",
      "a leader,alive 9 follower,normal,9\n b follower,alive 9 follower,normal,9\n x follower,alive 9 offline",
      [],
      "a 0..0",
    ],
    [
      "a lost leader, seen fresh no further than the best follower",
      "a follower,alive 9 follower,normal,9\n b follower,alive 8 follower,normal,8\n x leader,alive 9 offline",
      ["x"],
      "a 0..0",
    ],
    [
      "a lost leader, whose offset may be old",
      "a follower,alive 9 follower,normal,9\n x leader,alive 9 offline",
      [],
      "a 0..?",
    ],
    [
      "a lost leader, seen fresh further",
      "a follower,alive 9 follower,normal,9\n x leader,alive 12 offline",
      ["x"],
      "a 3..3",
    ],
    [
      "a lost leader, seen further once",
      "a follower,alive 9 follower,normal,9\n x leader,alive 12 offline",
      [],
      "a 3..?",
    ],
    [
      "a leader that serves stays",
      "a leader,alive 9 leader,normal,9 feeds\n x follower,alive 9 offline",
      [],
      "a 0..0",
    ],
    [
      "nothing is loaded yet: the one known to hold most, provisionally",
      "a follower,alive 9 -\n b follower,alive 7 -\n x leader,alive 9 offline",
      ["x"],
      "a 0..0 provisional",
    ],
    [
      "another leader of the newest term is away, and not declared lost",
      "a follower,alive 9 follower,normal,9\n l leader,alive 9 offline\n x follower,alive 9 offline",
      [],
      "leader-unavailable 0..?",
    ],
    ["the only replica is lost", "x leader,alive 9 offline", ["x"], "- 9..9"],
    ["the only replica is lost, seen long ago", "x leader,alive 9 offline", [], "- 9..?"],
  ])("%s", (_name, table, seen, wanted) => {
    expect(summary(fresh(partition(table), seen), ["x"])).toBe(wanted);
  });

  test("a dead ex-leader is lost: nothing that counts, and what its election gave up is named", () => {
    const view = partition(
      `a leader,alive 60 follower,normal,60
       b follower,alive 60 follower,normal,60
       x leader,dead 70 offline`,
      { terms: TWO },
    );
    expect(summary(view, ["x"])).toBe("a 0..0 parted 20");
  });

  test("all that led are marked dead, and one of them is lost: nothing tells which led last", () => {
    const view = partition(
      `a leader,dead 60 follower,normal,60
       x leader,dead 60 offline`,
      { terms: TWO },
    );
    expect(summary(view, ["x"])).toBe("a 0..?");
  });

  test("a leader that lost rows on its disk, and a lost follower that may have had them: not known", () => {
    const view = partition(
      `a follower,alive 8 follower,normal,8
       l leader,alive 9 follower,normal,4
       x follower,alive 7 offline`,
    );
    expect(summary(view, ["x"])).toBe("a 1..?");
  });
});

/**
 * One leadership: a leader that acknowledged some entries, followers with prefixes of its log. Some
 * tablets are lost; what the nameserver says is fresh (true) or old (any lower value).
 */
const cluster = fc
  .record({
    acknowledged: fc.integer({ min: 0, max: 30 }),
    behind: fc.array(fc.integer({ min: 0, max: 10 }), { minLength: 1, maxLength: 3 }),
    old: fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 4, maxLength: 4 }),
    isFresh: fc.boolean(),
    lost: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
  })
  .map(({ acknowledged, behind, old, isFresh, lost }) => {
    const held = [acknowledged, ...behind.map((one) => Math.max(0, acknowledged - one))];
    const seen = held.map((one, index) => (isFresh ? one : Math.min(one, old[index] ?? 0)));
    const table = held.map((one, index) => {
      const runs = lost[index] === true ? "offline" : `follower,normal,${one}`;
      return `${"labc"[index]} ${index === 0 ? "leader" : "follower"},alive ${seen[index]} ${runs}`;
    });
    const names = held.map((_, index) => "labc"[index] ?? "");
    const gone = names.filter((_, index) => lost[index] === true);
    const view = fresh(partition(table.join("\n")), isFresh ? gone : []);
    return { view, gone, acknowledged: BigInt(acknowledged) };
  });

test("the numbers hold for any cluster (a failure prints the seed that replays it)", () => {
  fc.assert(
    fc.property(cluster, ({ view, gone, acknowledged }) => {
      const { leader, blocked, givesUp } = withoutLost(view, new Set(gone), NO_ATTEMPTS);
      expect(blocked).toBeUndefined();
      const lost = acknowledged - (leader?.report?.offset ?? 0n);
      expect(givesUp.atLeast <= lost).toBe(true);
      if (givesUp.atMost !== undefined) expect(givesUp.atMost >= lost).toBe(true);
      // What needs no acceptance loses nothing.
      if (!mayGiveUp(givesUp)) expect(lost).toBe(0n);
      // The best of those that are left leads.
      const left = view.replicas.filter((one) => !gone.includes(one.endpoint));
      for (const one of left) {
        expect((one.report?.offset ?? 0n) <= (leader?.report?.offset ?? 0n)).toBe(true);
      }
    }),
    { numRuns: 3_000 },
  );
});

test("a change of leader that needs no acceptance loses nothing either, for any cluster", () => {
  let made = 0;
  fc.assert(
    fc.property(cluster, ({ view, acknowledged }) => {
      const change = checkLeaderChange(view, { candidate: "auto", acceptsLoss: false });
      if ("refusal" in change) return;
      made += 1;
      expect(change.offset).toBe(acknowledged);
      // Recovery without that tablet gives the same numbers.
      const leader = view.replicas.find((one) => one.endpoint === change.to);
      expect(leader && mayGiveUp(givenUpIfLeads(view, leader))).toBe(false);
    }),
    { numRuns: 3_000 },
  );
  expect(made).toBeGreaterThan(100);
});
