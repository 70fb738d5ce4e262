/** The few operations of ZooKeeper that the tool needs. Implemented by `zookeeper-client.ts` and `sandbox/`. */
export interface ZooKeeper {
  /**
   * Names of the children, in no order.
   *
   * @returns Undefined if the path does not exist.
   */
  getChildren(path: string): Promise<readonly string[] | undefined>;
  /** The data of a node; undefined if the path does not exist. */
  getData(path: string): Promise<Buffer | undefined>;
  /**
   * Whether a node belongs to a session, and goes away with it; undefined if the path does not exist.
   * ZooKeeper knows this by itself, whatever the node's data says.
   */
  isEphemeral(path: string): Promise<boolean | undefined>;
  /**
   * Creates a node and, if needed, its parents (persistent, empty).
   *
   * @returns The path created (differs from `path` if sequential), or undefined if it existed already.
   */
  create(path: string, data: Buffer, mode: CreateMode): Promise<string | undefined>;
  /** @returns False if the path does not exist. */
  setData(path: string, data: Buffer): Promise<boolean>;
  /** @returns False if the path does not exist. */
  remove(path: string): Promise<boolean>;
  /**
   * Removes a node if its data is what is expected. ZooKeeper is asked for the data and for the removal of
   * that version of it, and refuses the removal if the node was written in between.
   *
   * @returns False if nothing was removed.
   */
  removeIf(path: string, isExpected: (data: Buffer) => boolean): Promise<boolean>;
  /** Whether the current session of this client made a node, as an ephemeral one; false if there is none. */
  isOwn(path: string): Promise<boolean>;
  /**
   * Removes a node that this session made as an ephemeral one. What another session made, or an earlier one
   * of this client, stays: ZooKeeper is asked for the owner and for the removal in the same session, and
   * refuses the removal if the node was written in between.
   *
   * @returns False if nothing was removed.
   */
  removeOwn(path: string): Promise<boolean>;
  /** Ends the session; ephemeral nodes of it go away at once. */
  close(): Promise<void>;
}

/** How long a node lives, and whether ZooKeeper numbers it. */
export type CreateMode = "persistent" | "ephemeral" | "ephemeral-sequential";
