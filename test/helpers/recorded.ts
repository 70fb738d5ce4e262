import { readdirSync, readFileSync } from "node:fs";

/** One recorded call; see test/recordings/README.md. */
export interface RecordedCall {
  readonly endpoint: string;
  readonly path: string;
  readonly request: Readonly<Record<string, unknown>>;
  readonly request_base64: string;
  /** Absent where the server was down. */
  readonly response_base64?: string;
  readonly response?: Readonly<Record<string, unknown>>;
}

export interface Recorded {
  /** File name without its ending. */
  readonly name: string;
  readonly zk_root_path: string;
  readonly znodes: Readonly<Record<string, { readonly data_base64: string }>>;
  readonly rpc: readonly RecordedCall[];
}

const folder = new URL("../recordings/", import.meta.url);

/** All recordings, by name. Their files are called `<cluster>-<number>-<moment>.json`. */
export function readRecordings(): readonly Recorded[] {
  return readdirSync(folder)
    .filter((file) => /-\d-.*\.json$/.test(file))
    .sort()
    .map((file) => ({
      ...(JSON.parse(readFileSync(new URL(file, folder), "utf8")) as Omit<Recorded, "name">),
      name: file.replace(/\.json$/, ""),
    }));
}
