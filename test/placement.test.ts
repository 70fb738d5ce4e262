import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  balanceReplicas,
  evacuate,
  type PlacedPartition,
  type Placement,
} from "../src/operations/placement.js";
import { type LeaderChoice, spreadLeaders } from "../src/operations/placement-leaders.js";
import { startTurnClock } from "./helpers/turn-clock.js";
import "./helpers/fixed-cases.js";

const NAMES = ["a", "b", "c", "d", "e"];

/** Partitions on some of the tablets, as in a cluster that others have just joined. */
function partitions(most: {
  readonly tablets: number;
  readonly partitions: number;
  readonly surplus?: boolean;
  readonly frozen?: boolean;
}): fc.Arbitrary<{ readonly tablets: string[]; readonly partitions: PlacedPartition[] }> {
  return fc
    .integer({ min: 1, max: most.tablets })
    .chain((count) => {
      const tablets = NAMES.slice(0, count);
      const one = fc
        .tuple(
          fc.subarray(tablets, { minLength: 1 }),
          fc.nat(2),
          fc.nat(9),
          fc.boolean(),
          fc.boolean(),
        )
        .map(([replicas, table, leader, isFrozen, hasSurplus]) => ({
          table: String(table),
          replicas,
          leader: replicas[leader % replicas.length] ?? "",
          wanted: replicas.length - (most.surplus && hasSurplus && replicas.length > 1 ? 1 : 0),
          isMovable: !(most.frozen && isFrozen),
        }));
      return fc.tuple(fc.constant(tablets), fc.array(one, { maxLength: most.partitions }));
    })
    .map(([tablets, all]) => ({
      tablets,
      partitions: all.map((one, index) => ({ ...one, key: `p${index}` })),
    }));
}

/** The replicas of each tablet after a placement. Fails if a move is impossible. */
function applied(all: readonly PlacedPartition[], placement: Placement): Map<string, Set<string>> {
  const held = new Map(all.map((one) => [one.key, new Set(one.replicas)]));
  for (const { key, from } of [...placement.moves, ...placement.drops]) {
    expect(held.get(key)!.delete(from), `${key} leaves ${from}`).toBe(true);
  }
  for (const { key, to } of placement.moves) {
    expect(held.get(key)!.has(to), `${key} twice at ${to}`).toBe(false);
    held.get(key)!.add(to);
  }
  return held;
}

function countsOf(held: Iterable<ReadonlySet<string>>, tablets: readonly string[]): number[] {
  const sets = [...held];
  return tablets.map((tablet) => sets.filter((set) => set.has(tablet)).length);
}

const spreadOf = (counts: readonly number[]) => Math.max(...counts) - Math.min(...counts);

/** The fewest moves that make any two tablets differ by at most one: all placements are tried. */
function fewestMoves(all: readonly PlacedPartition[], tablets: readonly string[]): number {
  // States by counts per tablet: later moves do not depend on the earlier ones.
  let states = new Map<string, number>([[tablets.map(() => 0).join(), 0]]);
  for (const one of all) {
    const next = new Map<string, number>();
    for (let mask = 0; mask < 2 ** tablets.length; mask += 1) {
      const chosen = tablets.filter((_, index) => (mask >> index) & 1);
      if (chosen.length !== one.replicas.length) continue;
      const moves = chosen.filter((tablet) => !one.replicas.includes(tablet)).length;
      for (const [key, cost] of states) {
        const counts = key.split(",").map(Number);
        const sum = counts.map((count, index) => count + ((mask >> index) & 1)).join();
        next.set(sum, Math.min(next.get(sum) ?? Number.POSITIVE_INFINITY, cost + moves));
      }
    }
    states = next;
  }
  const balanced = [...states].filter(([key]) => spreadOf(key.split(",").map(Number)) <= 1);
  return Math.min(...balanced.map(([, cost]) => cost));
}

