import { describe, expect, test } from "vitest";
import { changing, doing } from "../src/model/advice.js";
import { buildReport } from "../src/report/build.js";
import type { ReportDocument } from "../src/report/document.js";
import { reportHtml } from "../src/report/html.js";
import { html, scriptJson } from "../src/report/html-text.js";
import { timelineHtml } from "../src/report/html-timeline.js";
import { reportMarkdown } from "../src/report/markdown.js";
import { lastSuccessIn, metricsText } from "../src/report/metrics.js";
import { BEGAN_MS, emptyParts, rowOf, sampleReport, stepEnded } from "./helpers/sample-report.js";

describe("the partitions of a report", () => {
  test("problems, steps and durations come from the events", () => {
    const endpoint = "a:1";
    const steps = [
      { step: "load-follower", endpoint, why: "not-loaded" },
      { step: "load-follower", endpoint: "b:1", why: "not-loaded" },
      { step: "mark-alive", endpoint: "b:1", why: "marked-dead" },
      { step: "recover-table", endpoint: "b:1", why: "forced" },
    ];
    const report = buildReport({
      ...emptyParts(),
      partitions: [rowOf("db.t:0")],
      events: [
        { atMs: BEGAN_MS, event: { kind: "plan", time: "", partition: "db.t:0", round: 1, steps } },
        stepEnded(40, { partition: "db.t:0", step: "load-follower", endpoint, tookMs: 30 }),
        stepEnded(60, { partition: "db.t:0", step: "load-follower", endpoint: "b:1", tookMs: 10 }),
        stepEnded(90, { partition: "db.t:0", step: "wait-sync", endpoint: "b:1" }),
      ],
    });
    expect(report.partitions).toMatchObject([
      {
        partition: "db.t:0",
        was: ["not-loaded x2", "marked-dead"],
        done: ["load-follower x2"],
        tookMs: 80,
      },
    ]);
  });

  test("a run that ended before its final observation reports only what was observed", () => {
    const tablet = { endpoint: "a:1", health: "ok" as const, detail: "" };
    const seen = { ...tablet, replicas: 3, leaders: 1, alive: 3, loaded: 0 };
    const report = buildReport({
      ...emptyParts(),
      events: [
        {
          atMs: BEGAN_MS,
          event: { kind: "observed", time: "", when: "before", nameserver: "n:1", tablets: [seen] },
        },
        {
          atMs: BEGAN_MS + 9,
          event: {
            kind: "partition-ended",
            time: "",
            partition: "db.t:0",
            failure: "load: refused",
          },
        },
      ],
    });
    const markdown = reportMarkdown(report);
    expect(markdown).toContain("| db.t:0 | not finished |");
    expect(markdown).toContain("## Tablets before the run");
    expect(reportHtml(report, { css: "", script: "", sha256: () => "" })).toContain(
      "Before the run; it ended before it observed the cluster again.",
    );
  });

  test("given up, rebuilt and at risk have lists of their own", () => {
    const report = buildReport({
      ...emptyParts(),
      partitions: [
        rowOf("db.t:1", {
          status: "unhealthy",
          problems: [{ code: "rows-missing", endpoint: "a:1", text: "5 entries fewer" }],
        }),
      ],
      events: [
        {
          atMs: BEGAN_MS,
          event: {
            kind: "plan",
            time: "",
            partition: "db.t:0",
            round: 1,
            steps: [],
            notes: ["a:1 leads from offset 7; b:1 gives up 3 entries"],
            givesUp: true,
          },
        },
        stepEnded(9, { partition: "db.t:0", step: "change-leader", endpoint: "a:1" }),
        stepEnded(20, { partition: "db.t:0", step: "recover-table", endpoint: "b:1" }),
      ],
    });
    expect(report.givenUp).toEqual([
      { partition: "db.t:0", text: "a:1 leads from offset 7; b:1 gives up 3 entries" },
    ]);
    expect(report.rebuilt).toEqual([
      { partition: "db.t:0", text: "b:1 was sent the leader's data" },
    ]);
    expect(report.atRisk).toEqual([{ partition: "db.t:1", text: "a:1: 5 entries fewer" }]);
  });

  test("equal advice is given once, with its alternatives, and with commands as separate fields", () => {
    const run = "openmldb-ops --cmd=recoverdata";
    const start = changing("start tablet a:1, then run", run, "server");
    const advice = [
      [start],
      [start, changing("to continue", `${run} --x=1`, "thought")],
      [changing("run", run)],
    ];
    const { left } = buildReport({
      ...emptyParts(),
      partitionAdvice: advice,
      advice: [[doing("check nameserver b:1", "server")]],
    });
    expect(left).toEqual([
      {
        ways: [
          { what: "start tablet a:1, then run", command: run, partitions: 2 },
          { what: "to continue", command: `${run} --x=1`, partitions: 1 },
        ],
      },
      { ways: [{ what: "run", command: run, partitions: 1 }] },
      { ways: [{ what: "check nameserver b:1", command: null, partitions: 0 }] },
    ]);
  });
});

