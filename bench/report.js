// docs/benchmarks.md: each group of results has its own part of the page, which a run replaces.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import { fileURLToPath } from "node:url";

const PAGE = fileURLToPath(new URL("../docs/benchmarks.md", import.meta.url));

const INTRODUCTION = `# Benchmarks

Made by \`npm run bench\`; nothing here is written by hand. \`npm run bench -- --only=startup,size\` runs
some of the groups (\`wire\`, \`quick\`, \`virtual\`, \`size\`, \`healthy\`, \`rows\`, \`startup\`) and replaces their parts of this page. Every
ratio is of two numbers of one run on one machine and on one clock. The load of the machine when a group ended is told: above the
number of its cores other work lengthened the times, though not the calls, and CPU time little.

What is compared:

- **floor**: every replica is loaded on its tablet at time zero, until all are normal. Nothing is looked at,
  decided, linked or verified: no recovery can be faster.
- **direct**, **documented**: \`recoverdata\` with that \`--method\` and the defaults of the command line.
- **openmldb_ops.py**: what the Python tool does, query by query and wait by wait, one table and one replica at a
  time (\`bench/driver.js\`). The processes that it starts for each query are left out, which favours it.

All recover from the same outage: all tablets killed at once and restarted, \`auto_failover\` off, 20 rows in
each partition. Rows of one replica load in about 20 ms and three at a time on each tablet, as in the sandbox's
model; the nameserver's ops take there what they take on a real cluster, about 10 s each.
`;

/** The machine of the measurement. */
function machine() {
  const [cpu] = cpus();
  const gib = Math.round(totalmem() / 2 ** 30);
  const date = new Date().toISOString().slice(0, 10);
  const load = loadavg()[0].toFixed(0);
  return `${cpu?.model.trim()}, ${availableParallelism()} cores, ${gib} GiB, Node ${process.version}, ${process.platform}, load ${load}; ${date}`;
}

/** A table of Markdown. */
export function table(headers, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [
    line(headers),
    line(headers.map((_, index) => (index === 0 ? "---" : "---:"))),
    ...rows.map(line),
  ].join("\n");
}

/** A target and whether it was met, as one line. */
export function target(text, isMet, measured) {
  return `- ${isMet ? "met" : "**not met**"}: ${text} (measured: ${measured})`;
}

/** A duration in readable units, from milliseconds. */
export function time(ms) {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 100_000 ? `${(ms / 1_000).toFixed(2)} s` : `${Math.round(ms / 1_000)} s`;
}

/** All targets of the page, those that are not met first. */
function summary(parts) {
  const rows = parts.flatMap((part) => {
    const [, title] = /^## (.*)$/m.exec(part);
    const lines = part.match(/^- (met|\*\*not met\*\*): .*$/gm) ?? [];
    return lines.map((line) => {
      const [, result, text, measured] = /^- (\S.*?): (.*) \(measured: (.*)\)$/.exec(line);
      return [text, measured, result, title];
    });
  });
  const isMet = ([, , result]) => result === "met";
  const sorted = [...rows.filter((row) => !isMet(row)), ...rows.filter(isMet)];
  return `## Targets\n\n${table(["target", "measured", "", "part"], sorted)}\n`;
}

/** Replaces the part of the page that belongs to a group. */
export function writeGroup(group, title, body) {
  const begin = `<!-- bench:${group}:begin -->`;
  const end = `<!-- bench:${group}:end -->`;
  const part = `${begin}\n## ${title}\n\nMeasured on ${machine()}.\n\n${body}\n${end}\n`;
  const old = existsSync(PAGE) ? readFileSync(PAGE, "utf8") : "";
  const parts = old.match(/<!-- bench:(\w+):begin -->[\s\S]*?<!-- bench:\1:end -->\n/g) ?? [];
  const others = parts.filter((one) => !one.startsWith(begin));
  const order = ["wire", "quick", "virtual", "size", "healthy", "rows", "startup"];
  const groupOf = (one) => order.indexOf(/bench:(\w+)/.exec(one)[1]);
  const all = [...others, part].sort((a, b) => groupOf(a) - groupOf(b));
  writeFileSync(PAGE, `${INTRODUCTION}\n${summary(all)}\n${all.join("\n")}`);
}
