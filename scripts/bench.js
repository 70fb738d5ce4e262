// Measures the tool against the Python tool's sequence and against the lower bound. The results are kept
// in docs/benchmarks.md. Takes three quarters of an hour; not a part of the tests.
//   npm run bench [-- --only=wire,quick,virtual,size,healthy,rows,startup] [-- --max=REPLICAS]
// The largest sizes on the virtual clock take minutes of computing each; --max leaves them out.
import { parseArgs } from "node:util";
import { healthy, rows, size, startup, virtual, wire } from "../bench/groups.js";
import { quick } from "../bench/quick.js";

const groups = { startup, rows, size, healthy, quick, wire, virtual };
const { values } = parseArgs({ options: { only: { type: "string" }, max: { type: "string" } } });
const names = values.only?.split(",") ?? Object.keys(groups);
const unknown = names.filter((name) => groups[name] === undefined);
if (unknown.length > 0) throw new Error(`unknown group: ${unknown.join(", ")}`);

for (const name of names) {
  console.log(`# ${name}`);
  await groups[name](
    (row) => {
      console.log(JSON.stringify(row));
      return row;
    },
    values.max === undefined ? undefined : Number(values.max),
  );
}