describe("the timeline", () => {
  test("marks are on the lane of their tablet, from their beginning to their end", () => {
    const { timeline } = buildReport({
      ...emptyParts(),
      events: [
        { atMs: BEGAN_MS + 5, event: { kind: "warning", time: "", text: "the leader changed" } },
        stepEnded(70, { partition: "db.t:0", step: "load-follower", endpoint: "a:1", tookMs: 50 }),
        stepEnded(90, { partition: "db.t:0", step: "never-heard-of", endpoint: "a:1", tookMs: 1 }),
      ],
    });
    expect(timeline.spanMs).toBe(90);
    expect(timeline.marks).toMatchObject([
      { lane: "nameserver", kind: "warning", fromMs: 5, toMs: 5 },
      { lane: "a:1", kind: "load", fromMs: 20, toMs: 70, isFailed: false },
      { lane: "a:1", kind: "op", fromMs: 89, toMs: 90 },
    ]);
  });

  test("a change of the leading nameserver is a line through all lanes, and is in the run's facts", () => {
    const report = sampleReport(3);
    const drawn = timelineHtml(report.timeline);
    const lanes = drawn.split('<div class="lane">').slice(1);
    expect(lanes).toHaveLength(4);
    for (const lane of lanes) expect(lane.split('<line class="change"').length).toBe(2);
    expect(reportMarkdown(report)).toContain(
      "| leader of the nameservers | after 150 ms nameserver 10.0.0.2:7527 leads now, in place of 10.0.0.1:7527 |",
    );
  });

  test("a hundred tablets with ten thousand marks are drawn small", () => {
    const events = Array.from({ length: 10_000 }, (_, index) =>
      stepEnded(index, {
        partition: `db.t:${index}`,
        step: ["load-follower", "promote", "mark-alive", "recover-table"][index % 4] ?? "",
        endpoint: `10.0.0.${index % 100}:10921`,
        tookMs: (index * 7) % 400,
      }),
    );
    const { timeline } = buildReport({ ...emptyParts(), events });
    const drawn = timelineHtml(timeline);
    expect(drawn.length).toBeLessThan(700_000);
    expect(drawn).toContain("more tablets with less to do");
  });
});

describe("text from a cluster", () => {
  test("cannot become markup, end a script element or change the direction of writing", () => {
    expect(html(`<b a='1' b="2">&\u202e`)).toBe(
      "&lt;b a=&#39;1&#39; b=&quot;2&quot;&gt;&amp;\\u202e",
    );
    expect(scriptJson("</script>\u2028<!--")).toBe('"\\u003c/script\\u003e\\u2028\\u003c!--"');
  });

  test("is shown by Markdown as it is", () => {
    const markdown = reportMarkdown(
      buildReport({
        ...emptyParts(),
        partitions: [
          rowOf("db.a|b`*_<script>:0", {
            status: "unhealthy",
            problems: [{ code: "behind", endpoint: null, text: "one\n| two" }],
          }),
        ],
      }),
    );
    expect(markdown).toContain("| db.a\\|b\\`\\*\\_\\<script\\>:0 | serving, not healthy |");
    expect(markdown).toContain("one\\\\n\\| two");
  });
});

