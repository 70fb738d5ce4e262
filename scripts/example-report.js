// Generates examples/report.html and examples/report.md: a sandbox cluster loses power, one of its tablets
// stays down, its leading nameserver dies during the run, and recoverdata recovers what it can. Run it
// after a build. With a path it also writes a screenshot of the page, for the README.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { reportAssets } from "../dist/commands/report-file.js";
import { reportHtml } from "../dist/report/html.js";
import { reportMarkdown } from "../dist/report/markdown.js";
import { startSandbox } from "../dist/sandbox/start.js";
import { findChromium } from "./chromium-path.js";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const examples = join(root, "examples");
const scratch = mkdtempSync(join(tmpdir(), "openmldb-ops-example-"));
const cluster = { tables: 3, partitions: 4, replicas: 2, rows: 200, seed: 11, speed: 10 };
const sandbox = await startSandbox({ ...cluster, tablets: 4, hddTables: 1 });
try {
  await sandbox.outage({ withNameservers: true });
  sandbox.model.kill("tablet3");
  // The nameserver needs this long to count it as offline.
  await sleep(2_500);
  const recovered = recover();
  await sleep(1_500);
  sandbox.model.kill(sandbox.model.leader.endpoint);
  const code = await recovered;
  console.log(`recoverdata ended with exit code ${code}`);
  const report = JSON.parse(readFileSync(join(scratch, "report.json"), "utf8"));
  // The machine and user of this script are not part of the example.
  Object.assign(report.run, { host: "ops-1", user: "ops" });
  writeFileSync(join(examples, "report.html"), reportHtml(report, reportAssets()));
  writeFileSync(join(examples, "report.md"), reportMarkdown(report));
  const picture = process.argv[2];
  if (picture !== undefined) await takePicture(picture);
} finally {
  await sandbox.stop();
  rmSync(scratch, { recursive: true, force: true });
}

function recover() {
  const where = [`--zk_cluster=${sandbox.zkCluster}`, `--zk_root_path=${sandbox.zkRootPath}`];
  const bin = join(root, "bin", "openmldb-ops.js");
  const child = spawn(process.execPath, [bin, "recoverdata", "--report=report.json", ...where], {
    cwd: scratch,
    env: { ...process.env, XDG_STATE_HOME: scratch },
    stdio: ["ignore", "ignore", "inherit"],
  });
  return new Promise((resolve) => child.on("close", resolve));
}

async function takePicture(path) {
  const { chromium } = await import("playwright-core");
  const browser = await chromium.launch({
    executablePath: findChromium(),
    args: ["--no-sandbox", "--disable-gpu"],
  });
  const page = await browser.newPage({ viewport: { width: 1120, height: 860 } });
  await page.goto(pathToFileURL(join(examples, "report.html")).href);
  await page.screenshot({ path });
  await browser.close();
}
