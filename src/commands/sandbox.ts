import { commandText } from "../cli/printed-command.js";
import type { SandboxFlags } from "../cli/tool-specs.js";
import { readRecording } from "../sandbox/model/recording-document.js";
import { runConsole } from "../sandbox/serve/console.js";
import { type ConsoleTerminal, runTerminal } from "../sandbox/serve/console-terminal.js";
import { type Sandbox, startSandbox } from "../sandbox/start.js";
import { jsonText } from "../util/text.js";
import type { CommandIo } from "./command.js";

/**
 * Starts a sandbox cluster and executes commands from stdin until it is stopped. On a terminal it shows a prompt;
 * otherwise it prints one line when it is ready, and answers in JSON.
 *
 * @returns 0 after SIGINT, SIGTERM, SIGHUP or `quit`, the regular ends of a sandbox.
 * @throws OpsError `usage` if the recording cannot be read, `refused` if the given ZooKeeper already has data under
 *   the root path, and the errors of connecting to it.
 */
export async function run(flags: SandboxFlags, io: CommandIo): Promise<number> {
  const recording = flags.from === undefined ? undefined : readRecording(flags.from);
  const sandbox = await startSandbox({
    ...flags,
    recording,
    zkCluster: flags.zkCluster.length === 0 ? undefined : flags.zkCluster,
  });
  try {
    io.log.debug(`sandbox is ready, speed ${flags.speed}, seed ${flags.seed}`);
    const isForPeople = io.isInteractiveStdin && io.isInteractiveStdout && flags.output !== "json";
    if (isForPeople) {
      const recoverCommand = recoverCommandFor(sandbox);
      await runTerminal(sandbox, terminalOf(io), { recoverCommand, signal: io.signal });
    } else {
      io.stdout.write(`${readyLine(sandbox, flags)}\n`);
      await runConsole(sandbox, io.stdin, (line) => io.stdout.write(line), io.signal);
    }
  } finally {
    await sandbox.stop();
  }
  return 0;
}

/** The flags with which openmldb-ops recovers the sandbox. */
function recoverCommandFor({ zkCluster, zkRootPath }: Sandbox): string {
  const where = [`--zk_cluster=${zkCluster}`, `--zk_root_path=${zkRootPath}`];
  return commandText(["--cmd=recoverdata", ...where]);
}

function terminalOf(io: CommandIo): ConsoleTerminal {
  const { stdin: input, hasColor, stdout } = io;
  return {
    ...{ input, hasColor, control: stdout.control?.bind(stdout) },
    write: (text) => stdout.write(text),
    get columns() {
      return io.columns;
    },
    get rows() {
      return io.rows;
    },
  };
}

function readyLine(sandbox: Sandbox, flags: SandboxFlags): string {
  const { zkCluster, zkRootPath, nameservers, tablets } = sandbox;
  if (flags.output === "json") {
    return jsonText({
      zk_cluster: zkCluster,
      zk_root_path: zkRootPath,
      nameservers,
      tablets,
    });
  }
  return [
    `ready: --zk_cluster=${zkCluster} --zk_root_path=${zkRootPath}`,
    `nameservers ${nameservers.join(" ")}`,
    `tablets ${tablets.join(" ")}`,
    'type "help" for commands',
  ].join(", ");
}
