import { hostname } from "node:os";
import type { ZooKeeper } from "../cluster/zookeeper.js";
import type { Zod } from "../util/document.js";
import { isProcessAlive, newRunId, processIdentity } from "../util/process-identity.js";
import { jsonText } from "../util/text.js";

/** Version of the data in ZooKeeper; a reader accepts its own version only. */
const VERSION = 1;
/** Longer command lines are cut; the journal has the whole one. */
const COMMAND_CHARS_MAX = 4_000;
/** The largest process id of any system that Node.js runs on. */
const PID_MAX = 2 ** 31 - 1;

/** The run that holds or held the lock: enough to find the process and the operator. */
export interface RunOwner {
  readonly runId: string;
  readonly host: string;
  readonly pid: number;
  /** The user of the operating system. */
  readonly user: string;
  /** The command as it can be typed, without secrets. */
  readonly command: string;
  /** When the run began, ISO 8601, UTC. */
  readonly time: string;
}

/** The content of the persistent marker of auto_failover. */
export type MarkerContent =
  /** `owner` is the run that switched it off, so that it has to be switched on again. */
  | {
      readonly kind: "marker";
      readonly owner: RunOwner;
      readonly original: true;
      /** The time since which it is left off on purpose, ISO 8601; undefined if its run has not ended normally. */
      readonly leftOffSince: string | undefined;
    }
  /** The data is not a marker of this tool; `problem` is the reason, one line. */
  | { readonly kind: "unreadable"; readonly problem: string };

/** The znodes of this tool, under the cluster's root path; OpenMLDB ignores them. */
export function opsPath(rootPath: string, name: "auto_failover" | "lock" | "seen"): string {
  return `${rootPath}/ops_tool/${name}`;
}

/**
 * This process as the owner of a run.
 *
 * @param command Without secrets.
 */
export function thisProcess(command: string, runId = newRunId(Date.now())): RunOwner {
  const { host, pid, user } = processIdentity();
  return { runId, host, pid, user, command, time: new Date().toISOString() };
}

/** True if the owner ran on this machine and its process has ended; false if that is not known. */
export function isGone(owner: RunOwner): boolean {
  return owner.host === hostname() && !isProcessAlive(owner.pid);
}

/** A run in a message: `run X (user U on host H, pid P, since T: command)`. */
export function ownerText({ runId, user, host, pid, time, command }: RunOwner): string {
  return `run ${runId} (user ${user} on host ${host}, pid ${pid}, since ${time}: ${command})`;
}

/**
 * Owner data with further fields, as the bytes of a znode; small enough to be read back, whatever the
 * length of the command line.
 */
export function encode(owner: RunOwner, more: Readonly<Record<string, unknown>>): Buffer {
  const command = owner.command.slice(0, COMMAND_CHARS_MAX);
  return Buffer.from(jsonText({ version: VERSION, ...owner, command, ...more }), "utf8");
}

/** Limits of a znode with owner data; ZooKeeper itself accepts 1 MB. */
export const OWNER_BOUNDS = { maxBytes: 64 * 1024, maxDepth: 4 };

/** The fields that {@link encode} writes, for the schema of a znode. */
export function ownerFields(z: Zod) {
  const text = z.string().max(1_000);
  return {
    version: z.literal(VERSION),
    runId: text.min(1),
    host: text,
    pid: z.int().min(1).max(PID_MAX),
    user: text,
    command: z.string(),
    time: text,
  };
}

/** The znode operations that the protection of a run needs. */
export type OpsZooKeeper = Pick<
  ZooKeeper,
  "getData" | "isEphemeral" | "create" | "setData" | "removeIf" | "isOwn" | "removeOwn"
>;
