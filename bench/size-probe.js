// Loaded into a process of the tool with `node --import`: at its end writes what it has cost to file
// descriptor 3, as one JSON document.
import { writeSync } from "node:fs";
import { watchCost } from "./size-cost.js";

const cost = watchCost();
process.on("exit", () => writeSync(3, JSON.stringify(cost())));
