import { TOOL } from "../../src/cli/printed-command.js";

/** The cluster flags of every typed command; each printed command ends with them. */
export const CLUSTER_FLAGS = "--zk_cluster=zk1:2181 --zk_root_path=/openmldb";

/** Every complete command in a printed text, each once, in the order of the text. */
export function commandsIn(text: string): string[] {
  const found = new Set<string>();
  for (let from = text.indexOf(`${TOOL} `); from >= 0; from = text.indexOf(`${TOOL} `, from + 1)) {
    const end = text.indexOf(CLUSTER_FLAGS, from);
    const lineEnd = text.indexOf("\n", from);
    if (end < 0 || (lineEnd >= 0 && lineEnd < end)) continue;
    found.add(text.slice(from, end + CLUSTER_FLAGS.length));
  }
  return [...found];
}

/** A placeholder for a value that the operator would have to fill in. */
const PLACEHOLDER = /=(?:ENDPOINT|TABLET|DB|TABLE|PID|TID|<[^>]*>)(?:[ ,;)]|$)/;

/** The command of the run that holds a lock, which is no advice. */
const OWNER = /\(user \S+ on host \S+, pid \d+, since /;

/** The commands in a printed text that cannot be typed as they are printed. */
export function faultsOfText(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    if (OWNER.test(line)) return [];
    const rest = commandsIn(line).reduce((left, command) => left.replaceAll(command, ""), line);
    const cut = new RegExp(`${TOOL} [a-z-]`).exec(rest);
    const hole = PLACEHOLDER.exec(commandsIn(line).join(" "));
    return [
      ...(cut === null || /^openmldb-ops [\w-]+: /.test(rest) ? [] : [`incomplete: ${line}`]),
      ...(hole === null ? [] : [`placeholder${hole[0]}: ${line}`]),
    ];
  });
}
