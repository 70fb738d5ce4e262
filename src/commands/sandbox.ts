import type { SandboxFlags } from "../cli/tool-specs.js";
import { readRecording } from "../sandbox/model/recording-document.js";
import { runConsole } from "../sandbox/serve/console.js";
import { type Sandbox, startSandbox } from "../sandbox/start.js";
import { jsonText } from "../util/text.js";
import type { CommandIo } from "./command.js";

/**
 * Starts a sandbox cluster, prints one line when it is ready, and runs the commands that come on
 * stdin until it is told to stop.
 *
 * @returns 0 after SIGINT, SIGTERM, SIGHUP or `quit`: that is how a sandbox ends.
 * @throws OpsError `usage` if the recording cannot be read, `refused` if the given ZooKeeper holds
 *   something under the root path already, and what connecting to it throws.
 */
export async function run(flags: SandboxFlags, io: CommandIo): Promise<number> {
  const recording = flags.from === undefined ? undefined : readRecording(flags.from);
  const sandbox = await startSandbox({
    ...flags,
    recording,
    zkCluster: flags.zkCluster.length === 0 ? undefined : flags.zkCluster,
  });
  try {
    io.stdout.write(`${readyLine(sandbox, flags)}\n`);
    io.log.debug("sandbox is ready", { speed: flags.speed, seed: flags.seed });
    await runConsole(sandbox, io.stdin, (line) => io.stdout.write(line), io.signal);
  } finally {
    await sandbox.stop();
  }
  return 0;
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
