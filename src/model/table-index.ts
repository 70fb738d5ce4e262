/** When the rows of an index expire (common.proto, TTLSt). */
export interface Ttl {
  /** `unknown`: a kind that this version of the tool does not know. */
  readonly kind: "absolute" | "latest" | "absandlat" | "absorlat" | "unknown";
  /** Age at which a row expires, in milliseconds; 0: never. */
  readonly absMs: bigint;
  /** Number of newest rows that are kept for each key; 0: all. */
  readonly latest: bigint;
}

/** An index of a table (common.proto, ColumnKey). */
export interface IndexClaim {
  readonly name: string;
  /** The columns of the key, joined as the tablet joins them: indexes over the same columns share their keys. */
  readonly columns: string;
  readonly isDeleted: boolean;
  readonly ttl: Ttl;
}