describe("balanceReplicas", () => {
  it("balances with the fewest possible moves (all placements of small clusters are tried)", () => {
    fc.assert(
      fc.property(partitions({ tablets: 4, partitions: 7 }), ({ tablets, partitions: all }) => {
        const placement = balanceReplicas(all, tablets);
        const counts = countsOf(applied(all, placement).values(), tablets);
        expect(spreadOf(counts)).toBeLessThanOrEqual(1);
        expect(placement.drops).toEqual([]);
        expect(placement.moves).toHaveLength(fewestMoves(all, tablets));
      }),
      { numRuns: 400 },
    );
  });

  it("does nothing the second time, and gives equal results for equal input", () => {
    const wide = partitions({ tablets: 5, partitions: 30, surplus: true, frozen: true });
    fc.assert(
      fc.property(wide, ({ tablets, partitions: all }) => {
        const placement = balanceReplicas(all, tablets);
        expect(balanceReplicas(all, tablets)).toEqual(placement);
        const held = applied(all, placement);
        const after = all.map((one) => {
          const replicas = [...held.get(one.key)!].sort();
          const leader = replicas.includes(one.leader) ? one.leader : replicas[0]!;
          return { ...one, replicas, leader };
        });
        expect(balanceReplicas(after, tablets)).toEqual({ moves: [], drops: [] });
        for (const one of after) {
          if (one.isMovable) expect(one.replicas).toHaveLength(one.wanted);
          else
            expect(new Set(one.replicas)).toEqual(
              new Set(all.find((p) => p.key === one.key)!.replicas),
            );
        }
      }),
      { numRuns: 300 },
    );
  });

  it("uses a third tablet if a movable replica has no direct way", () => {
    const fixed = { table: "t", wanted: 1, isMovable: false };
    const all: PlacedPartition[] = [
      // a has three, c none. The only movable replica of a is on c already, or may go to b only.
      { ...fixed, key: "x", replicas: ["a"], leader: "a" },
      { ...fixed, key: "y", replicas: ["a"], leader: "a" },
      { key: "m", table: "t", replicas: ["a", "c"], leader: "a", wanted: 2, isMovable: true },
      { key: "n", table: "t", replicas: ["b"], leader: "b", wanted: 1, isMovable: true },
    ];
    const held = applied(all, balanceReplicas(all, ["a", "b", "c"]));
    expect(countsOf(held.values(), ["a", "b", "c"]).sort()).toEqual([1, 2, 2]);
  });

  it("moves followers before leaders, and spreads each table", () => {
    const all = Array.from(
      { length: 12 },
      (_, index): PlacedPartition => ({
        key: `p${index}`,
        table: index < 6 ? "t" : "u",
        replicas: ["a", "b"],
        leader: index % 2 === 0 ? "a" : "b",
        wanted: 2,
        isMovable: true,
      }),
    );
    const { moves } = balanceReplicas(all, ["a", "b", "c"]);
    expect(moves).toHaveLength(8);
    for (const { key, from } of moves) {
      expect(all.find((one) => one.key === key)!.leader).not.toBe(from);
    }
    expect(moves.filter(({ key }) => Number(key.slice(1)) < 6)).toHaveLength(4);
  });

  it("replicas on an unused tablet stay there and do not count", () => {
    const all: PlacedPartition[] = [
      { key: "p", table: "t", replicas: ["a", "gone"], leader: "a", wanted: 2, isMovable: true },
      { key: "q", table: "t", replicas: ["a", "gone"], leader: "a", wanted: 2, isMovable: true },
    ];
    const { moves } = balanceReplicas(all, ["a", "b"]);
    expect(moves).toEqual([{ key: "p", from: "a", to: "b" }]);
  });

  it("sends no replica to a tablet that is barred from its partition", () => {
    const of = (key: string, barred: readonly string[]): PlacedPartition => {
      return { key, table: "t", replicas: ["a"], leader: "a", wanted: 1, isMovable: true, barred };
    };
    const all = [of("p", ["b"]), of("q", ["b"]), of("r", [])];
    const move = { from: "a", to: "b" };
    expect(balanceReplicas(all, ["a", "b"]).moves).toEqual([{ key: "r", ...move }]);
    const { moves } = evacuate(all, new Set(["a"]), ["b", "c"]);
    expect(moves.filter(({ to }) => to === "b")).toEqual([{ key: "r", ...move }]);
    expect(moves).toHaveLength(3);
  });

  it("has nothing to do without partitions, and with one tablet", () => {
    expect(balanceReplicas([], ["a", "b"])).toEqual({ moves: [], drops: [] });
    const one = { key: "p", table: "t", replicas: ["a"], leader: "a", wanted: 1, isMovable: true };
    expect(balanceReplicas([one], ["a"])).toEqual({ moves: [], drops: [] });
  });

  it("places a thousand partitions on thirty tablets in the time of an observation of the cluster", () => {
    const tablets = Array.from({ length: 30 }, (_, index) => `t${String(index).padStart(2, "0")}`);
    const all = Array.from({ length: 1000 }, (_, index): PlacedPartition => {
      const replicas = [0, 1, 2].map((more) => tablets[(index + more) % 20]!);
      return {
        key: `p${index}`,
        table: String(index % 9),
        replicas,
        leader: replicas[0]!,
        wanted: 3,
        isMovable: true,
      };
    });
    const began = startTurnClock();
    const placement = balanceReplicas(all, tablets);
    expect(began()).toBeLessThan(5_000);
    expect(placement.moves).toHaveLength(1000);
    expect(spreadOf(countsOf(applied(all, placement).values(), tablets))).toBe(0);
  });
});

