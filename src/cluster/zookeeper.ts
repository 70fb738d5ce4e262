/** The operations of ZooKeeper that the tool needs. Implemented by `zookeeper-client.ts` and `sandbox/`. */
export interface ZooKeeper {
  /**
   * Names of the children, in no order.
   *
   * @returns Undefined if the path does not exist.
   */
  getChildren(path: string): Promise<readonly string[] | undefined>;
  /** The data of a znode; undefined if the path does not exist. */
  getData(path: string): Promise<Buffer | undefined>;
  /**
   * True if a session owns the znode, so that it is deleted with the session; undefined if the path does not exist.
   * This is ZooKeeper's own metadata, independent of the znode's data.
   */
  isEphemeral(path: string): Promise<boolean | undefined>;
  /**
   * Creates a znode and, if needed, its parents (persistent, empty).
   *
   * @returns The path created (differs from `path` if sequential), or undefined if it existed already.
   */
  create(path: string, data: Buffer, mode: CreateMode): Promise<string | undefined>;
  /** Writes the data of a znode. @returns False if the path does not exist. */
  setData(path: string, data: Buffer): Promise<boolean>;
  /** Removes a znode. @returns False if the path does not exist. */
  remove(path: string): Promise<boolean>;
  /**
   * Removes a znode if its data is as expected. Reads the data and removes that version, so ZooKeeper refuses the
   * removal if the znode was written in between.
   *
   * @returns False if nothing was removed.
   */
  removeIf(path: string, isExpected: (data: Buffer) => boolean): Promise<boolean>;
  /** True if the znode is an ephemeral one of this client's current session; false if it does not exist. */
  isOwn(path: string): Promise<boolean>;
  /**
   * Removes an ephemeral znode of the current session, like {@link ZooKeeper.removeIf}. A znode of another session, or
   * of an earlier one of this client, stays: the owner is read and the znode removed in the same session.
   *
   * @returns False if nothing was removed.
   */
  removeOwn(path: string): Promise<boolean>;
  /** Closes the session; ZooKeeper deletes its ephemeral znodes at once. */
  close(): Promise<void>;
}

/** The lifetime of a znode, and whether ZooKeeper appends a sequence number. */
export type CreateMode = "persistent" | "ephemeral" | "ephemeral-sequential";
