/** Values from configuration files, by flag name. */
export type Settings = ReadonlyMap<string, Setting>;

/** One value with its source. */
interface Setting {
  readonly text: string;
  /** File and field, such as `/etc/clusters.json: clusters.prod.user`. */
  readonly source: string;
}
