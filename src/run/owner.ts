import { hostname } from "node:os";
import type { ZooKeeper } from "../cluster/zookeeper.js";
import { isProcessAlive, newRunId, whoami } from "../journal/who.js";

/** Version of what is written to ZooKeeper; a reader understands its own version only. */
const VERSION = 1;

/** Who runs, or ran: enough to find the process and the person. */
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

/** What this project keeps in ZooKeeper, under the cluster's root path; OpenMLDB ignores it. */
export function opsPath(rootPath: string, name: "auto_failover" | "lock" | "seen"): string {
  return `${rootPath}/ops_tool/${name}`;
}

/**
 * This process as the owner of a run.
 *
 * @param command Without secrets.
 */
export function thisProcess(command: string, runId = newRunId(Date.now())): RunOwner {
  const { host, pid, user } = whoami();
  return { runId, host, pid, user, command, time: new Date().toISOString() };
}

/** Whether the owner ran on this machine and its process is gone; false if nobody can tell. */
export function isGone(owner: RunOwner): boolean {
  return owner.host === hostname() && !isProcessAlive(owner.pid);
}

/** A run for a message: `run X (user U on host H, pid P, since T: command)`. */
export function ownerText({ runId, user, host, pid, time, command }: RunOwner): string {
  return `run ${runId} (user ${user} on host ${host}, pid ${pid}, since ${time}: ${command})`;
}

/** Owner data with more fields, as the bytes of a znode. */
export function encode(owner: RunOwner, more: Readonly<Record<string, unknown>>): Buffer {
  return Buffer.from(JSON.stringify({ version: VERSION, ...owner, ...more }), "utf8");
}

/** What a znode says: the owner and all fields; undefined if it is not of this version or broken. */
export function decode(
  data: Buffer,
): { readonly owner: RunOwner; readonly fields: Readonly<Record<string, unknown>> } | undefined {
  let fields: Record<string, unknown>;
  try {
    const parsed: unknown = JSON.parse(data.toString("utf8"));
    if (typeof parsed !== "object" || parsed === null) return undefined;
    fields = parsed as Record<string, unknown>;
  } catch {
    return undefined;
  }
  const { version, runId, host, pid, user, command, time } = fields;
  if (version !== VERSION || typeof pid !== "number") return undefined;
  const texts = [runId, host, user, command, time];
  if (!texts.every((text) => typeof text === "string")) return undefined;
  const [id, onHost, byUser, line, since] = texts as [string, string, string, string, string];
  return {
    owner: { runId: id, host: onHost, pid, user: byUser, command: line, time: since },
    fields,
  };
}

/** The operations on znodes that protecting a run needs. */
export type OpsZooKeeper = Pick<ZooKeeper, "getData" | "create" | "setData" | "remove">;
