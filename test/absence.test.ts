import { describe, expect, it } from "vitest";
import { absenceAdvice } from "../src/diagnosis/absence-advice.js";
import { absenceOf, mayBeGivenUp, mayBeServing } from "../src/model/absence.js";
import { adviceText } from "../src/model/advice.js";
import type { TabletClaim, TabletView } from "../src/model/cluster-state.js";
import { moveCandidates } from "../src/policy/tablet-identity.js";
import { print } from "./helpers/printing.js";

const HEALTHY = { isHealthy: true, state: "kHealthy" };
const OFFLINE = { isHealthy: false, state: "kOffline" };

function view(endpoint: string, parts: Partial<TabletView>): TabletView {
  return {
    endpoint,
    claim: undefined,
    isRegistered: false,
    reports: undefined,
    silence: undefined,
    ...parts,
  };
}

function claim(parts: Partial<TabletClaim>): TabletClaim {
  return { endpoint: "a", ...OFFLINE, ageMs: 60_000n, realEndpoint: "", ...parts };
}

describe("each state is proven by its own facts", () => {
  it.each<readonly [string, Partial<TabletView>, object | undefined]>([
    [
      "healthy and answering",
      { claim: claim(HEALTHY), isRegistered: true, reports: new Map() },
      undefined,
    ],
    [
      "registered, healthy, and our call fails",
      { claim: claim(HEALTHY), isRegistered: true, silence: "refused" },
      { kind: "unreachable", silence: "refused", nameserverAddress: undefined },
    ],
    [
      "map/names holds another address than the nameserver has",
      {
        claim: claim({ ...HEALTHY, realEndpoint: "10.0.0.2:9527" }),
        isRegistered: true,
        silence: "refused",
        address: "10.0.0.1:9527",
      },
      { kind: "unreachable", silence: "refused", nameserverAddress: "10.0.0.2:9527" },
    ],
    [
      "registered, and the nameserver has not noticed it yet",
      { claim: claim({ ageMs: 3_600_000n }), isRegistered: true, reports: new Map() },
      {
        kind: "restarting",
        sign: "registered in ZooKeeper, the nameserver still calls it kOffline",
      },
    ],
    [
      "gone for less than a session and a start take",
      { claim: claim({ ageMs: 4_000n }) },
      { kind: "restarting", sign: "kOffline for 4 s" },
    ],
    [
      "its znode is gone, and the nameserver has not noticed it yet",
      { claim: claim(HEALTHY) },
      { kind: "restarting", sign: "its registration in ZooKeeper has just ended" },
    ],
    ["gone", { claim: claim({}) }, { kind: "down", state: "kOffline", awayMs: 60_000n }],
    ["on record only", {}, { kind: "unknown-to-nameserver" }],
    [
      "another tablet without replicas came up",
      { claim: claim({}), mayBeAt: ["b"] },
      { kind: "moved", awayMs: 60_000n, candidates: ["b"] },
    ],
    [
      "it answers with other tables",
      { claim: claim(HEALTHY), isRegistered: true, mismatch: "it has loaded x" },
      { kind: "not-what-it-says", mismatch: "it has loaded x" },
    ],
  ])("%s", (_what, parts, absence) => {
    expect(absenceOf(view("a", parts))).toEqual(absence);
  });
});

describe("the text and the allowed actions follow from the state", () => {
  it("a tablet that may be serving is neither started nor given up", () => {
    const absence = {
      kind: "unreachable",
      silence: "no route",
      nameserverAddress: undefined,
    } as const;
    expect(mayBeServing(absence)).toBe(true);
    expect(mayBeGivenUp(absence)).toBe(false);
    expect(adviceText(absenceAdvice("a", absence, print))).toBe(
      "make tablet a reachable from this machine (no route)",
    );
  });

  it("nothing is given up while a tablet may be restarting", () => {
    expect(mayBeGivenUp({ kind: "restarting", sign: "kOffline for 2 s" })).toBe(false);
    expect(mayBeGivenUp({ kind: "down", state: "kOffline", awayMs: 60_000n })).toBe(true);
  });
});

describe("a tablet that may have moved", () => {
  const up = (endpoint: string, ageMs: bigint) =>
    view(endpoint, {
      claim: claim({ ...HEALTHY, endpoint, ageMs }),
      isRegistered: true,
      reports: new Map(),
    });
  const all = (...views: TabletView[]) => new Map(views.map((one) => [one.endpoint, one]));
  const recorded = new Set(["a", "b"]);

  it("the candidate has no replica on record and started after the other one was gone", () => {
    const tablets = all(view("a", { claim: claim({}) }), up("b", 5n), up("c", 50_000n));
    expect(moveCandidates(tablets, recorded)).toEqual(new Map([["a", ["c"]]]));
  });

  it("a spare tablet that started long before the other one was gone is no candidate", () => {
    const tablets = all(view("a", { claim: claim({}) }), up("b", 5n), up("c", 86_400_000n));
    expect(moveCandidates(tablets, recorded).size).toBe(0);
  });

  it("a registered tablet has not moved", () => {
    const tablets = all(view("a", { claim: claim({}), isRegistered: true }), up("c", 5n));
    expect(moveCandidates(tablets, recorded).size).toBe(0);
  });
});
