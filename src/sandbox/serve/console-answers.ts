import type { Endpoint } from "../../model/cluster-state.js";
import type { SandboxModel } from "../model/model.js";
import type { PartitionRows, PutResult } from "../model/model-types.js";
import type { SandboxProcess } from "../model/process.js";

/** One process of the sandbox, as `show` lists it. */
export interface ShownServer {
  /** `tablet1`, `nameserver2` and so on. */
  readonly name: string;
  readonly endpoint: Endpoint;
  /** Where it listens. */
  readonly address: string;
  readonly state: "leads" | "stands by" | "up" | "hangs" | "down" | "of another cluster";
  /** Replicas that a tablet has loaded; undefined for a nameserver. */
  readonly loaded: number | undefined;
  /** Replicas whose directory is on a tablet's disk; undefined for a nameserver. */
  readonly stored: number | undefined;
}

/** The answer of a command: one JSON object. A failed command answers `{"error": ...}`. */
export type ConsoleAnswer =
  | { readonly error: string }
  | { readonly ok: true; readonly name?: string; readonly address?: string }
  | { readonly accepted: number; readonly refused: readonly PutResult[] }
  | {
      readonly acknowledged: number;
      readonly served: number;
      readonly lost: number;
      readonly partitions: readonly PartitionRows[];
    }
  | { readonly healthy: boolean; readonly complaints: readonly string[] }
  | { readonly servers: readonly ShownServer[] }
  | { readonly commands: readonly string[] };

/** The present state of the processes: nameservers, then tablets. */
export function shownServers(model: SandboxModel): ShownServer[] {
  const shown = model.processes.map((process) => ({
    name: process.name,
    endpoint: process.endpoint,
    address: process.address,
    state: stateOf(process, model.leader?.endpoint),
    loaded: process.tablet?.loadedCount,
    stored: process.tablet && [...process.tablet.disk.dirs()].length,
  }));
  const isTablet = ({ loaded }: ShownServer) => Number(loaded !== undefined);
  return shown.sort((a, b) => isTablet(a) - isTablet(b));
}

function stateOf(process: SandboxProcess, leader: Endpoint | undefined): ShownServer["state"] {
  if (!process.isUp) return "down";
  if (process.isHung) return "hangs";
  if (process.tablet === undefined) return process.endpoint === leader ? "leads" : "stands by";
  return process.tablet.ownDisk === undefined ? "up" : "of another cluster";
}

/** Counts the rows of partitions. */
export function rowsAnswer(partitions: readonly PartitionRows[]): ConsoleAnswer {
  const total = (count: (partition: PartitionRows) => number) =>
    partitions.reduce((sum, partition) => sum + count(partition), 0);
  return {
    acknowledged: total((partition) => partition.acknowledged),
    served: total((partition) => partition.served ?? 0),
    lost: total((partition) => partition.lost),
    partitions: partitions.map((partition) => ({ ...partition })),
  };
}