describe("evacuate", () => {
  it("moves each replica once, to targets only, and never two of a partition to one tablet", () => {
    fc.assert(
      fc.property(
        partitions({ tablets: 5, partitions: 20, surplus: true }),
        fc.integer({ min: 1, max: 2 }),
        ({ tablets, partitions: all }, many) => {
          const leaving = new Set(tablets.slice(0, many));
          const targets = tablets.slice(many);
          const fitting = all.filter((one) => one.wanted <= targets.length);
          const placement = evacuate(fitting, leaving, targets);
          const held = applied(fitting, placement);
          expect(countsOf(held.values(), [...leaving])).toEqual([...leaving].map(() => 0));
          for (const one of fitting) {
            const here = one.replicas.filter((tablet) => leaving.has(tablet)).length;
            const moved = placement.moves.filter(({ key }) => key === one.key);
            const dropped = placement.drops.filter(({ key }) => key === one.key);
            expect(moved.length + dropped.length).toBe(here);
            expect(moved.every(({ from, to }) => leaving.has(from) && targets.includes(to))).toBe(
              true,
            );
            expect(held.get(one.key)!.size).toBeGreaterThanOrEqual(one.wanted);
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  it("single replicas move to the tablets with the fewest replicas", () => {
    const on = (key: string, tablet: string): PlacedPartition => ({
      key,
      table: "t",
      replicas: [tablet],
      leader: tablet,
      wanted: 1,
      isMovable: true,
    });
    const all = [...["0", "1", "2", "3"].map((key) => on(key, "a")), on("4", "b"), on("5", "b")];
    const held = applied(all, evacuate(all, new Set(["a"]), ["b", "c"]));
    expect(countsOf(held.values(), ["a", "b", "c"])).toEqual([0, 3, 3]);
  });
});

describe("spreadLeaders", () => {
  const choices = fc
    .array(fc.tuple(fc.subarray(NAMES, { minLength: 1 }), fc.constantFrom(...NAMES)), {
      maxLength: 25,
    })
    .map((all) =>
      all.map(
        ([candidates, current], index): LeaderChoice => ({ key: `p${index}`, candidates, current }),
      ),
    );

  it("chooses candidates only, changes nothing the second time, and leaves no direct improvement", () => {
    fc.assert(
      fc.property(choices, (all) => {
        const next = spreadLeaders(all, NAMES, false);
        const after = all.map((one) => ({ ...one, current: next.get(one.key) ?? one.current }));
        const count = (tablet: string) => after.filter((one) => one.current === tablet).length;
        for (const { candidates, current } of after) {
          expect(candidates).toContain(current);
          for (const other of candidates) {
            expect(count(current) - count(other)).toBeLessThanOrEqual(1);
          }
        }
        expect(spreadLeaders(after, NAMES, false).size).toBe(0);
      }),
      { numRuns: 400 },
    );
  });

  it("changes only leaders that must move, if requested", () => {
    fc.assert(
      fc.property(choices, (all) => {
        const next = spreadLeaders(all, NAMES, true);
        const forced = all.filter((one) => !one.candidates.includes(one.current));
        expect([...next.keys()].sort()).toEqual(forced.map((one) => one.key).sort());
      }),
      { numRuns: 200 },
    );
  });

  it("avoids chains of two changes if only leaders that must move may change", () => {
    const all: LeaderChoice[] = [
      { key: "0", current: "b", candidates: ["b"] },
      { key: "1", current: "b", candidates: ["b"] },
      { key: "2", current: "gone", candidates: ["b", "c"], detour: "c" },
    ];
    expect([...spreadLeaders(all, ["b", "c"], true)]).toEqual([["2", "b"]]);
    expect([...spreadLeaders(all, ["b", "c"], false)]).toEqual([["2", "c"]]);
  });

  it("moves leadership along a chain if there is no direct way", () => {
    const all: LeaderChoice[] = [
      { key: "0", current: "a", candidates: ["a", "b"] },
      { key: "1", current: "a", candidates: ["a", "b"] },
      { key: "2", current: "b", candidates: ["b", "c"] },
    ];
    expect([...spreadLeaders(all, ["a", "b", "c"], false)]).toEqual([
      ["0", "b"],
      ["2", "c"],
    ]);
  });
});