describe("Markdown", () => {
  test("begins with the verdict and fits a ticket whatever the size", () => {
    const markdown = reportMarkdown(sampleReport(10_000));
    expect(markdown).toMatch(/^# ❌ recoverdata: 2 of 10002 partitions are not healthy\n/);
    expect(markdown.indexOf("## What to do next")).toBeLessThan(1_200);
    expect(markdown.length).toBeLessThan(12_000);
    // GitHub and GitLab recognise a table only by a line of dashes below its titles.
    const titles = markdown.split("\n").filter((line) => line.startsWith("| ---"));
    expect(titles.length).toBeGreaterThan(4);
  });
});

describe("metrics", () => {
  const at = { nowSeconds: 1_767_322_000, lastSuccessSeconds: undefined };

  /** Every line is a comment or a sample, and every sample stands below its HELP and TYPE. */
  function parsed(text: string): Map<string, number> {
    const samples = new Map<string, number>();
    let typed = "";
    for (const line of text.trimEnd().split("\n")) {
      const [, comment, name] = /^# (HELP|TYPE) (\w+) \S/.exec(line) ?? [];
      if (comment === "TYPE") typed = name ?? "";
      if (comment !== undefined) continue;
      const sample = /^(\w+)\{(?:\w+="(?:[^"\\\n]|\\[\\n"])*",?)+\} (-?[\d.]+)$/.exec(line);
      expect(sample, line).not.toBeNull();
      expect(sample?.[1]).toBe(typed);
      expect(samples.has(line.slice(0, line.lastIndexOf(" ")))).toBe(false);
      samples.set(line.slice(0, line.lastIndexOf(" ")), Number(sample?.[2]));
    }
    return samples;
  }

  test("contain the result of the run and the state of the partitions", () => {
    const samples = parsed(metricsText(sampleReport(12), at));
    const of = 'command="recoverdata",cluster="10.0.0.9:2181/openmldb"';
    expect(samples.get(`openmldb_ops_run_exit_code{${of}}`)).toBe(3);
    expect(samples.get(`openmldb_ops_run_success{${of}}`)).toBe(0);
    expect(samples.get(`openmldb_ops_run_duration_seconds{${of}}`)).toBe(1.5);
    expect(samples.get(`openmldb_ops_partitions{${of},state="recovered"}`)).toBe(12);
    expect(samples.get(`openmldb_ops_partitions{${of},state="needs_decision"}`)).toBe(1);
    expect(samples.get(`openmldb_ops_partitions_not_serving{${of}}`)).toBe(1);
    expect(samples.get(`openmldb_ops_tablets{${of},health="offline"}`)).toBe(1);
    expect(samples.get(`openmldb_ops_auto_failover{${of}}`)).toBe(1);
    expect(samples.has(`openmldb_ops_last_success_timestamp_seconds{${of}}`)).toBe(false);
  });

  test("keep the time of the last success, whatever the labels", () => {
    const odd = (exitCode: number): ReportDocument => {
      const parts = emptyParts();
      const verdict = { ...parts.verdict, exitCode };
      return buildReport({ ...parts, verdict, run: { ...parts.run, cluster: 'a"b\\c\n:1/x' } });
    };
    const good = metricsText(odd(0), at);
    parsed(good);
    const last = lastSuccessIn(good, odd(3));
    expect(last).toBe(at.nowSeconds);
    const later = metricsText(odd(3), { nowSeconds: at.nowSeconds + 60, lastSuccessSeconds: last });
    parsed(later);
    expect(lastSuccessIn(later, odd(3))).toBe(at.nowSeconds);
    expect(lastSuccessIn("garbage\n# HELP", odd(3))).toBeUndefined();
  });
});
