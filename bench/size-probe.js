// Loaded into a process of the tool with `node --import`. At the end it writes the costs of the process to file descriptor 3, as
// one JSON document.
import { writeSync } from "node:fs";
import { watchCost } from "./size-cost.js";

const cost = watchCost();
process.on("exit", () => writeSync(3, JSON.stringify(cost())));
