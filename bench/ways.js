// One recovery by one of the compared sequences, on any clock.
import { setMaxListeners } from "node:events";
import { COMMANDS } from "../dist/cli/command-table.js";
import { diagnose } from "../dist/diagnosis/diagnose.js";
import { recoverData } from "../dist/execution/recover.js";
import { viewPartitions } from "../dist/model/partition-view.js";
import { observe } from "../dist/observe/cluster.js";
import { recoverAsPython } from "./driver.js";
import { loadAllAtOnce } from "./floor.js";
import { recoverRaw } from "./raw.js";

/** The limits that the command line has by default. */
const LIMITS = COMMANDS.find((one) => one.name === "recoverdata").prepare(
  {
    words: [],
    flags: new Map([
      ["zk_cluster", ["unused:1"]],
      ["zk_root_path", ["/unused"]],
    ]),
  },
  {},
).flags;

/** The sequences, by their names in the tables of docs/benchmarks.md. */
export const WAYS = {
  floor: ({ cluster }) => loadAllAtOnce(cluster),
  "raw script": ({ cluster }) => recoverRaw(cluster),
  direct: (of) => ours(of, "direct"),
  documented: (of) => ours(of, "documented"),
  "openmldb_ops.py": python,
};

async function ours({ cluster }, method) {
  const { signal } = new AbortController();
  setMaxListeners(0, signal);
  const calls = cluster.callCount();
  const began = cluster.clock.now();
  const ended = await recoverData(cluster, {
    method,
    limits: LIMITS,
    signal,
    onEvent: () => undefined,
    again: () => "",
    print: () => "",
  });
  if ("error" in ended) throw ended.error;
  return { tookMs: cluster.clock.now() - began, calls: cluster.callCount() - calls };
}

async function python({ cluster, transport }) {
  const { leader } = await cluster.topology();
  const began = cluster.clock.now();
  const calls = await recoverAsPython({ transport, clock: cluster.clock, nameserver: leader });
  return { tookMs: cluster.clock.now() - began, calls };
}

/** The problems that are left, by the diagnosis of the tool. */
export async function leftOver(cluster) {
  const problems = viewPartitions(await observe(cluster)).flatMap(diagnose);
  return problems.length;
}
