import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { findChromium } from "../../scripts/chromium-path.js";

/** Switches off the browser's own requests and dialogs. */
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A browser with an empty profile, for one test file. */
export interface TestBrowser {
  /**
   * Opens HTML as a file, as users do.
   *
   * @param errors Receives the errors on the page's console and the requests that it makes.
   */
  open(html: string, errors: string[]): Promise<Page>;
  close(): Promise<void>;
}

/** @returns Undefined if there is no Chromium on this machine. */
export async function startBrowser(): Promise<TestBrowser | undefined> {
  const executablePath = findChromium();
  if (executablePath === undefined) return undefined;
  const folder = mkdtempSync(join(tmpdir(), "openmldb-ops-browser-"));
  const context = await chromium.launchPersistentContext(join(folder, "profile"), {
    executablePath,
    headless: true,
    args: ARGUMENTS,
  });
  let pages = 0;
  return {
    async open(html, errors) {
      pages += 1;
      const path = join(folder, `page-${pages}.html`);
      writeFileSync(path, html);
      return openFile(context, path, errors);
    },
    async close() {
      await context.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function openFile(context: BrowserContext, path: string, errors: string[]): Promise<Page> {
  const page = await context.newPage();
  const address = pathToFileURL(path).href;
  page.on("console", (message) => {
    if (message.type() !== "log") errors.push(`${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("dialog", (dialog) => {
    errors.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => {
    const url = request.url();
    if (url !== address && !url.startsWith("data:")) errors.push(`request: ${url}`);
  });
  await page.goto(address);
  return page;
}
