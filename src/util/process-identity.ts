import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { homedir, hostname, userInfo } from "node:os";
import { isAbsolute, join } from "node:path";
import { toolVersion } from "./version.js";

/** The user and machine of this process. */
export interface ProcessIdentity {
  readonly host: string;
  readonly pid: number;
  readonly user: string;
  /** Version of this tool; `unknown` if its package file cannot be read. */
  readonly version: string;
}

/** Returns the user and machine of this process. Never throws. */
export function processIdentity(): ProcessIdentity {
  return { host: hostname(), pid: process.pid, user: userName(), version: toolVersion() };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A user id without a name, as in some containers.
    return String(process.getuid?.() ?? "unknown");
  }
}

/**
 * Creates the id of a run: the time, so that ids sort by the start of the runs, and random digits, so
 * that two runs of the same second differ. Valid as a file name and a znode name.
 */
export function newRunId(nowMs: number): string {
  const time = new Date(nowMs)
    .toISOString()
    .replace(/\.\d+Z$/, "Z")
    .replaceAll(/[-:]/g, "");
  return `${time}-${randomBytes(4).toString("hex")}`;
}

/** True if a text has the form of {@link newRunId}. */
export function isRunId(text: string): boolean {
  return /^\d{8}T\d{6}Z-[0-9a-f]{8}$/.test(text);
}

/**
 * The folder of journals if the user names none: `$XDG_STATE_HOME/openmldb-ops`, or
 * `~/.local/state/openmldb-ops`. A variable that is not an absolute path is ignored, as the XDG base
 * directory specification requires.
 */
export function defaultStateDir(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const given = environment["XDG_STATE_HOME"] ?? "";
  const home = isAbsolute(given) ? given : join(homedir(), ".local", "state");
  return join(home, "openmldb-ops");
}

/** Matches the command line of this tool, or of a Node.js program, which may use the library. */
const MAY_BE_A_RUN = /openmldb-ops|^[^\0]*node[^/\0]*(?:\0|$)/;

/** True if a process with that id runs on this machine and may be a run of this tool. */
export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  try {
    // The id may have been reused by another program.
    return MAY_BE_A_RUN.test(readFileSync(`/proc/${pid}/cmdline`, "utf8"));
  } catch {
    return true;
  }
}
