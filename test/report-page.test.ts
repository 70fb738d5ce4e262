import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, type TestContext, test } from "vitest";
import { CHROMIUM_MISSING } from "../scripts/chromium-path.js";
import { reportAssets } from "../src/commands/report-file.js";
import type { ReportDocument } from "../src/report/document.js";
import { reportHtml } from "../src/report/html.js";
import { startBrowser, type TestBrowser } from "./helpers/browser.js";
import { sampleReport } from "./helpers/sample-report.js";

let browser: TestBrowser | undefined;
beforeAll(async () => {
  browser = await startBrowser();
});
afterAll(() => browser?.close());

/**
 * Opens a report in the browser. At the end, the page must have logged no errors but the expected ones.
 */
async function opened(
  { skip, onTestFinished }: TestContext,
  report: ReportDocument,
  expected: readonly unknown[] = [],
): Promise<Page> {
  if (browser === undefined) skip(CHROMIUM_MISSING);
  const errors: string[] = [];
  const page = await (browser as TestBrowser).open(reportHtml(report, reportAssets()), errors);
  onTestFinished(async () => {
    await page.close();
    expect(errors).toEqual(expected);
  });
  return page;
}

/** The first cells of the list's rows. */
function names(page: Page): Promise<string[]> {
  return page.locator("#list tbody tr:not(.more) td:first-child").allTextContents();
}

describe("an HTML report in a browser", () => {
  test("shows the verdict first, then what to do, and lists unfinished partitions on top", async (context) => {
    const page = await opened(context, sampleReport(12));
    expect(await page.locator("h1").textContent()).toBe("2 of 14 partitions are not healthy");
    expect(await page.locator("section h2").first().textContent()).toBe("What to do next");
    expect(await page.locator("#left .todo > li").count()).toBe(1);
    expect(await page.locator("#left").textContent()).toContain(
      "Start tablet 10.0.0.2:10921, then run 2 partitions",
    );
    expect((await names(page)).slice(0, 2)).toEqual([
      "db1.<script>alert(1)</script>:0",
      "db1.t1:7",
    ]);
    expect(await page.locator("#list .open").allTextContents()).toEqual([
      "needs a decision",
      "serving, not healthy",
    ]);
  });

  test("shows a table called <script> as text, and runs no script but its own", async (context) => {
    const refused = expect.stringContaining("violates the following Content Security Policy");
    const page = await opened(context, sampleReport(3), [refused]);
    expect(await page.locator("#at-risk th").textContent()).toBe("db1.<script>alert(1)</script>:0");
    expect(await page.locator("script").count()).toBe(2);
    const ran = await page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "window.foreign = true";
      document.body.append(script);
      return "foreign" in window;
    });
    expect(ran).toBe(false);
  });

  test("searches by all words, filters by result, and shows the number of matches", async (context) => {
    const page = await opened(context, sampleReport(250));
    expect(await names(page)).toHaveLength(100);
    await page.locator("#more").click();
    expect(await names(page)).toHaveLength(200);
    await page.locator("#search").fill("some_table_4: PRODUCTION_4");
    expect(await names(page)).toEqual(["production_4.some_table_4:4"]);
    await page.locator("#search").fill("tablet-offline");
    expect(await names(page)).toEqual(["db1.t1:7"]);
    await page.locator("#search").fill("no such thing");
    expect(await page.locator("#found").textContent()).toBe("0 found");
    await page.locator("#search").fill("");
    await page.locator("#status").selectOption("needs a decision");
    expect(await names(page)).toEqual(["db1.<script>alert(1)</script>:0"]);
  });

  test("sorts by a column, numbers by their value, in both directions", async (context) => {
    const page = await opened(context, sampleReport(24));
    const head = page.locator("#list thead button").first();
    await head.click();
    const ascending = (await names(page)).filter((name) => name.startsWith("production_1."));
    expect(ascending).toEqual([1, 8, 15, 22].map((n) => `production_1.some_table_${n}:${n}`));
    await head.click();
    expect((await names(page)).filter((name) => name.startsWith("production_1."))).toEqual(
      ascending.reverse(),
    );
    expect(await page.locator("#list th").first().getAttribute("aria-sort")).toBe("descending");
  });

  test("unfolds the details of a partition", async (context) => {
    const page = await opened(context, sampleReport(1));
    await page.locator(".fold", { hasText: "db1.t1:7" }).click();
    expect(await page.locator("#list .more:visible li").allTextContents()).toEqual([
      "10.0.0.2:10921: kOffline for 65 s [tablet-offline]",
      expect.stringContaining("next: start tablet 10.0.0.2:10921, then run: openmldb-ops"),
    ]);
  });

  test("fits a phone, and paper with everything unfolded and nothing to click", async (context) => {
    const page = await opened(context, sampleReport(250));
    await page.setViewportSize({ width: 390, height: 844 });
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    expect(overflow).toBeLessThanOrEqual(0);
    // Folded parts stay folded on a phone too.
    expect(await page.locator("#list .more").first().isVisible()).toBe(false);
    await page.emulateMedia({ media: "print" });
    // A4 without its margins.
    await page.setViewportSize({ width: 688, height: 1000 });
    expect(
      await page.evaluate(() => document.documentElement.scrollWidth - innerWidth),
    ).toBeLessThanOrEqual(0);
    await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
    const clickable = page.locator(
      ".copy-button:visible, input:visible, select:visible, #more:visible",
    );
    expect(await clickable.count()).toBe(0);
    expect(await page.locator("details:not([open])").count()).toBe(0);
    expect(await names(page)).toHaveLength(252);
    const pdf = await page.pdf({ format: "A4" });
    expect(pdf.subarray(0, 5).toString()).toBe("%PDF-");
  });

  test("draws a lane for each tablet and one for the nameserver", async (context) => {
    const page = await opened(context, sampleReport(30));
    expect(await page.locator(".lane:not(.axis) .lane-name").allTextContents()).toEqual([
      "nameserver",
      "10.0.0.1:10921",
      "10.0.0.2:10921",
      "10.0.0.3:10921",
    ]);
    expect(await page.locator(".lane svg .m-load").count()).toBeGreaterThan(2);
    expect(await page.locator(".lane svg .m-failed").count()).toBe(1);
  });

  test("ten thousand partitions stay below 1 MB and can be searched", async (context) => {
    const report = sampleReport(10_000);
    expect(reportHtml(report, reportAssets()).length).toBeLessThan(1_000_000);
    const page = await opened(context, report);
    await page.locator("#search").fill("some_table_17 :9934");
    expect(await names(page)).toEqual([expect.stringMatching(/some_table_17:9934$/)]);
  });
});
