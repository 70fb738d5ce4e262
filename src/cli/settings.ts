/** A value that was not typed: by flag name, with the place where it stands. */
export type Settings = ReadonlyMap<string, Setting>;

/** One value and its source. */
interface Setting {
  readonly text: string;
  /** File and field, such as `/etc/clusters.json: clusters.prod.user`. */
  readonly source: string;
}
