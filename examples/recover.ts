// A program that uses the library (docs/api.md): diagnoses a cluster, shows the plan, recovers it, and prints
// the result. Decisions that give rows up are left to an operator.
//
//     node recover.ts HOST:PORT /openmldb
//
// Node.js runs TypeScript from version 22.18 on; with an older one: npx tsx recover.ts HOST:PORT /openmldb
import {
  connect,
  diagnose,
  isAllHealthy,
  OpsError,
  observe,
  partitionName,
  plan,
  recover,
} from "openmldb-ops";

const [zkCluster = "127.0.0.1:2181", zkRootPath = "/openmldb"] = process.argv.slice(2);

// Ctrl-C ends a run within 5 s, with auto_failover restored.
const stop = new AbortController();
process.once("SIGINT", () => stop.abort());
const { signal } = stop;

async function main(): Promise<number> {
  const connection = await connect({ zkCluster, zkRootPath, signal, onWarning: console.error });
  try {
    for (const { view, problems } of diagnose(await observe(connection, { signal }))) {
      for (const { endpoint, text } of problems) {
        console.log(`${partitionName(view.id)} ${endpoint ?? ""}: ${text}`);
      }
    }

    const planned = await plan(connection, { signal });
    for (const { id, first } of planned.partitions) {
      const steps = first.steps.map(({ kind, endpoint }) => `${kind} ${endpoint ?? ""}`.trim());
      console.log(`${partitionName(id)}: ${first.blocked?.text ?? steps.join(", ")}`);
    }
    if (planned.partitions.length === 0) return 0;

    const report = await recover(connection, {
      planned,
      waitLockMs: 60_000,
      signal,
      onEvent: (event) => {
        if (event.kind === "note" || event.kind === "warning") console.error(event.text);
      },
    });
    for (const { id, status, problems } of report.partitions) {
      const why = problems.map((problem) => problem.text).join("; ");
      console.log(`${partitionName(id)}: ${status}${why === "" ? "" : `: ${why}`}`);
    }
    return isAllHealthy(report) ? 0 : 3;
  } finally {
    await connection.close();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof OpsError)) throw error;
  console.error(`${error.code}: ${error.message}${error.hint ? ` (${error.hint})` : ""}`);
  process.exitCode = 4;
}
